"""Runs migrations on the connection that `homeport.db.upgrade` passes in."""

from alembic import context

from homeport.db.schema import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=connection.dialect.name == "sqlite",
    transaction_per_migration=False,
)
context.run_migrations()
