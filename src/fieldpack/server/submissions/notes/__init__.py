"""What researchers write about a submission: in no export, and erased with it."""
