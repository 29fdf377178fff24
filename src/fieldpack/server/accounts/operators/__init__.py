"""Who may look after the installation: sizes, jobs, sweeps. It opens nothing of any workspace."""
