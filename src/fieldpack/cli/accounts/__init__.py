"""The commands that say who may use a server: tokens, workspaces and their members."""
