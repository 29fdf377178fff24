"""Webhooks: who is told when something happens, and how."""
