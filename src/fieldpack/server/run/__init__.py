"""What `fieldpack serve` and `fieldpack worker` need of the machine they run on."""
