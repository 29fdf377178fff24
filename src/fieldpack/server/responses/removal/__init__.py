"""The end of a collection: what participants gave is erased, then it and all that is left of it are deleted."""
