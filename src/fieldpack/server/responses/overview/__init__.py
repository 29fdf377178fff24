"""A collection in numbers: counts that are always there, and distributions that are gathered and kept for a while."""
