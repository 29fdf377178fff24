"""Which collections there are: found, ordered by what happened last, and summed up without looking at submissions."""
