"""Pages of erasing: what would go, the id or the number that has to be typed, and the proof."""
