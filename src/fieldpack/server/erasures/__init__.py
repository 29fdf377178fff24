"""What remembers erasures outside the database."""
