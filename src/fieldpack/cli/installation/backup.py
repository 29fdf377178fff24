"""`fieldpack backup` and `fieldpack restore`: copies of an installation, made, checked, pruned and restored."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from fieldpack.cli.lazy import make_app
from fieldpack.cli.lists import list_command
from fieldpack.cli.options import AsJson, DataDir
from fieldpack.cli.output import ProgressLine
from fieldpack.text import say_bytes, say_count

if TYPE_CHECKING:
    from fieldpack.server.backup.verification import BackupCheck

__all__ = ["register"]

INCOMPLETE = 3
NAMED = 10

_HELP = """Copy an installation while it runs: rows, files, and what links need.

`fieldpack backup DIR` adds a backup to a folder, copying only the files that no earlier one has;
`fieldpack backup -` writes a whole one to standard output. Both are short for `fieldpack backup create …`.
"""
_EXAMPLES = """\b
Examples:
  fieldpack backup /mnt/backups                      add a backup to a folder
  fieldpack backup /mnt/backups --keep 14            and keep the newest 14
  fieldpack backup /mnt/backups --keys               with the keys, so that links handed out work after a restore
  fieldpack backup - | age -r … > fieldpack.age      one stream, encrypted, to anywhere
  fieldpack backup verify /mnt/backups               read it all again, and compare
"""
_EXIT_CODES = (
    "\b\nExit codes: 0 whole · 1 not made, or not whole · 2 usage · 3 made, but storage has lost files"
)
_RESTORE_EXAMPLES = (
    """\b
Examples:
  fieldpack restore /mnt/backups --data-dir new-data             the newest, into a new folder
  fieldpack restore /mnt/backups --backup 20261126T020000Z       an earlier one
  age -d fieldpack.age | fieldpack restore -                     from a stream
  FIELDPACK_DATABASE_URL=… FIELDPACK_STORAGE_URL=s3://… fieldpack restore /mnt/backups

"""
    + _EXIT_CODES
)

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of backups.")]
Keep = Annotated[int | None, typer.Option("--keep", min=1, help="Keep the newest N backups, remove others.")]
KeepDays = Annotated[
    float | None,
    typer.Option("--keep-days", min=0, help="Keep backups of the last N days, and always the newest."),
]


class _BackupGroup(TyperGroup):
    """`backup DIR` is `backup create DIR`: what begins with no command's name is one to create."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `create` in front where no command is named and no help is asked for."""
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = ["create", *args]
        return super().parse_args(ctx, args)


backup_app = make_app(cls=_BackupGroup, help=_HELP, epilog=_EXAMPLES)


def register(root: typer.Typer) -> None:
    """Add the commands."""
    root.add_typer(backup_app, name="backup")
    root.command(epilog=_RESTORE_EXAMPLES)(restore)


@backup_app.command("create", epilog=_EXIT_CODES)
def create(
    target: Annotated[
        str, typer.Argument(metavar="DIR|-", help="Folder of backups, made if missing; `-`: standard output.")
    ],
    keys: Annotated[
        bool,
        typer.Option(
            "--keys",
            help="Include the keys that sign links and cookies, this machine's token, and its TLS certificates.",
        ),
    ] = False,
    keep: Keep = None,
    keep_days: KeepDays = None,
    data_dir: DataDir = None,
    json: AsJson = False,
) -> None:
    """Make a backup of the installation, running or not; nobody is held up.

    It is whole or does not count: one that was cut short is cleared away by the next.
    """
    from fieldpack.cli.output import print_json, print_note, print_text
    from fieldpack.errors import UsageError
    from fieldpack.server.backup.making import back_up_to_folder, back_up_to_stream
    from fieldpack.server.config import load_settings
    from fieldpack.server.machine.logs import configure_logs

    settings = load_settings(data_dir=data_dir)
    configure_logs(settings, process="backup")
    tell = ProgressLine()
    try:
        if target == "-":
            if keep is not None or keep_days is not None:
                raise UsageError(
                    "--keep and --keep-days thin out a folder; a stream has nothing to thin out."
                )
            if sys.stdout.isatty():
                raise UsageError(
                    "`-` writes the backup to standard output: send it somewhere, as with `> FILE`."
                )
            made = back_up_to_stream(settings, sys.stdout.buffer, keys=keys, tell=tell)
        else:
            made = back_up_to_folder(
                settings, Path(target), keys=keys, keep=keep, keep_days=keep_days, tell=tell
            )
    finally:
        tell.end()
    for note in made.notes:
        print_note(note)
    manifest = made.manifest
    if json and target != "-":
        print_json(
            {
                **_describe(manifest),
                "removed": made.pruned.backups,
                "objects_removed": made.pruned.objects,
            }
        )
    else:
        text = (
            f"Backup {manifest.name}: {say_count(manifest.counts['submissions'], 'submission')}, "
            f"{say_count(manifest.objects, 'file')}, "
            f"{say_bytes(manifest.object_bytes)}, {'with' if manifest.keys else 'without'} keys."
        )
        if target == "-":  # nothing but the backup goes to standard output
            typer.echo(text, err=True)
        else:
            print_text(text)
        if made.pruned.backups:
            print_text(
                f"Removed {say_count(len(made.pruned.backups), 'old backup')} and "
                f"{say_count(made.pruned.objects, 'file')}."
            )
    _end_incomplete(manifest)


def _describe(manifest: Any) -> dict[str, Any]:
    return {
        "name": manifest.name,
        "made_at": manifest.made_at,
        "program": manifest.program,
        "schema": manifest.schema,
        "installation": manifest.installation,
        "keys": manifest.keys,
        "counts": manifest.counts,
        "objects": manifest.objects,
        "object_bytes": manifest.object_bytes,
        "lost": [entry.key for entry in manifest.lost],
    }


def _end_incomplete(manifest: Any) -> None:
    from fieldpack.cli.output import print_note

    if not manifest.lost:
        return
    for entry in manifest.lost[:NAMED]:
        print_note(f"{entry.key} is {entry.reason} in storage.")
    print_note(
        f"Storage has lost {say_count(len(manifest.lost), 'file')} that rows name; everything else is in the backup. "
        "Put them back from an earlier backup, or delete their submissions."
    )
    raise typer.Exit(INCOMPLETE)


@backup_app.command("verify", epilog=_EXIT_CODES)
def verify(
    target: Annotated[
        str,
        typer.Argument(
            metavar="DIR|FILE|-", help="Folder of backups, or one that is a file or standard input."
        ),
    ],
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="One of them; all by default.")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Look at sizes only, do not read the files.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Check backups: manifest, dump, and every file with its size and SHA-256."""
    from fieldpack.cli.output import print_json, print_note, print_text
    from fieldpack.server.backup.verification import verify_folder, verify_stream

    tell = ProgressLine()
    try:
        if target == "-" or Path(target).is_file():
            verdicts = [_verify_stream(target, verify_stream, tell)]
        else:
            verdicts = verify_folder(Path(target), name, quick=quick, tell=tell)
    finally:
        tell.end()
    if json:
        print_json(
            [
                {
                    "name": verdict.name,
                    "whole": verdict.is_whole,
                    "problems": verdict.problems,
                    "lost": [entry.key for entry in verdict.manifest.lost] if verdict.manifest else [],
                }
                for verdict in verdicts
            ]
        )
    for verdict in verdicts:
        if not json:
            print_text(f"{verdict.name}: {'whole' if verdict.is_whole else 'NOT whole'}")
        for problem in verdict.problems:
            print_note(f"{verdict.name}: {problem}")
    if not all(verdict.is_whole for verdict in verdicts):
        raise typer.Exit(1)
    if any(verdict.manifest is not None and verdict.manifest.lost for verdict in verdicts):
        print_note("Some were made when storage had lost files: see `lost` with --json.")
        raise typer.Exit(INCOMPLETE)


def _verify_stream(target: str, check: Callable[..., BackupCheck], tell: ProgressLine) -> BackupCheck:
    from fieldpack.errors import UsageError

    if target == "-":
        if sys.stdin.isatty():
            raise UsageError("`-` reads the backup from standard input: give it one, as with `< FILE`.")
        return check(sys.stdin.buffer, "The backup on standard input", tell=tell)
    with Path(target).open("rb") as file:
        return check(file, f"The backup {target}", tell=tell)


def _flatten(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **row,
        "submissions": row["counts"]["submissions"],
        "files": row["objects"],
        "size": say_bytes(row["object_bytes"]),
    }


@list_command(
    backup_app,
    "list",
    ("name", "submissions", "files", "size", "keys", "program"),
    empty="There are no backups.",
    flatten=_flatten,
)
def list_backups(folder: Folder) -> list[dict[str, Any]]:
    """List the backups of a folder, oldest first. It does not check them; `verify` does."""
    from fieldpack.errors import UsageError
    from fieldpack.server.backup.folder import BackupFolder

    found = BackupFolder(folder)
    if not found.root.is_dir():
        raise UsageError(f"There is no folder {folder}.")
    return [_describe(found.read_manifest(name)) for name in found.list_names()]


@backup_app.command("prune")
def prune(folder: Folder, keep: Keep = None, keep_days: KeepDays = None, json: AsJson = False) -> None:
    """Remove old backups, and the files that none of those left needs."""
    from fieldpack.cli.output import print_json, print_text
    from fieldpack.errors import UsageError
    from fieldpack.server.backup.folder import BackupFolder

    if keep is None and keep_days is None:
        raise UsageError("Say what to keep: --keep N, --keep-days N, or both.")
    found = BackupFolder(folder)
    if not found.list_names():
        raise UsageError(f"There are no backups in {folder}.")
    with found.locked():
        pruned = found.prune(keep, keep_days)
    if json:
        print_json(
            {"removed": pruned.backups, "objects_removed": pruned.objects, "bytes": pruned.object_bytes}
        )
    else:
        print_text(
            f"Removed {say_count(len(pruned.backups), 'backup')} and {say_count(pruned.objects, 'file')} "
            f"({say_bytes(pruned.object_bytes)})."
        )


def restore(
    source: Annotated[
        str,
        typer.Argument(
            metavar="DIR|FILE|-", help="Folder of backups, or one that is a file or standard input."
        ),
    ],
    backup: Annotated[str | None, typer.Option("--backup", help="Which one of a folder; the newest.")] = None,
    erasures: Annotated[
        list[Path] | None,
        typer.Option(
            help="A list of erased submissions, besides those found beside the backups. Repeatable."
        ),
    ] = None,
    reuse_storage: Annotated[
        bool,
        typer.Option(
            "--reuse-storage", help="The storage in use is that of the backup: keep the files it has."
        ),
    ] = False,
    data_dir: DataDir = None,
    json: AsJson = False,
) -> None:
    """Bring a backup back, into an empty data folder, database and storage, of whatever kind.

    Submissions that were erased since the backup are erased again before anything is served. Until it has come to its
    end no server starts there; run it again after a break, and it goes on.
    """
    from fieldpack.cli.output import print_json, print_text
    from fieldpack.server.backup.restoring import restore as restore_backup
    from fieldpack.server.config import load_settings
    from fieldpack.server.machine.logs import configure_logs

    settings = load_settings(data_dir=data_dir)
    configure_logs(settings, process="restore")
    tell = ProgressLine()
    try:
        restored = restore_backup(
            settings,
            source,
            name=backup,
            erasure_files=erasures or [],
            reuse_storage=reuse_storage,
            tell=tell,
        )
    finally:
        tell.end()
    manifest = restored.manifest
    if json:
        print_json(
            {
                **_describe(manifest),
                "files_restored": restored.files,
                "files_kept": restored.files_kept,
                "erased": restored.erased,
                "erasure_lists": restored.lists,
                "uploads_restarted": restored.uploads_restarted,
                "exports_failed": restored.exports_failed,
            }
        )
    else:
        print_text(
            f"Restored {manifest.name}: {say_count(manifest.counts['submissions'], 'submission')}, "
            f"{say_count(restored.files, 'file')} (there already: {restored.files_kept:,}), as of {manifest.made_at}."
        )
        if restored.erased:
            print_text(
                f"Erased again: {say_count(restored.erased, 'submission')}, as somebody erased since the backup."
            )
        for path, named in restored.lists.items():
            print_text(f"Erasure list read: {path}, which names {named:,}.")
        if restored.uploads_restarted:
            print_text(f"Uploads under way that begin anew: {restored.uploads_restarted:,}.")
        if restored.exports_failed:
            print_text(f"Exports to be requested again: {restored.exports_failed:,}.")
        if not manifest.keys:
            print_text(
                "The backup has no keys: new ones sign links and sessions. Links handed out before no longer work (get "
                "the export again), and people sign in again; API tokens go on."
            )
    _end_incomplete(manifest)
