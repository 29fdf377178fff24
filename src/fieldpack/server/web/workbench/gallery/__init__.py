"""Uploaded files to look at: the gallery, each file itself, and small pictures of them."""
