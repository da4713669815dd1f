"""What Alembic runs to migrate. Connection and transaction come from :mod:`recognizance.storage.migrate`."""

from alembic import context

from recognizance.storage.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite alters a table by copying it
    transactional_ddl=True,  # SQLite does roll back CREATE TABLE, whatever Alembic believes by default
)
context.run_migrations()
