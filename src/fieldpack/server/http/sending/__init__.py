"""Sending bytes: ranges, streams with back-pressure, and what the kernel may send by itself."""
