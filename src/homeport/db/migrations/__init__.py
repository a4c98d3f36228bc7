"""Alembic migrations and the way to run them."""
