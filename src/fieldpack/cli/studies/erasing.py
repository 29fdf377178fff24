"""`fieldpack submission erase`, `bulk-erase` and `erasures`: what would go, done, and the proof of it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from fieldpack.cli.completion import CollectionId, complete_collection
from fieldpack.cli.inputs import read_ids
from fieldpack.cli.lists import list_command
from fieldpack.cli.options import AsJson
from fieldpack.errors import UsageError
from fieldpack.text import say_bytes, say_count

__all__ = ["register"]

_FILTERS = (
    *(
        "state",
        "study",
        "submission",
        "participant",
        "since",
        "before",
        "files",
        "note",
        "submitted",
        "tests",
    ),
    *("shorter", "longer", "search", "where"),
)
_COLUMNS = (
    "submission_id",
    "erased_at",
    "answers",
    "files",
    "size_bytes",
    "notes",
    "exports",
    "left",
    "listed",
)

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `fieldpack submission`."""
    app.command("erase")(erase_submission)
    app.command("bulk-erase")(erase_many)
    list_command(app, "erasures", _COLUMNS, empty="Nothing was erased in this collection.", flatten=_flatten)(
        list_erasures
    )


def erase_submission(
    submission_id: Annotated[str, typer.Argument(metavar="SUBMISSION_ID", help="Id of the submission.")],
    dry_run: DryRun = False,
    yes: Yes = False,
    json: AsJson = False,
) -> None:
    """Erase a participant's answers and files, and every export that holds them. It can't be undone.

    Says first what would go, and prints the proof of what went: random ids, times and counts, nothing of the person.
    """
    from fieldpack.cli.output import print_json, print_note, print_text
    from fieldpack.client import Client
    from fieldpack.text import make_plain

    with Client() as client:
        reach = client.check_erasure(submission_id)
        if dry_run:
            print_json(reach) if json else print_text(_say_reach(reach))
            return
        if not yes:
            print_note(_say_reach(reach))
            name = make_plain(str(reach["participant_id"]))
            typer.confirm(f"Erase for good what {name} gave ({submission_id})?", abort=True, err=True)
        client.delete_submission(submission_id)
        proof = client.get_erasure(str(reach["collection_id"]), submission_id)
    print_json(proof) if json else print_text(_say_proof(proof))


def erase_many(
    collection: Annotated[
        str, typer.Option("-c", "--collection", help="The collection.", autocompletion=complete_collection)
    ],
    participant_ids: Annotated[
        list[str] | None, typer.Option("-p", "--participant-id", help="Id; may be given several times.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("-f", "--file", help="File with a participant's id on each line.")
    ] = None,
    narrowed: Annotated[
        list[str] | None,
        typer.Option(
            "-F",
            "--filter",
            metavar="NAME=VALUE",
            help=f"Only what this lets through, as in the address of the table: {', '.join(_FILTERS)}.",
        ),
    ] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    json: AsJson = False,
) -> None:
    """Erase what several participants gave to a collection, by their ids or by a filter. It can't be undone.

    Says first what would go. At a terminal the number of submissions has to be typed; prints the proof of each.
    """
    from fieldpack.cli.output import print_json, print_note, print_text
    from fieldpack.client import Client

    people = [*(participant_ids or []), *(read_ids(file) if file else [])]
    wanted = _parse_filters(narrowed or [])
    if not people and not wanted:
        raise UsageError(
            "Name participants by -p or -f, or narrow by --filter; `fieldpack collection erase` erases everything."
        )
    with Client() as client:
        reach = client.check_erasures(collection, people or None, **wanted)
        for unknown in reach["unknown_participant_ids"]:
            print_note(f"there is no submission of {unknown} here.")
        if dry_run:
            print_json(reach) if json else print_text(_say_reach(reach))
            return
        count = int(reach["submissions"])
        if count and not yes:
            print_note(_say_reach(reach))
            if not sys.stdin.isatty():
                raise UsageError("Erasing asks first, and there is no terminal to ask at: give --yes.")
            typed = typer.prompt(f"Type {count} to erase them for good", err=True)
            if typed.strip() != str(count):
                raise typer.Abort
        proofs = []
        for proof in client.iter_erasing(collection, count, people or None, **wanted) if count else ():
            proofs.append(proof)
            if not json:
                print_text(_say_proof(proof))
    if json:
        print_json({"erased": proofs})
    else:
        print_note(f"{say_count(len(proofs), 'submission')} erased.")


def list_erasures(
    collection_id: CollectionId,
    batch: Annotated[str | None, typer.Option(help="Only those that were asked for together.")] = None,
) -> list[dict[str, Any]]:
    """List what was erased in a collection, newest first: random ids, times and counts, nothing of a person."""
    from fieldpack.client import Client

    with Client() as client:
        return client.list_erasures(collection_id, batch)


def _parse_filters(given: list[str]) -> dict[str, list[str]]:
    """The filter that options say.

    Raises:
        UsageError: one is no `NAME=VALUE`, or of an unknown name.
    """
    found: dict[str, list[str]] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not value or name not in _FILTERS:
            raise UsageError(f"--filter takes NAME=VALUE, where NAME is one of {', '.join(_FILTERS)}.")
        found.setdefault(name, []).append(value)
    return found


def _say_reach(reach: Mapping[str, Any]) -> str:
    exports = [each["status"] for each in reach["exports"]]
    parts = [
        say_count(reach["submissions"], "submission"),
        say_count(reach["answers"], "answer"),
        f"{say_count(reach['files'], 'file')} ({say_bytes(reach['size_bytes'])})",
        say_count(reach["notes"], "note"),
        f"{say_count(exports.count('complete'), 'export')} whose links end",
    ]
    if "generating" in exports:
        parts.append(f"{say_count(exports.count('generating'), 'export')} that is begun again")
    return f"would go: {', '.join(parts)}."


def _say_proof(proof: Mapping[str, Any]) -> str:
    left = proof["left"]
    ends = "nothing is left"
    if any(left.values()):
        ends = f"{say_count(left['stored_objects'], 'file')} still being deleted"
    return (
        f"Erased the submission {proof['submission_id']} at {proof['erased_at']}:"
        f" {say_count(proof['answers'] or 0, 'answer')}, {say_count(proof['files'] or 0, 'file')},"
        f" {say_count(proof['notes'] or 0, 'note')}, {say_count(len(proof['exports']), 'export')}; {ends}."
    )


def _flatten(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **row,
        "exports": len(row["exports"]),
        "left": sum(row["left"].values()),
        "listed": "yes" if row["listed"] else "no",
    }
