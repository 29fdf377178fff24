"""The table of responses: its filter, its columns, and what is done with all that it shows."""
