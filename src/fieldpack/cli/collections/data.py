"""`fieldpack collection export` and `erase`: what participants gave, downloaded or removed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fieldpack.cli.collections.responses import (
    Files,
    Longer,
    Participant,
    Search,
    Shorter,
    State,
    Study,
    Submission,
    Where,
    gather,
)
from fieldpack.cli.completion import CollectionId, complete_study
from fieldpack.cli.options import AsJson
from fieldpack.errors import ApiError, UsageError

if TYPE_CHECKING:
    from fieldpack.client import Client

__all__ = ["erase_submissions", "list_submissions", "register"]


def register(root: typer.Typer) -> None:
    """Add `export` and `erase`."""
    root.command(epilog=_EXPORT_EXAMPLES)(export)
    root.command()(erase)


_EXPORT_EXAMPLES = """\b
Examples:
  fieldpack collection export COLLECTION_ID
  fieldpack collection export COLLECTION_ID -o data/ --from 2026-01-01 --to 2026-02-01
  fieldpack collection export COLLECTION_ID --state APPROVED --files yes
  fieldpack collection export COLLECTION_ID --json | jq -r .path
  fieldpack collection export list COLLECTION_ID
"""


def export(
    collection_id: CollectionId,
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", metavar="PATH", help="File to write, or a folder to put it in."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file if it exists.")] = False,
    study_id: Annotated[
        str | None, typer.Option(help="Only responses of this study.", autocompletion=complete_study)
    ] = None,
    from_: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Only those completed at or after it (UTC).")
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="Only those completed before it.")
    ] = None,
    history: Annotated[
        bool, typer.Option("--history", help="With history.jsonl: what answers were before corrections.")
    ] = False,
    state: State = None,
    study: Study = None,
    submission: Submission = None,
    participant: Participant = None,
    files: Files = None,
    shorter: Shorter = None,
    longer: Longer = None,
    search: Search = None,
    where: Where = None,
    timeout: Annotated[
        float | None,
        typer.Option(min=0, metavar="SECONDS", help="How long to wait for the archive to be made."),
    ] = None,
    connections: Annotated[
        int, typer.Option(min=1, max=16, help="How many parts of a large archive to bring at a time.")
    ] = 1,
    json: AsJson = False,
) -> None:
    """Download everything a collection holds, as one ZIP archive.

    Requests the archive, waits until it is made, downloads it and checks it. The file is named
    COLLECTION_ID-export-YYYYMMDD-HHMMSS.zip (local time of the export) unless -o names it. Run the same
    command again after a break: the download goes on where it broke off.
    """
    from fieldpack.cli.output import print_json, print_note, print_text
    from fieldpack.client import Client, ExportRecord
    from fieldpack.client.export import collect_filter, export_collection
    from fieldpack.text import say_bytes, say_count

    if output == "-":
        raise UsageError("An archive is checked on disk before it gets its name: give -o a file, not -.")
    filter = gather(
        state=state,
        study=study,
        submission=submission,
        participant=participant,
        files=files,
        shorter=shorter,
        longer=longer,
        search=search,
        where=where,
    )
    exports: list[ExportRecord] = []
    targets: list[Path] = []
    with Client() as client:
        try:
            path = export_collection(
                client,
                collection_id,
                output,
                narrowed=collect_filter(study_id, from_, to, filter, history=history),
                force=force,
                progress=True,
                timeout=timeout,
                connections=connections,
                on_export=exports.append,
                on_target=targets.append,
            )
        except KeyboardInterrupt:
            print_note(f"Stopped: {_say_how_to_resume(targets)}")
            raise typer.Exit(130) from None
    done = exports[-1]
    size = path.stat().st_size
    if json:
        print_json(
            {
                "path": str(path),
                "size_bytes": size,
                "submission_count": done.submission_count,
                "file_count": done.file_count,
                "export_id": done.export_id,
                "created_at": done.created_at,
                "snapshot_at": done.snapshot_at,
            }
        )
        return
    counts = ((done.submission_count, "submission"), (done.file_count, "file"))
    said = [say_count(number, noun) for number, noun in counts if number is not None]
    print_text(f"{path}: {', '.join([say_bytes(size), *said])}")


def erase(
    collection_id: CollectionId,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")] = False,
    json: AsJson = False,
) -> None:
    """Erase every answer and file that participants gave to a collection.

    Every export that holds them goes with them, and download links already handed out stop working. The
    collection itself stays. It cannot be undone.
    """
    from fieldpack.cli.output import print_json, print_text
    from fieldpack.client import Client
    from fieldpack.text import make_plain, say_count

    with Client() as client:
        name = make_plain(str(client.get_collection(collection_id).get("name")))
        submissions = list_submissions(client, collection_id)
        if submissions and not yes:
            if not sys.stdin.isatty():
                raise UsageError("Erasing asks first, and there is no terminal to ask at: give --yes.")
            typer.confirm(
                f"Erase {say_count(len(submissions), 'submission')} of {name!r} ({make_plain(collection_id)}), "
                "with all answers, files and exports, for good?",
                abort=True,
                err=True,
            )
        erase_submissions(client, submissions)
        left = next(client.iter_responses(collection_id), None)
    if left is not None:
        erased = (
            f"{say_count(len(submissions), 'submission')} {'was' if len(submissions) == 1 else 'were'} erased"
        )
        raise ApiError(
            f"{erased}, but the collection still holds answers (someone "
            "may have submitted meanwhile): pause its studies and run it again.",
            status=409,
        )
    if json:
        print_json({"collection_id": collection_id, "erased_submissions": len(submissions)})
    else:
        print_text(f"Erased {say_count(len(submissions), 'submission')} of {name}.")


def erase_submissions(client: Client, submissions: list[str]) -> None:
    """Erase them, one after another, where somebody can see how far it is."""
    if submissions:
        with typer.progressbar(submissions, label="erasing", file=sys.stderr) as remaining:
            for submission_id in remaining:
                client.delete_submission(submission_id)


def list_submissions(client: Client, collection_id: str) -> list[str]:
    """Ids of all submissions of all studies on a collection, whatever their status."""
    studies: list[dict[str, Any]] = [
        study
        for is_test in (False, True)
        for study in client.list_studies(is_test=is_test)
        if study.get("data_collection_id") == collection_id
    ]
    return [str(item["id"]) for study in studies for item in client.list_submissions(str(study["id"]))]


def _say_how_to_resume(targets: list[Path]) -> str:
    partial = targets[-1].with_name(targets[-1].name + ".part") if targets else None
    if partial is not None and partial.exists():
        return f"what has come is kept in {partial}; run the same command again to go on."
    return "the export goes on at the server; run the same command again to pick it up."
