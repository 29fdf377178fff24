"""Projects: what groups the studies of a workspace."""
