"""What researchers do with their own account: their sessions and tokens."""
