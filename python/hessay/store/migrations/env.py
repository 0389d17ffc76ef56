"""Run the steps on the connection, and inside the transaction, of whoever opened the store."""

from alembic import context

from hessay.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
