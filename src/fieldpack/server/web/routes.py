"""Every page, and what the pages are made with."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from ..http.dependencies import require_room
from .assets import router as assets
from .participants import router as participants
from .researchers import router as researchers

__all__ = ["router"]

router = APIRouter()
router.include_router(assets)
router.include_router(researchers)
router.include_router(participants, dependencies=[Depends(require_room)])
