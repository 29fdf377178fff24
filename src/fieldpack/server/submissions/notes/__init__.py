"""Researchers' notes on submissions: in no export, and erased with the submission."""
