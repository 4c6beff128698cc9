"""Logs: one way out for our own and for every library's, for people or as a JSON object a line, without secrets.

Goes to standard error. Knows no web framework: the process that holds the model uses it too.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

HANDLER = "lifelearn"  # by which our handler is known again
HIDDEN = "***"
_SECRET_NAME = re.compile(
    r"(?:^|[_-])(?:password|passwd|passphrase|secret|token|csrf|authorization|cookies?|credentials?|api_?key|seal(?:ed)?)"
    r"(?:$|[_-])",
    re.IGNORECASE,
)
_SECRET_TEXTS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]{6,}", re.IGNORECASE), rf"\1 {HIDDEN}"),
    (re.compile(r"//[^/\s@'\"]+@"), f"//{HIDDEN}@"),  # a password in a URL
    (re.compile(r"([?&](?:code|state|id_token)=)[^\s&'\"]+", re.IGNORECASE), rf"\1{HIDDEN}"),
    (
        re.compile(
            r"(\b[\w-]*(?:password|passwd|secret|token|csrf|cookie|authorization|api[_-]?key)['\"]?\s*[=:]\s*['\"]?)"
            r"[^\s'\"&;,)}]+",
            re.IGNORECASE,
        ),
        rf"\1{HIDDEN}",
    ),
    (
        re.compile(r"input_value=.*?(?=, input_type=)", re.DOTALL),
        f"input_value={HIDDEN}",
    ),  # pydantic's
    (re.compile(r"\bsk-[\w-]{12,}"), HIDDEN),
    # Our own tokens: 43 random characters, in a path too. Long names in traces have no capitals and digits at once.
    (re.compile(r"(?<![\w-])(?=[\w-]*\d)(?=[\w-]*[A-Z])(?=[\w-]*[a-z])[\w-]{43,}"), HIDDEN),
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")  # would move the cursor of who reads the log


def configure(log_format: Literal["console", "json"]) -> None:
    """Sends all logs of this process one way. May be called again."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,  # a plain trace, without the values of variables
        without_secrets,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    renderer: Processor = structlog.processors.JSONRenderer(ensure_ascii=False)
    if log_format == "console":
        plain = structlog.dev.plain_traceback
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)
    handler = _Stderr()
    handler.set_name(HANDLER)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    for old in [each for each in root.handlers if each.get_name() == HANDLER]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    for name in ("uvicorn", "uvicorn.error"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    access = logging.getLogger("uvicorn.access")  # guard.py logs each request, and not its path, which may hold a token
    access.handlers.clear()
    access.propagate = False
    for name in ("alembic", "dbos", "httpx2", "httpcore2", "openai", "multipart", "python_multipart"):
        logging.getLogger(name).setLevel(logging.WARNING)


def without_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Masks what is secret, by the names of values and by how secrets look in texts."""
    return {name: HIDDEN if _is_secret(name, value) else _cleaned(value) for name, value in event.items()}


def _is_secret(name: object, value: object) -> bool:
    return value is not None and isinstance(name, str) and _SECRET_NAME.search(name) is not None


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        for pattern, shown in _SECRET_TEXTS:
            value = pattern.sub(shown, value)
        return _CONTROL.sub("?", value)
    if isinstance(value, bytes):
        return _cleaned(value.decode(errors="replace"))
    if isinstance(value, Mapping):
        return {name: HIDDEN if _is_secret(name, each) else _cleaned(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        pair = len(value) == 2 and _is_secret(_cleaned(value[0]) if isinstance(value[0], bytes) else value[0], value[1])
        return [_cleaned(value[0]), HIDDEN] if pair else [_cleaned(each) for each in value]  # a header, for one
    return value


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to what standard error is at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)
