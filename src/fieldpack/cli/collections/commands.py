"""`fieldpack collection`: create, look at, publish, export and erase collections on a server."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import typer

from fieldpack.cli.collections.listing import find_workspace, make_row
from fieldpack.cli.completion import CollectionId, complete_workspace
from fieldpack.cli.lazy import LazyCommand, LazyGroup, make_app
from fieldpack.cli.options import AsJson
from fieldpack.errors import UsageError
from fieldpack.text import say_count

if TYPE_CHECKING:
    from fieldpack.cli.collections.template import Template as TemplateFile

__all__ = ["register"]

_EXAMPLES = """\b
Examples:
  fieldpack collection check receipts.yaml
  fieldpack collection create -t receipts.yaml
  fieldpack collection publish COLLECTION_ID -p 100
  fieldpack collection export COLLECTION_ID -o data/
"""

Template = Annotated[
    Path, typer.Option("-t", "--template", "--template-path", help="YAML or JSON file; - is standard input.")
]
Resume = Literal["link", "code", "signed"]


class _Collection(LazyGroup):
    lazy: ClassVar[dict[str, LazyCommand]] = {
        "check": LazyCommand(
            "fieldpack.cli.collections.check", "Check a collection's file, without a server."
        ),
        "list": LazyCommand("fieldpack.cli.collections.listing", "List the collections of a workspace."),
        "overview": LazyCommand("fieldpack.cli.collections.overview", "Show a collection in numbers."),
        "archive": LazyCommand("fieldpack.cli.collections.shelf", "Put a collection aside, out of lists."),
        "unarchive": LazyCommand("fieldpack.cli.collections.shelf", "Put a collection back into lists."),
        "duplicate": LazyCommand(
            "fieldpack.cli.collections.shelf", "Make a new collection that asks the same."
        ),
        "delete": LazyCommand(
            "fieldpack.cli.collections.shelf", "Delete a collection with all that was given to it."
        ),
        "responses": LazyCommand(
            "fieldpack.cli.collections.responses", "List responses, filtered and sorted, with their answers."
        ),
        "export": LazyCommand("fieldpack.cli.collections.data", "Download the archive of a collection."),
        "exports": LazyCommand(
            "fieldpack.cli.exports.commands", "List, download and delete exports (`export list` …)."
        ),
        "convert": LazyCommand(
            "fieldpack.cli.exports.convert", "Have the server convert an export, and download the file."
        ),
        "sync": LazyCommand("fieldpack.cli.collections.sync", "Keep a folder equal to a collection."),
        "erase": LazyCommand(
            "fieldpack.cli.collections.data", "Erase all that participants gave to a collection."
        ),
    }

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """`export list|download|delete` are those of `exports`: no collection has such an id."""
        if args[:1] == ["export"] and args[1:2] and args[1] in ("list", "download", "delete"):
            args = ["exports", *args[1:]]
        return super().resolve_command(ctx, args)


app = make_app(cls=_Collection, help="Create, publish, export and erase collections.", epilog=_EXAMPLES)


def register(root: typer.Typer) -> None:
    """Add `collection` to the program."""
    root.add_typer(app, name="collection")


@app.command()
def create(
    template: Template,
    workspace: Annotated[
        str | None,
        typer.Option(
            "-w",
            "--workspace",
            help="Workspace id, when the file has none.",
            autocompletion=complete_workspace,
        ),
    ] = None,
    json: AsJson = False,
) -> None:
    """Create a collection from a file.

    The file holds the API's own fields: name, description, task_details, collection_items, and workspace_id
    unless -w gives it. Without either, your first workspace is used. Pictures beside the file (`url: ./photo.jpg`)
    are uploaded first.
    """
    from fieldpack.cli.collections.pictures import read_pictures
    from fieldpack.cli.collections.template import read_template
    from fieldpack.cli.file_types import say_file_types
    from fieldpack.cli.output import print_json, print_text
    from fieldpack.client import Client

    read = read_template(template)
    pictures = read_pictures(read)
    with Client() as client, read.explain():
        workspace_id = workspace or read.body.get("workspace_id") or find_workspace(client)
        body = pictures.upload(client, str(workspace_id))
        made = client.create_collection({**body, "workspace_id": workspace_id})
    _warn_of_strangers(read, body)
    if json:
        print_json(made)
    else:
        print_text(f"Created collection {made['id']}: {made['name']} ({_say_size(made)}).")
        say_file_types(made)


@app.command()
def update(
    collection_id: CollectionId,
    template: Template,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it would do to answers, and change nothing.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Replace a collection by what a file holds.

    Pages and items that carry an id are kept under it, those without one are new, those left out are retired.
    `fieldpack collection get ID --yaml` prints what to start from. Pictures beside the file are uploaded first.
    """
    from fieldpack.cli.collections.effects import print_effects
    from fieldpack.cli.collections.pictures import read_pictures
    from fieldpack.cli.collections.template import read_template
    from fieldpack.cli.file_types import say_file_types
    from fieldpack.cli.output import print_json, print_text
    from fieldpack.client import Client

    read = read_template(template)
    pictures = read_pictures(read)
    with Client() as client, read.explain():
        body = read.body
        if pictures.files or pictures.findings:
            workspace_id = str(client.get_collection(collection_id)["workspace_id"])
            body = pictures.upload(client, workspace_id)
        if dry_run:
            print_effects(client.check_collection(collection_id, body), json=json)
            return
        made = client.update_collection(collection_id, body)
    _warn_of_strangers(read, body)
    if json:
        print_json(made)
    else:
        print_text(f"Updated collection {made['id']}: {made['name']} ({_say_size(made)}).")
        say_file_types(made)


@app.command()
def get(
    collection_id: CollectionId,
    yaml: Annotated[
        bool, typer.Option("--yaml", help="Print it as a file for `update` and `create`.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Show a collection with its pages and questions."""
    from fieldpack.cli.output import print_json, print_text, say_time
    from fieldpack.client import Client

    if yaml and json:
        raise UsageError("Use either --yaml or --json, not both.")
    with Client() as client:
        found = client.get_collection(collection_id)
    if yaml:
        from fieldpack.documents.collection_files import write_collection

        typer.echo(write_collection(found), nl=False)
        return
    if json:
        print_json(found)
        return
    print_text(f"{found.get('name')}")
    for label, key in (
        ("id", "id"),
        ("workspace", "workspace_id"),
        ("description", "description"),
        ("created", "created_at"),
        ("changed", "last_modified_at"),
    ):
        if found.get(key):
            print_text(f"  {label:<12}{say_time(found[key])}")
    for number, page in enumerate(found.get("collection_items") or [], 1):
        print_text(f"Page {number}")
        for item in page.get("page_items") or []:
            for line in _describe_item(item):
                print_text(line)


@app.command()
def preview(
    collection_id: CollectionId,
    is_opened: Annotated[bool, typer.Option("--open/--no-open", help="Open it in the browser.")] = True,
    json: AsJson = False,
) -> None:
    """See a collection as participants will, in the browser."""
    from urllib.parse import quote

    from fieldpack.cli.output import print_json, print_text
    from fieldpack.client import Client

    with Client() as client:
        found = client.get_collection(collection_id)
        name = quote(str(found["id"]), safe="")
        url = f"{client.base_url}/data-collection-tool/collections/{name}?preview=true"
    if json:
        print_json({"url": url})
    else:
        print_text(url)
    if is_opened:
        import webbrowser

        webbrowser.open(url)


@app.command()
def publish(
    collection_id: CollectionId,
    participants: Annotated[
        int | None,
        typer.Option("-p", "--participants", min=1, help="How many may take part; needed unless -t says it."),
    ] = None,
    draft: Annotated[
        bool, typer.Option("-d", "--draft", help="Make the study, but do not publish it.")
    ] = False,
    name: Annotated[str | None, typer.Option("-n", "--name", help="Name of it.")] = None,
    internal_name: Annotated[str | None, typer.Option(help="A name only you see.")] = None,
    description: Annotated[str | None, typer.Option(help="What participants read.")] = None,
    reward: Annotated[int | None, typer.Option(min=0, help="Reward in minor units (pence, cents).")] = None,
    estimated_time: Annotated[int | None, typer.Option(min=1, help="Minutes it should take.")] = None,
    maximum_time: Annotated[int | None, typer.Option(min=1, help="Minutes it may take.")] = None,
    contact: Annotated[
        str | None, typer.Option(help="Whom participants can ask: a text that stands on every page.")
    ] = None,
    show_account: Annotated[
        bool,
        typer.Option("--show-account", help="Show participants your account's name and e-mail beside it."),
    ] = False,
    resume: Annotated[
        Resume | None,
        typer.Option(
            help="What participants need besides the ids in their link to go on: see docs/participants.md."
        ),
    ] = None,
    template: Annotated[
        Path | None,
        typer.Option("-t", "--template", help="YAML or JSON file with more fields of the study."),
    ] = None,
    json: AsJson = False,
) -> None:
    """Make a study on a collection and publish it.

    Prints the link to give to participants.
    """
    from fieldpack.cli.collections.template import read_template
    from fieldpack.cli.output import print_json, print_note, print_text
    from fieldpack.client import Client

    given = {
        "name": name,
        "internal_name": internal_name,
        "description": description,
        "reward": reward,
        "estimated_completion_time": estimated_time,
        "maximum_allowed_time": maximum_time,
        "contact": contact,
        "contact_shows_account": show_account or None,
        "resume": resume,
    }
    read = read_template(template) if template else None
    fields: dict[str, Any] = dict(read.body) if read else {}
    fields |= {key: value for key, value in given.items() if value is not None}
    places = participants or fields.get("total_available_places")
    if places is None:
        raise UsageError("Say how many may take part: -p N, or total_available_places in the -t file.")
    fields.pop("total_available_places", None)
    with Client() as client, read.explain() if read else nullcontext():
        study = client.publish_collection(collection_id, places, draft=draft, **fields)
        link = study.get("external_study_url") or f"{client.base_url}/participate/{study['id']}"
    if study.get("unenforced"):
        names = ", ".join(map(str, study["unenforced"]))
        print_note(
            f"Warning: the server keeps these, but does not enforce them: {names}. Whoever has the link can take "
            "part, whatever they say."
        )
    if json:
        print_json(study)
        return
    print_text(f"Study {study['id']}: {study.get('status', 'UNPUBLISHED')}, {say_count(places, 'place')}.")
    print_text(f"{'Participants will go' if draft else 'Participants go'} to {link}")
    if "{{%" in str(link):
        print_text("In it, put each participant's own id in place of {{%PROLIFIC_PID%}}, and so on.")


def _warn_of_strangers(read: TemplateFile, body: dict[str, Any]) -> None:
    """Say which pictures lead participants' browsers to somebody else."""
    from fieldpack.cli.collections.pictures import find_strangers
    from fieldpack.cli.output import print_note

    for finding in find_strangers(body):
        print_note(f"Warning: {read.say(finding.path, finding.message)}.")


def _describe_item(item: dict[str, Any]) -> list[str]:
    text = item.get("description") or item.get("content") or item.get("alt_text") or ""
    optional = " (optional)" if item.get("required") is False else ""
    lines = [f"  {item.get('type', '?')!s:<32}{' '.join(str(text).split())[:100]}{optional}"]
    options = item.get("options") or item.get("unit_options") or []
    return lines + [f"  {'':<32}- {option.get('label')} [{option.get('value')}]" for option in options]


def _say_size(collection: dict[str, Any]) -> str:
    """`2 pages, 11 items`."""
    row = make_row(collection)
    said = [
        say_count(row[name], name.removesuffix("s"))
        for name in ("pages", "items")
        if row.get(name) is not None
    ]
    return ", ".join(said)
