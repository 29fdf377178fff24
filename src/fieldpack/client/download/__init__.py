"""Bringing an archive here: opened, resumed, checked while its bytes go by."""
