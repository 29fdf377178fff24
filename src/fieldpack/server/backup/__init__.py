"""Backups: an installation's rows and files, copied while it runs, checked, thinned out and restored."""
