"""Members: who has which role in a workspace, and on single collections of it."""
