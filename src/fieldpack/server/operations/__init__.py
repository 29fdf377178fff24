"""What those who run a server look at and set going: health, and sweeps of what nothing needs."""
