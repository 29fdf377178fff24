"""The commands that run an installation and look after it: they work on its data folder or database."""
