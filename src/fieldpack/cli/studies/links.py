"""`fieldpack study links`: personal links for the participants of a study."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from fieldpack.cli.completion import StudyId
from fieldpack.cli.inputs import read_ids
from fieldpack.cli.options import AsJson
from fieldpack.errors import UsageError

__all__ = ["make_links"]

_COLUMNS = ("participant_id", "url", "expires_at", "once")


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
    csv: Annotated[bool, typer.Option("--csv", "-c", help="Print CSV.")] = False,
    json: AsJson = False,
) -> None:
    """Make a link for each participant, signed by the server: it opens the study for them, and for nobody else.

    A study whose `resume` is `signed` opens by nothing else, the hosted service's secured links aside. Whoever has a
    link is that participant to the study: send each to its own. Nothing is stored, and earlier links stay good.
    """
    from fieldpack.cli.output import pick_format, print_csv, print_json, print_text
    from fieldpack.client import Client

    shown = pick_format(json=json, csv=csv, table=False)
    ids = [*(participants or []), *(read_ids(source) if source else [])]
    if not ids:
        raise UsageError("Name the participants: their ids, or --from FILE with one on each line.")
    until = datetime.now(UTC) + timedelta(days=days) if days else None
    with Client() as client:
        made = client.make_links(study_id, ids, expires_at=until, once=once)
    if shown == "json":
        print_json(made)
    elif shown == "csv":
        print_csv(made, _COLUMNS)
    else:
        for link in made:
            print_text(f"{link['participant_id']}  {link['url']}")
