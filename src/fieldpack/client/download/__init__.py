"""Downloading an archive: requested in spans, resumed after a break, checked as the bytes arrive."""
