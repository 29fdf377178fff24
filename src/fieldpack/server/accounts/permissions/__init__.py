"""Who may do what: the table of roles, and the one place that is asked."""
