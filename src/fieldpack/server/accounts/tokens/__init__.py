"""API tokens: whose they are, what they allow at most, how long they are valid."""
