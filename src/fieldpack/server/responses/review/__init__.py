"""Decisions on all that a view of responses shows, or that was chosen there."""
