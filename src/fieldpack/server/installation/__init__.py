"""An installation: a database and a storage that belong together, opened, and never one without the other."""
