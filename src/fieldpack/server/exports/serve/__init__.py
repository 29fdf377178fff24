"""Serving an export: links, ranges, and those who wait for it."""
