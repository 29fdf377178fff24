"""`fieldpack submission correct` and `corrections`: answers corrected after they were handed in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from fieldpack.cli.lists import list_command
from fieldpack.cli.options import AsJson
from fieldpack.cli.output import print_json, print_text
from fieldpack.errors import UsageError

__all__ = ["register"]

_CORRECT_EXAMPLES = """\b
Examples:
  fieldpack submission correct SUBMISSION_ID -q QUESTION_ID --value 72.5 --unit kg --reason "Typed by phone."
  fieldpack submission correct SUBMISSION_ID -q QUESTION_ID --answer '{"value": ["a", "b"]}' --reason "As told."
  fieldpack submission correct SUBMISSION_ID -q QUESTION_ID --clear --reason "Names a neighbour."
  fieldpack submission correct SUBMISSION_ID --file-key FILE_KEY --file blurred.jpg --reason "Faces are blurred."
"""

_COLUMNS = ("created_at", "author", "instruction_id", "version", "reason", "before", "after")

SubmissionId = Annotated[str, typer.Argument(metavar="SUBMISSION_ID", help="Id of the submission.")]


def register(app: typer.Typer) -> None:
    """Add the commands to those of submissions."""
    app.command("correct", epilog=_CORRECT_EXAMPLES)(correct)
    list_command(
        app, "corrections", _COLUMNS, flatten=_flatten, empty="Nothing of this submission was corrected."
    )(list_corrections)


def correct(
    submission_id: SubmissionId,
    reason: Annotated[
        str, typer.Option("-r", "--reason", help="Why; whoever looks at the corrections sees it.")
    ],
    question: Annotated[
        str | None, typer.Option("-q", "--question", metavar="ID", help="The question whose answer it is.")
    ] = None,
    value: Annotated[
        list[str] | None,
        typer.Option(
            "--value", help="The answer; of a choice an option's value, as often as options are chosen."
        ),
    ] = None,
    unit: Annotated[str | None, typer.Option("--unit", help="The unit of a number.")] = None,
    answer: Annotated[
        str | None, typer.Option("--answer", metavar="JSON", help="The whole answer as participants send it.")
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Remove the answer.")] = False,
    file: Annotated[Path | None, typer.Option("--file", help="The file to put in another's place.")] = None,
    file_key: Annotated[
        str | None, typer.Option("--file-key", metavar="KEY", help="The file that is replaced.")
    ] = None,
    version: Annotated[
        int | None,
        typer.Option("--version", min=1, help="The version you have seen; refused if it is another by now."),
    ] = None,
    json: AsJson = False,
) -> None:
    """Correct an answer that was handed in, or replace a file. What it was stays."""
    from fieldpack.client import Client

    given = [value is not None or unit is not None, answer is not None, clear, file is not None]
    if sum(given) != 1:
        raise UsageError("Give one of --value, --answer, --clear, or --file with --file-key.")
    if (file is None) != (file_key is None):
        raise UsageError("--file and --file-key go together: the new file, and the one it replaces.")
    if file is None and question is None:
        raise UsageError("Name the question with -q; `fieldpack collection get` shows the ids of questions.")
    with Client() as client:
        if file is not None and file_key is not None:
            made = client.replace_file(submission_id, file_key, file, reason=reason, version=version)
        else:
            assert question is not None
            wanted = _read_answer(answer) if answer is not None else None
            if value is not None or unit is not None:
                item = _find_item(client.get_response(submission_id), question)
                wanted = _make_answer(item, value or [], unit)
            made = client.correct_answer(submission_id, question, wanted, reason=reason, version=version)
    if json:
        print_json(made)
    else:
        print_text(f"Corrected: the answer to {made['instruction_id']} is at version {made['version']}.")


def _read_answer(text: str) -> dict[str, Any]:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise UsageError(f"--answer is no JSON: {error}.") from None
    if not isinstance(found, dict):
        raise UsageError('--answer must be an object, such as {"value": "text"}.')
    return found


def _find_item(response: Mapping[str, Any], question: str) -> Mapping[str, Any]:
    for page in response["collection"]["collection_items"]:
        for item in page["page_items"]:
            if item["id"] == question.lower():
                found: Mapping[str, Any] = item
                return found
    raise UsageError(f"The participant was not asked {question}.")


def _make_answer(item: Mapping[str, Any], values: Sequence[str], unit: str | None) -> dict[str, Any]:
    """The answer in the shape in which participants send it."""
    if item["type"] == "multiple_choice":
        return {"value": [_find_value(item["options"], text) for text in values]}
    if item["type"] == "multiple_choice_with_free_text":
        raise UsageError("Options with explanations are given with --answer, as JSON.")
    if len(values) != 1:
        raise UsageError("Give --value once.")
    if unit is None:
        return {"value": values[0]}
    return {"value": values[0], "unit": _find_value(item.get("unit_options", []), unit)}


def _find_value(options: Sequence[Mapping[str, Any]], text: str) -> Any:
    """The option's value that is written so; a text itself where there is none, which the server refuses."""
    for option in options:
        value = option["value"]
        if value == text or (not isinstance(value, str) and orjson.dumps(value).decode() == text):
            return value
    return text


def list_corrections(submission_id: SubmissionId) -> list[dict[str, Any]]:
    """Show what was corrected of a submission: when, by whom, why, and the answer before and after."""
    from fieldpack.client import Client

    with Client() as client:
        return client.list_corrections(submission_id)


def _flatten(correction: Mapping[str, Any]) -> Mapping[str, Any]:
    """A correction as a row: an answer's lines one after another."""
    said = {name: "; ".join(_say(correction[name])) for name in ("before", "after")}
    return {**correction, "author": correction["author"]["name"], **said}


def _say(response: Mapping[str, Any] | None) -> Iterator[str]:
    """A response in lines."""
    if response is None:
        return
    value = response["value"]
    if response["type"] == "file_upload" and isinstance(value, list):
        for entry in value:
            each = entry if isinstance(entry, dict) else {}
            name, size, sha256, key = map(each.get, ("file_name", "size_bytes", "sha256", "file_key"))
            yield f"{name} ({size} bytes, {sha256}, {key})"
    elif isinstance(value, list):
        for each in value:
            yield orjson.dumps(each).decode()
    else:
        unit = response.get("unit")
        yield str(value) if unit is None else f"{value} {unit}"
