"""Who changed a correction's words last: nobody approves their own words. Of those that are there, their author."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("corrections", schema=None) as batch_op:
        batch_op.add_column(sa.Column("worded_by", sa.Uuid(), nullable=True))
        batch_op.create_foreign_key(
            op.f("fk_corrections_worded_by_users"), "users", ["worded_by"], ["id"], ondelete="SET NULL"
        )
