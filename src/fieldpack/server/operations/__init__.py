"""For operators: health checks, metrics, and sweeps of what is no longer needed."""
