"""Answers and files corrected on a response's page, and what they were before."""
