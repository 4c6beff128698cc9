"""Read by Alembic: runs revisions on the connection that it is handed, in the transaction that is open there."""

from __future__ import annotations

from alembic import context

from lifelearn.workspace.migrations import options

context.configure(connection=context.config.attributes["connection"], **options())
context.run_migrations()
