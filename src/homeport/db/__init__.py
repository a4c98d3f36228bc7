"""Metadata in SQLite or PostgreSQL: one schema, statements as functions that take the connection."""
