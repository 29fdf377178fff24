"""What happened to one submission, and which exports hold it."""
