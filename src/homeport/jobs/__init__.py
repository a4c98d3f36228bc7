"""Work done later, in the jobs process."""
