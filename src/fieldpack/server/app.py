"""The HTTP application: all routers, and the error body of every refusal."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import psycopg
import structlog
from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from psycopg_pool import PoolTimeout
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from fieldpack import __version__
from fieldpack.errors import StorageError, StorageFull
from fieldpack.server.accounts.invitations.routes import router as invitations
from fieldpack.server.accounts.members.routes import router as members
from fieldpack.server.accounts.personal.routes import router as personal
from fieldpack.server.accounts.routes import router as accounts
from fieldpack.server.accounts.tokens.routes import router as tokens
from fieldpack.server.audit.routes import router as audit
from fieldpack.server.collections.inputs import describe_faults
from fieldpack.server.collections.routes import router as collections
from fieldpack.server.config import Settings
from fieldpack.server.envelope import Envelope
from fieldpack.server.exports.conversions.routes import link_router as converted
from fieldpack.server.exports.conversions.routes import router as conversions
from fieldpack.server.exports.routes import router as exports
from fieldpack.server.exports.serve import links
from fieldpack.server.exports.serve.routes import router as download
from fieldpack.server.groups.routes import router as groups
from fieldpack.server.hooks.routes import router as hooks
from fieldpack.server.http.dependencies import make_room, require_room
from fieldpack.server.http.direct.table import DirectTable
from fieldpack.server.http.methods import allowed_methods
from fieldpack.server.http.openapi import describe_api
from fieldpack.server.http.rate_limit import RateLimit
from fieldpack.server.http.responses import OrjsonResponse
from fieldpack.server.installation.opening import open_context
from fieldpack.server.operations.health import router as health
from fieldpack.server.operations.routes import router as operations
from fieldpack.server.pictures.routes import router as pictures
from fieldpack.server.problems import (
    FORBIDDEN,
    INVALID,
    MALFORMED,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    RETRY_SECONDS,
    STORAGE_FULL,
    TOO_LARGE,
    UNAVAILABLE,
    Problem,
    ProblemType,
)
from fieldpack.server.projects.routes import router as projects
from fieldpack.server.responses.edits.routes import router as edits
from fieldpack.server.responses.erasing.routes import router as erasing
from fieldpack.server.responses.history.routes import router as history
from fieldpack.server.responses.removal.routes import router as removal
from fieldpack.server.responses.review.routes import router as reviews
from fieldpack.server.responses.routes import router as responses
from fieldpack.server.studies.routes import project_router
from fieldpack.server.studies.routes import router as studies
from fieldpack.server.submissions.corrections.routes import router as corrections
from fieldpack.server.submissions.participant_routes import known_router, start_router
from fieldpack.server.submissions.participant_routes import router as participate
from fieldpack.server.submissions.review.routes import router as review
from fieldpack.server.submissions.routes import router as submissions
from fieldpack.server.tickets.routes import router as tickets
from fieldpack.server.uploads.routes import creating_router, tus_router
from fieldpack.server.uploads.routes import router as uploads
from fieldpack.server.web.refusals import answer_refusal
from fieldpack.server.web.routes import router as pages

__all__ = ["API", "Application", "create_app"]

API = "/api/v1"
ROUTERS = (
    *(
        accounts,
        personal,
        members,
        tokens,
        invitations,
        audit,
        collections,
        pictures,
        projects,
        groups,
        hooks,
        exports,
        conversions,
        download,
        converted,
        studies,
        project_router,
        tickets,
        submissions,
        operations,
        review,
        corrections,
        edits,
        erasing,
        history,
        removal,
        reviews,
        responses,
        start_router,
        participate,
        known_router,
        uploads,
    ),
)
GROWING = (
    pictures,
    exports,
    conversions,
    corrections,
    start_router,
    participate,
    known_router,
    uploads,
)  # what these take needs room on the disk
INTAKE = (
    start_router,
    participate,
    known_router,
    creating_router,
    tus_router,
)  # what participants do over and over
BY_STATUS = {400: MALFORMED, 403: FORBIDDEN, 404: NOT_FOUND, 405: METHOD_NOT_ALLOWED}

log = structlog.get_logger()


class Application(FastAPI):
    """The framework's application, and in front of it what participants do over and over."""

    direct: DirectTable
    enveloped: Envelope

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self.direct.find(scope)
        if found is None:
            await super().__call__(scope, receive, send)
        else:
            await self.enveloped(found, receive, send)


def create_app(settings: Settings, database_url: str) -> Application:
    """The application of one web process."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_context(settings, database_url, patient=True) as context:
            app.state.context = context
            yield

    app = Application(
        title="fieldpack",
        version=__version__,
        description="Collections of original data from participants, and their export as one archive.",
        lifespan=lifespan,
        default_response_class=OrjsonResponse,
        dependencies=[Depends(make_room)],
        redirect_slashes=False,
        openapi_url=f"{API}/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    for router in ROUTERS:
        growing = [Depends(require_room)] if router in GROWING else None
        app.include_router(router, prefix=API, dependencies=growing)
    app.include_router(health)
    app.include_router(pages)
    app.openapi = lambda: describe_api(app)  # type: ignore[method-assign]  # as FastAPI documents it
    _handle_errors(app)
    limit = RateLimit(settings.rate_per_address)
    app.add_middleware(Envelope, limit=limit, hsts_seconds=settings.hsts_seconds)
    taken = [route for router in INTAKE for route in router.routes]
    app.direct = DirectTable(app, API, taken, _prepare)
    app.enveloped = Envelope(app.direct.answer, limit=limit, hsts_seconds=settings.hsts_seconds)
    return app


async def _prepare(request: Request) -> None:
    """What the framework's routes of intake depend on, besides what each declares."""
    await make_room(request)
    await require_room(request)


def _handle_errors(app: FastAPI) -> None:
    @app.exception_handler(Problem)
    async def on_problem(request: Request, error: Problem) -> Response:
        return answer_refusal(
            request, error.type, error.detail, headers=error.headers, information=error.information
        )

    @app.exception_handler(RequestValidationError)
    async def on_validation(request: Request, error: RequestValidationError) -> Response:
        return answer_refusal(request, INVALID, describe_faults(error.errors()))

    @app.exception_handler(HTTPException)
    async def on_http(request: Request, error: HTTPException) -> Response:
        if request.method == "OPTIONS" and (allowed := allowed_methods(request)):
            return Response(status_code=204, headers={"Allow": allowed})
        type = BY_STATUS.get(error.status_code) or ProblemType(
            error.status_code, 100000 + error.status_code * 100, str(error.detail)
        )
        if error.status_code == 404 and links.is_signed(request.url.query):
            return await on_problem(request, links.altered())  # its path was changed, not its signature
        detail, headers = str(error.detail), dict(error.headers or {})
        if error.status_code == 404:
            detail = f"There is nothing at {request.url.path}."
        elif error.status_code == 405:
            allowed = allowed_methods(request)
            if not allowed:
                return answer_refusal(request, NOT_FOUND, f"There is nothing at {request.url.path}.")
            detail = f"{request.method} is not possible here, only {allowed}."
            headers["Allow"] = allowed
        return answer_refusal(request, type, detail, headers=headers)

    @app.exception_handler(psycopg.OperationalError)
    @app.exception_handler(PoolTimeout)
    @app.exception_handler(StorageError)
    async def on_unavailable(request: Request, error: Exception) -> Response:
        log.error("unavailable", path=request.url.path, error=str(error))
        return answer_refusal(
            request,
            UNAVAILABLE,
            "The database or the storage does not answer. Nothing was lost; send this again in a moment.",
            headers={"Retry-After": str(RETRY_SECONDS)},
        )

    @app.exception_handler(psycopg.errors.ProgramLimitExceeded)
    async def on_limit(request: Request, error: Exception) -> Response:
        log.error("too_large", path=request.url.path, error=str(error))
        return answer_refusal(
            request,
            TOO_LARGE,
            "This is more than the database can hold in one piece: make it smaller, and send it again.",
        )

    @app.exception_handler(psycopg.errors.DiskFull)
    @app.exception_handler(StorageFull)
    async def on_full(request: Request, error: Exception) -> Response:
        log.error("storage.full", path=request.url.path, error=str(error))
        return answer_refusal(
            request, STORAGE_FULL, "The server's storage is full. Tell the researcher, and try again later."
        )

    @app.exception_handler(ClientDisconnect)
    async def on_disconnect(request: Request, error: Exception) -> Response:
        return Response(status_code=499)
