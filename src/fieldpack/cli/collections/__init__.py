"""`fieldpack collection`: its commands, and the files that describe a collection."""
