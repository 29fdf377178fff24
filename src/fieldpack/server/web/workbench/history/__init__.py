"""What happened to one response."""
