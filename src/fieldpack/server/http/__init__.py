"""What is between the socket and the routes: connections, their limits, and how a request's bytes are read."""
