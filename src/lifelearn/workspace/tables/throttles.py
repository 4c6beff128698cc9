"""What was tried how often, by whom: counted in throttle.py."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from lifelearn.workspace.database import Base


class Throttle(Base):
    """How often something was tried since `since`, for all processes."""

    __tablename__ = "throttles"

    key: Mapped[str] = mapped_column(primary_key=True)
    since: Mapped[datetime] = mapped_column(index=True)
    count: Mapped[int]
