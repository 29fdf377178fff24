"""Links that sign a researcher in once, for whoever may read the data folder or the database."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from urllib.parse import quote

import httpx
import orjson

from fieldpack.errors import FieldpackError
from fieldpack.server.accounts import queries, sessions
from fieldpack.server.config import Settings
from fieldpack.server.db.pool import Connection
from fieldpack.server.run.administration import CREDENTIALS, administer, opened_database

__all__ = ["Welcome", "find_origin", "link_of", "make_sign_in_link", "prepare_welcome"]

LOOK_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Welcome:
    """What a server that was just started has to say to who sits before it.

    Attributes:
        code: signs the researcher in; None when it isn't clear whom.
        has_collections: whether there is anything yet.
    """

    code: str | None
    has_collections: bool


def link_of(origin: str, code: str) -> str:
    """The link for a code. In the query, which neither our log nor that of `deploy/nginx.conf` has."""
    return f"{origin}{sessions.SIGN_IN_ONCE}?code={quote(code)}"


def make_sign_in_link(settings: Settings, email: str | None) -> str:
    """A link to this installation's server that signs a researcher in once.

    Args:
        settings: where the installation is.
        email: of the researcher; None for the only one.

    Raises:
        FieldpackError: it isn't known where the server is, or it does not answer; see `make_sign_in_code`.
    """
    origin = find_origin(settings)
    return link_of(
        origin, administer(settings, lambda connection: sessions.make_sign_in_code(connection, email))
    )


def find_origin(settings: Settings) -> str:
    """What links to this installation's server begin with.

    Raises:
        FieldpackError: it isn't known where the server is, or it does not answer.
    """
    local, ca_file = _find_server(settings)
    if local is not None:
        _require_answer(local, ca_file)
    origin = settings.public_url or local
    if origin is None:
        with opened_database(settings):  # raises, where there is no installation at all
            pass
        raise FieldpackError(
            "It isn't known where the server is: run this where `fieldpack serve` runs, or set FIELDPACK_PUBLIC_URL."
        )
    return origin


def _find_server(settings: Settings) -> tuple[str | None, str | None]:
    """Where the server of this data folder said it is, and the certificate authority that vouches for it."""
    try:
        kept = orjson.loads((settings.data_dir / CREDENTIALS).read_bytes())
        return str(kept["url"]), kept.get("ca_file")
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return None, None


def _require_answer(url: str, ca_file: str | None) -> None:
    try:
        verify = ssl.create_default_context(cafile=ca_file) if ca_file else True
        httpx.get(f"{url}/health/live", verify=verify, trust_env=False, timeout=LOOK_SECONDS)
    except (OSError, httpx.HTTPError):
        raise FieldpackError(f"No server answers at {url}: start it with `fieldpack serve`.") from None


def prepare_welcome(settings: Settings, email: str | None) -> Welcome:
    """A sign-in code, and what there is already."""

    async def work(connection: Connection) -> Welcome:
        known = email is not None or len(await queries.list_researchers(connection, 2)) == 1
        code = await sessions.make_sign_in_code(connection, email) if known else None
        return Welcome(code, await queries.has_collections(connection))

    return administer(settings, work)
