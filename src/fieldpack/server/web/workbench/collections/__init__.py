"""Collections: found on the first page, made and changed, put aside and ended."""
