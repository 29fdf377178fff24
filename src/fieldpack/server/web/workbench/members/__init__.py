"""The page of a workspace's members."""
