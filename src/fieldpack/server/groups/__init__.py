"""Groups of participants: lists of ids that studies admit, leave out, or add to."""
