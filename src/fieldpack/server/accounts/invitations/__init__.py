"""Invitations: links that make whoever follows one a member, with a role, until they expire."""
