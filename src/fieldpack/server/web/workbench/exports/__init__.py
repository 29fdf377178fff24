"""Pages of exports: what there is, what each holds, how to get it, and what else is made of it."""
