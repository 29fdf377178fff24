"""JSON answers."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.responses import JSONResponse

__all__ = ["OrjsonResponse"]

_OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC | orjson.OPT_NON_STR_KEYS


class OrjsonResponse(JSONResponse):
    """JSON by orjson: times in UTC with `Z`, UUIDs as text."""

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content, option=_OPTIONS)
