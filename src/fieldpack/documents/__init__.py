"""Files that people write: YAML and JSON read with the line of everything in them, and YAML written."""
