"""Logs: structlog's lines, ours and the libraries', to standard error, as text or as JSON."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

from fieldpack.server.config import Settings
from fieldpack.text import make_plain

__all__ = ["configure_logs"]


def configure_logs(settings: Settings, *, process: str) -> None:
    """Set up logging for this process; every line names it."""
    level = getattr(logging, settings.log_level.upper())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _name_process(process),
    ]
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            # plain: the other one writes every local variable, participants' answers and tokens among them
            exception_formatter=structlog.dev.plain_traceback,
        )
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info if settings.log_format == "json" else _make_values_plain,
            renderer,
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in ("procrastinate", "httpx", "uvicorn", "psycopg.pool", "alembic", "asyncio"):
        logging.getLogger(noisy).setLevel(max(level, logging.WARNING))
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )


def _make_values_plain(_: Any, __: str, event: Any) -> Any:
    """Escape control characters: paths and messages hold what strangers sent, and terminals act on them."""
    return {name: make_plain(value) if isinstance(value, str) else value for name, value in event.items()}


def _name_process(process: str) -> Any:
    def add(_: Any, __: str, event: dict[str, Any]) -> dict[str, Any]:
        return {"process": process, **event}

    return add
