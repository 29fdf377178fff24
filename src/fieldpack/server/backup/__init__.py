"""Backups: an installation's rows and files, copied while it runs, checked, pruned and restored."""
