"""Stored objects whose rows are gone."""
