"""Receiving the bytes of an upload."""
