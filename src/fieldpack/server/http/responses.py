"""JSON answers."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.responses import JSONResponse

__all__ = ["OrjsonResponse", "render_json"]

_OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC | orjson.OPT_NON_STR_KEYS


def render_json(content: Any) -> bytes:
    """JSON as all answers have it: times in UTC with `Z`, UUIDs as text."""
    return orjson.dumps(content, option=_OPTIONS)


class OrjsonResponse(JSONResponse):
    """JSON by orjson, as `render_json` writes it."""

    def render(self, content: Any) -> bytes:
        return render_json(content)
