"""`…/collections/{id}/check`: what a `PUT` of the same would do."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from fieldpack.server.accounts.access import CurrentCaller, ResearcherRoute, asks
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.collections.limits import check_limits
from fieldpack.server.collections.schemas import CollectionReplacement
from fieldpack.server.config import Settings
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.ids import CollectionId
from fieldpack.server.responses.edits import service


class EditRoute(ResearcherRoute):
    """A route that takes a collection, which may say no more than so much."""

    def check_body(self, body: Any, settings: Settings) -> None:
        check_limits(body, settings)


router = APIRouter(route_class=EditRoute, tags=["collections"])


@router.post("/data-collection/collections/{collection_id}/check")
@asks(Action.COLLECTION_WRITE)
async def check_collection(
    context: CurrentContext, caller: CurrentCaller, collection_id: CollectionId, body: CollectionReplacement
) -> dict[str, Any]:
    """What a replacement would do to the answers that were given. Nothing is changed."""
    async with context.database.transaction() as connection:
        return service.describe_effects(await service.find_effects(connection, caller, collection_id, body))
