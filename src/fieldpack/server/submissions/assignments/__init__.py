"""Who is to review a submission. Exports do not contain it, so no counter is raised."""
