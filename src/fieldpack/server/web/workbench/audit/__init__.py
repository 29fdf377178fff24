"""The page of a workspace's audit log."""
