"""Reviewing with others: decisions that can be undone, and who reviews what."""
