"""Who did or saw what in a workspace: its pages."""
