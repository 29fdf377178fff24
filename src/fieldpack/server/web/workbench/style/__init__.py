"""The visual language of the pages, shown."""
