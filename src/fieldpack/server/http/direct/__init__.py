"""Routes that are asked for most: found and called without what they don't need, and in turns when too many come."""
