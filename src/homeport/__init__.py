"""Homeport: a self-hosted home for container images."""

__version__ = "0.1.0"
