"""The data plane: pull, push, list, referrers."""
