"""What the OCI specifications say, as pure values and functions."""
