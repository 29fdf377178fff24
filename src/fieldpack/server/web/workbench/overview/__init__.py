"""A collection's overview: its page, what is drawn on it, and the stream that keeps it up to date."""
