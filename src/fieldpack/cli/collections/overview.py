"""`fieldpack collection overview`: a collection in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from fieldpack.cli.completion import CollectionId
from fieldpack.cli.options import AsJson

__all__ = ["register"]

_COUNTS = (
    "started",
    "under_way",
    "submitted",
    "awaiting_review",
    "approved",
    "rejected",
    "returned",
    "timed_out",
    "erased",
    "participants",
)


def register(root: typer.Typer) -> None:
    """Add it."""
    root.command()(overview)


def overview(
    collection_id: CollectionId,
    texts: Annotated[
        bool, typer.Option("--texts", help="With the commonest texts, for whoever may read responses.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Show how many came, how far they got and what they answered, as of now.

    Without --texts nothing in it is of one person.
    """
    from fieldpack.cli.output import print_json, print_table, print_text
    from fieldpack.client import Client

    with Client() as client:
        found = client.get_overview(collection_id, texts=texts)
    if json:
        print_json(found)
        return
    for name, value in _list_facts(found):
        print_text(f"{name:<16}  {value}")
    print_text()
    questions = [_make_row(each) for each in found["questions"]]
    print_table(
        questions, ("question", "answered", "missing", "left", "answers"), empty="It asks nothing yet."
    )


def _list_facts(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    from fieldpack.report.wording import say_duration
    from fieldpack.text import say_bytes

    facts = [(name.replace("_", " ").capitalize(), f"{found[name]:,}") for name in _COUNTS]
    if found["median_seconds"] is not None:
        low, high = (say_duration(seconds) for seconds in found["quartiles_seconds"])
        facts.append(("Median time", f"{say_duration(found['median_seconds'])} (half took {low} to {high})"))
    kinds = ", ".join(f"{kind['count']:,} {kind['content_type']}" for kind in found["files_by_type"])
    files = f"{found['files']:,}"
    facts.append(("Files", f"{files} ({say_bytes(found['file_bytes'])}): {kinds}" if kinds else files))
    return facts


def _make_row(question: Mapping[str, Any]) -> dict[str, Any]:
    from fieldpack.report.wording import say_number

    said = [f"{each['label']}: {each['count']:,}" for each in question.get("counts", ())]
    numbers = question.get("numbers_by_unit") or ([question["numbers"]] if "numbers" in question else [])
    for each in numbers:
        unit = f" {each['unit']}" if each["unit"] else ""
        said.append(f"median {say_number(each['median'])}{unit} (n = {each['count']:,})")
    said += [f"{kind['count']:,} {kind['content_type']}" for kind in question.get("files", ())]
    return {
        "question": question["description"],
        "answered": question["answered"],
        "missing": question["missing"],
        "left": question["left"],
        "answers": ", ".join(said),
    }
