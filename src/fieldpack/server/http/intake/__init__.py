"""What arrives before anybody is known: connections, heads and forms, each within its limits."""
