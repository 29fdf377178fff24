"""Signing in at another provider: whom it vouches for, and who they are here."""
