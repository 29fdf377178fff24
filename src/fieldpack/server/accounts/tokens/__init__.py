"""API tokens: who they are of, what they allow at most, how long they are good."""
