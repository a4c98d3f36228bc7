"""HTTP: the registry protocol under /v2 and everything else."""
