"""Reading archives: from a ZIP, an extracted folder or a link, with nothing trusted before it was checked."""
