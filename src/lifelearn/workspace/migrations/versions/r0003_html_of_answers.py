"""The HTML of answers, kept. Those that are there have none yet: it is made when they are shown."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("messages", schema=None) as batch_op:
        batch_op.add_column(sa.Column("html", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("html_form", sa.Integer(), nullable=True))
