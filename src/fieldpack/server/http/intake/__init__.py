"""What is read before a request is authenticated: connections, heads and forms, each with limits."""
