"""Running it: health, metrics, logs."""

from __future__ import annotations

import structlog
from fastapi import APIRouter

from lifelearn.settings import Settings

router = APIRouter()


def configure_logging(settings: Settings) -> None:
    structlog.configure()
