"""`fieldpack study link` and `links`: for all participants of a study, and personal ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from fieldpack.cli.completion import StudyId
from fieldpack.cli.inputs import read_ids
from fieldpack.cli.lists import list_command
from fieldpack.cli.options import AsJson
from fieldpack.errors import UsageError

__all__ = ["register"]

_IN_CSV = ("participant_id", "url", "expires_at", "once")


def register(app: typer.Typer) -> None:
    """Add the commands to those of studies."""
    list_command(app, "links", ("participant_id", "url"), in_csv=_IN_CSV, empty="No link was made.")(
        make_links
    )
    app.command("link")(show_link)


def make_links(
    study_id: StudyId,
    participants: Annotated[
        list[str] | None, typer.Argument(metavar="[PARTICIPANT_ID]...", help="Ids of participants.")
    ] = None,
    source: Annotated[
        Path | None, typer.Option("--from", help="File with an id on each line; - is standard input.")
    ] = None,
    days: Annotated[
        int | None, typer.Option(min=1, max=366, help="Days that the links are good; 90 unless given.")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Each link opens once only.")] = False,
) -> list[dict[str, Any]]:
    """Make a link for each participant, signed by the server: it opens the study for them, and for nobody else.

    A study whose `resume` is `signed` opens by nothing else, the hosted service's secured links aside. Whoever has a
    link is that participant to the study: send each to its own. Nothing is stored, and earlier links stay good.
    """
    from fieldpack.client import Client

    ids = [*(participants or []), *(read_ids(source) if source else [])]
    if not ids:
        raise UsageError("Name the participants: their ids, or --from FILE with one on each line.")
    until = datetime.now(UTC) + timedelta(days=days) if days else None
    with Client() as client:
        return client.make_links(study_id, ids, expires_at=until, once=once)


def show_link(
    study_id: StudyId,
    own: Annotated[
        bool, typer.Option("--own-ids", help="The one that makes an id for each browser that opens it.")
    ] = False,
    ask: Annotated[bool, typer.Option("--ask", help="The one that asks participants for their ids.")] = False,
    qr: Annotated[
        Path | None, typer.Option("--qr", metavar="FILE", help="Write it as a QR code, an SVG file.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file if it exists.")] = False,
    json: AsJson = False,
) -> None:
    """Print a study's link: for recruiting services, which fill in ids, unless told otherwise."""
    from fieldpack.cli.output import print_json, print_text
    from fieldpack.client import Client
    from fieldpack.errors import FieldpackError
    from fieldpack.files import write_whole

    if own and ask:
        raise UsageError("Give --own-ids or --ask, not both.")
    kind = "own" if own else "ask" if ask else "recruiting"
    if qr is not None and kind == "recruiting":
        raise UsageError("A link with placeholders can't be scanned: give --own-ids or --ask with --qr.")
    if qr is not None and qr.exists() and not force:
        raise FieldpackError(f"{qr} is there already; use --force to overwrite it.")
    with Client() as client:
        link = next((each for each in client.list_links(study_id) if each["kind"] == kind), None)
    if link is None:
        raise FieldpackError(f"The server has no such link of the study {study_id} ({kind}).")
    if qr is not None:
        write_whole(qr, str(link["svg"] or "").encode())
    if json:
        print_json({"kind": kind, "url": link["url"], **({"qr": str(qr)} if qr is not None else {})})
    else:
        print_text(str(link["url"]))
