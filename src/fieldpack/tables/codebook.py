"""The codebook of a collection: every question, its options, limits and units, as Markdown or HTML."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from fieldpack.errors import UsageError
from fieldpack.reading.model import CHOICE_TYPES, CONTENT_TYPES, Collection, Instruction, Option, scalar_text
from fieldpack.tables.column_names import Names
from fieldpack.text import say_bytes, say_count

if TYPE_CHECKING:
    from fieldpack.tables.wide import Column

__all__ = ["list_variables", "render_codebook", "render_html", "render_markdown"]

_TYPES = {
    "free_text": "text",
    "multiple_choice": "choice",
    "multiple_choice_with_free_text": "choice with explanation",
    "free_text_with_unit": "text with a unit",
    "file_upload": "file upload",
}
_MARKUP = re.compile(r"([\\`*_\[\]|~$]|(?<!&)#)")
_BASE = {
    "submission_id": "Identifies the submission.",
    "participant_id": "Identifies the participant.",
    "study_id": "The study they took part in.",
    "status": "What became of the submission.",
    "started_at": "When they started (UTC).",
    "completed_at": "When they completed it (UTC).",
}


def list_questions(collection: Collection) -> list[tuple[int, str, Instruction]]:
    """Position, slug and instruction of every question, retired ones last in place as they come."""
    names = Names("slug", _BASE)
    asked = [item for item in collection.instructions if item.type not in CONTENT_TYPES]
    return [(number, names.name_question(item, number), item) for number, item in enumerate(asked, 1)]


def describe_rules(item: Instruction) -> list[str]:
    """What an answer has to keep to, a phrase each."""
    rules = ["required" if item.required else "optional"]
    if item.retired:
        rules.append("no longer asked")
    if item.type in CHOICE_TYPES:
        limit = item.answer_limit
        rules.append(
            "one choice" if limit == 1 else "any number of choices" if limit < 1 else f"up to {limit} choices"
        )
    validation = item.validation or {}
    if validation.get("type"):
        low, high = validation.get("min"), validation.get("max")
        what = "a number" if validation["type"] == "number" else "a length"
        bounds = [f"from {low}" if low is not None else "", f"to {high}" if high is not None else ""]
        text = " ".join(bound for bound in bounds if bound)
        rules.append(f"{what} {text}".strip() if text else what)
    if item.type == "file_upload":
        types = item.extra.get("accepted_file_types")
        if isinstance(types, list) and types:
            rules.append(" ".join(str(kind) for kind in types))
        size = item.extra.get("max_file_size_mb")
        if isinstance(size, int | float) and size:
            rules.append(f"at most {say_bytes(size * 2**20)} each")
        low, high = item.extra.get("min_file_count"), item.extra.get("max_file_count")
        if low or high:
            least, most = (
                low or 1,
                say_count(high, "file") if isinstance(high, int) else "any number of files",
            )
            rules.append(most if least == high else f"{least} to {most}")
    return rules


def render_codebook(collection: Collection, suffix: str) -> str:
    """The codebook as the file name's suffix asks for: `.md` or `.html`.

    Raises:
        UsageError: it is another.
    """
    if suffix.lower() in (".html", ".htm"):
        return render_html(collection)
    if suffix.lower() in (".md", ".markdown"):
        return render_markdown(collection)
    raise UsageError(f"A codebook is written as .md or .html, not {suffix or 'without a suffix'}.")


def render_markdown(collection: Collection) -> str:
    """The codebook as Markdown; what researchers wrote can't add markup to it."""
    blocks = [f"# Codebook: {_escape(collection.name or collection.id)}"]
    if collection.description:
        blocks.append(_escape(collection.description))
    for number, slug, item in list_questions(collection):
        blocks.append(f"## {number}. {_escape(item.title)}")
        facts = [
            f"- type: {_TYPES.get(item.type, _escape(item.type))}",
            f"- rules: {_escape(', '.join(describe_rules(item)))}",
            f"- id: `{item.id.replace('`', '')}`",
            f"- column by slug: `{slug}`",
        ]
        blocks.append("\n".join(facts))
        for heading, options in _list_options(item):
            blocks.append(_render_options(heading.lower(), options))
    fields = "\n".join(f"- `{name}`: {text}" for name, text in _BASE.items())
    blocks.append(f"## Every submission has\n\n{fields}")
    return "\n\n".join(blocks) + "\n"


def _list_options(item: Instruction) -> Iterator[tuple[str, tuple[Option, ...]]]:
    """The tables of a question's options, each with the heading of its labels."""
    for heading, options in (
        ("Option", item.options),
        ("Unit", item.unit_options),
        ("No longer offered, or not in these words", item.retired_options),
    ):
        if options:
            yield heading, options


def _tell_end(option: Option) -> str:
    until = option.extra.get("until")
    return f" (until {until})" if isinstance(until, str) else ""


def _render_options(heading: str, options: tuple[Option, ...]) -> str:
    rows = [f"| value | {heading} |", "|---|---|"]
    for option in options:
        note = " *(stands alone)*" if option.exclusive else ""
        rows.append(
            f"| {_escape(scalar_text(option.value))} | {_escape(option.label + _tell_end(option))}{note} |"
        )
    return "\n".join(rows)


def _escape(text: str) -> str:
    return _MARKUP.sub(r"\\\1", html.escape(" ".join(text.split()), quote=False))


def render_html(collection: Collection) -> str:
    """The codebook as one self-contained HTML page."""
    title = html.escape(f"Codebook: {collection.name or collection.id}")
    blocks = [f"<h1>{title}</h1>"]
    if collection.description:
        blocks.append(f"<p>{html.escape(collection.description)}</p>")
    for number, slug, item in list_questions(collection):
        blocks.append(f"<section><h2>{number}. {html.escape(item.title)}</h2><dl>")
        for name, value in (
            ("Type", _TYPES.get(item.type, item.type)),
            ("Rules", ", ".join(describe_rules(item))),
            ("Id", item.id),
            ("Column by slug", slug),
        ):
            blocks.append(f"<dt>{name}</dt><dd>{html.escape(value)}</dd>")
        blocks.append("</dl>")
        for heading, options in _list_options(item):
            blocks.append(f"<table><thead><tr><th>Value</th><th>{heading}</th></tr></thead><tbody>")
            for option in options:
                value, label = html.escape(scalar_text(option.value)), html.escape(option.label)
                blocks.append(
                    f"<tr><td><code>{value}</code></td><td>{label}{html.escape(_tell_end(option))}</td></tr>"
                )
            blocks.append("</tbody></table>")
        blocks.append("</section>")
    return _PAGE.format(title=title, body="\n".join(blocks))


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 48rem; margin: 2rem auto; padding: 0 1rem; color:
#1f2430; }} h1 {{ font-size: 1.6rem; }} h2 {{ font-size: 1.1rem; margin: 2rem 0 .5rem; }}
dl {{ display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: 0 0 .75rem; }}
dt {{ color: #5b6472; }} dd {{ margin: 0; overflow-wrap: anywhere; }}
table {{ border-collapse: collapse; }} th, td {{ text-align: left; padding: .25rem .75rem .25rem 0;
border-bottom: 1px solid #e3e6eb; }}
</style></head><body>
{body}
</body></html>
"""


def list_variables(columns: list[Column]) -> Iterator[tuple[Any, ...]]:
    """Rows for a codebook table: column, question, type, instruction id, and a row per option's value and
    label."""
    for column in columns:
        item = column.instruction
        if item is None:
            yield (column.name, _BASE.get(column.name), None, None, None, None)
            continue
        kind = column.role if column.role in ("unit", "explanation") else _TYPES.get(item.type, item.type)
        head = (column.name, item.title, kind, item.id)
        if column.codes is None:
            units = item.unit_options if column.role == "unit" else ()
            yield (*head, None, None)
            for option in units:
                yield (*head, scalar_text(option.value), option.label)
        elif column.code is not None:
            yield (*head, column.codes.get_texts()[column.code], column.codes.get_labels()[column.code])
        else:
            yield (*head, None, None)
            for value, label in zip(column.codes.get_texts(), column.codes.get_labels(), strict=True):
                yield (*head, value, label)
