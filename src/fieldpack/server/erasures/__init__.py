"""Erasures, recorded outside the database too."""
