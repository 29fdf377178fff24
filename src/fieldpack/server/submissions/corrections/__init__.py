"""Corrections: what researchers make of an answer once it was handed in, every version of it, and why."""
