"""What works on the code itself."""
