"""The log of what happens to collections, studies, submissions and exports. Triggers of the database write it."""
