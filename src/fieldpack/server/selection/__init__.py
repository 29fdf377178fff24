"""Which submissions are meant: a filter as people write it, and the same in SQL, for pages, the API and exports."""
