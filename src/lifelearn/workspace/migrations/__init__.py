"""The database's schema, by Alembic; brought up to date at start-up."""

from __future__ import annotations

from lifelearn.workspace.database import Base, Database


def upgrade(database: Database) -> None:
    """Brings the schema up to date."""
    Base.metadata.create_all(database.engine)
