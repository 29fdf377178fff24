"""Links to files: whether an address can be opened at all, and following redirects by that rule."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from fieldpack.errors import TransportError

if TYPE_CHECKING:
    import httpx

__all__ = ["check_link", "join_target", "require_link", "send_following", "show_link"]

_MOST_REDIRECTS = 20
_SHOWN = 80


def check_link(url: str) -> str | None:
    """Why `url` can't be opened, as the end of a sentence, or None when it can be tried.

    What it says holds for any try: asking again does not help.
    """
    import httpx

    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port  # either may raise ValueError
        if parts.scheme not in ("http", "https"):
            return "it is not a web address"
        if not host or port == 0:
            return f"it names no {'host' if not host else 'port that can be used'}"
        # Both must take it: http.client encodes the name by the standard library, httpx by the package idna.
        host.encode("idna")
        _ = httpx.URL(url).host
    except UnicodeError:
        return "its host is no name that a host can have"
    except (ValueError, httpx.InvalidURL):
        return "its host or port makes no sense"
    return None


def show_link(url: str) -> str:
    """A link to be named in a sentence: without what may be secret (userinfo, query), and not long."""
    bare = url.split("?")[0].split("#")[0]
    scheme, mark, rest = bare.partition("://") if "://" in bare else ("", "", bare)
    authority, slash, path = rest.partition("/")
    return repr(f"{scheme}{mark}{authority.rpartition('@')[2]}{slash}{path}"[:_SHOWN])


def require_link(url: str, label: str = "") -> None:
    """Check a link.

    Args:
        label: what redirected to it; nothing for a link that was given.

    Raises:
        TransportError: it can't be opened.
    """
    if fault := check_link(url):
        whose = f"{label} redirects to {show_link(url)}, which" if label else show_link(url)
        raise TransportError(f"{whose} is not a link that can be opened: {fault}.")


def join_target(url: str, target: str) -> str:
    """Where a redirect from `url` leads; the target itself where it is malformed."""
    try:
        return urljoin(url, target)
    except ValueError:
        return target


def send_following(client: httpx.Client, request: httpx.Request, *, follow: bool = True) -> httpx.Response:
    """Send a request and follow redirects; the body of the answer is still to be read.

    Bodies of redirects are not read. As httpx does it, credentials don't leave for another origin.

    Args:
        follow: False gives back the first answer, whatever it is.

    Raises:
        TransportError: a redirect leads to what can't be opened, or there are more than 20.
        httpx.HTTPError: it could not be reached.
    """
    import httpx

    label = show_link(str(request.url))
    for _ in range(_MOST_REDIRECTS + 1):
        try:
            response = client.send(request, stream=True, follow_redirects=False)
        except (httpx.RemoteProtocolError, httpx.InvalidURL, UnicodeError) as error:
            if isinstance(error, httpx.RemoteProtocolError) and "location header" not in str(error):
                raise
            raise TransportError(f"{label} redirects to what is not a link that can be opened.") from error
        if response.next_request is None or not follow:
            return response
        response.close()
        # httpx fills in what the target lacks, and goes elsewhere than it says
        require_link(join_target(str(request.url), response.headers["Location"]), label)
        request = response.next_request
    raise TransportError(
        f"{label} is not a link that can be opened: it redirects more than {_MOST_REDIRECTS} times."
    )
