"""Every page, and what the pages are made with."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from fieldpack.server.http.dependencies import require_room
from fieldpack.server.web.assets import router as assets
from fieldpack.server.web.participants.entrance import router as entrance
from fieldpack.server.web.participants.pages import router as participants
from fieldpack.server.web.workbench.account_pages import router as accounts
from fieldpack.server.web.workbench.administration.pages import router as administration
from fieldpack.server.web.workbench.audit.pages import router as audit
from fieldpack.server.web.workbench.collections.editor import router as editor
from fieldpack.server.web.workbench.collections.home import router as home
from fieldpack.server.web.workbench.collections.management import router as management
from fieldpack.server.web.workbench.correcting.pages import router as corrections
from fieldpack.server.web.workbench.erasing.pages import router as erasing
from fieldpack.server.web.workbench.exports.pages import router as exports
from fieldpack.server.web.workbench.gallery.files import router as files
from fieldpack.server.web.workbench.gallery.pages import router as gallery
from fieldpack.server.web.workbench.history.pages import router as history
from fieldpack.server.web.workbench.invitation_pages import router as invitations
from fieldpack.server.web.workbench.members.pages import router as members
from fieldpack.server.web.workbench.overview.live import router as live
from fieldpack.server.web.workbench.overview.pages import router as overview
from fieldpack.server.web.workbench.pages import router as researchers
from fieldpack.server.web.workbench.passkey_pages import router as passkeys
from fieldpack.server.web.workbench.provider_pages import router as provider
from fieldpack.server.web.workbench.responses import router as responses
from fieldpack.server.web.workbench.review.pages import router as review
from fieldpack.server.web.workbench.sign_in_pages import router as signing_in
from fieldpack.server.web.workbench.studies.pages import router as studies
from fieldpack.server.web.workbench.style.pages import router as style
from fieldpack.server.web.workbench.table.pages import router as table
from fieldpack.server.web.workbench.webhooks.pages import router as hooks

__all__ = ["router"]

router = APIRouter()
router.include_router(assets)
router.include_router(signing_in)
router.include_router(passkeys)
router.include_router(provider)
router.include_router(accounts)
router.include_router(invitations)
router.include_router(members)
router.include_router(home)
router.include_router(management)
router.include_router(exports)
router.include_router(editor)
router.include_router(researchers)
router.include_router(table)
router.include_router(overview)
router.include_router(live)
router.include_router(responses)
router.include_router(erasing)
router.include_router(review)
router.include_router(corrections, dependencies=[Depends(require_room)])
router.include_router(files)
router.include_router(gallery)
router.include_router(studies)
router.include_router(entrance, dependencies=[Depends(require_room)])
router.include_router(hooks)
router.include_router(administration)
router.include_router(style)
router.include_router(history)
router.include_router(audit)
router.include_router(participants, dependencies=[Depends(require_room)])
