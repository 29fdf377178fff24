"""Lists of submissions: filters and orders."""
