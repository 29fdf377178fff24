"""Building an export: rows to an index, and an index to an object of the bucket."""
