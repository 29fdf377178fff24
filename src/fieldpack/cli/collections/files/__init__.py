"""What a collection's file holds: YAML or JSON with its lines, a server's rules for it, and likely mistakes."""
