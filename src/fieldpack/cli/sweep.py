"""`fieldpack sweep`: clear away what retention and crashes leave, now instead of at the next hour."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["register"]


def register(root: typer.Typer) -> None:
    """Add the command."""
    root.command()(sweep)


def sweep(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    after_restore: Annotated[
        bool,
        typer.Option(
            "--after-restore",
            help="Also remove files without a row that were there when the database was last restored.",
        ),
    ] = False,
    data_dir: Annotated[
        Path | None,
        typer.Option("--data-dir", help="Folder of the database, files and keys [FIELDPACK_DATA_DIR]."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Remove old exports, abandoned uploads, unused pictures, and stored objects nothing refers to.

    Workers do this by themselves, every hour or day. What a collection, an export or a valid link needs is
    never touched; objects that nothing refers to are removed only when older than FIELDPACK_ORPHAN_HOURS, and those
    that were there before a restore only with --after-restore: their rows may have been lost.
    """
    from fieldpack.cli.output import print_json, print_text
    from fieldpack.server.config import load_settings
    from fieldpack.server.machine.logs import configure_logs
    from fieldpack.server.run.administration import sweep_installation
    from fieldpack.text import say_bytes

    settings = load_settings(data_dir=data_dir)
    configure_logs(settings, process="sweep")  # to standard error: nothing but the result on standard output
    swept = sweep_installation(settings, dry_run=dry_run, with_restored=after_restore)
    if json:
        print_json({"dry_run": dry_run, **swept})
        return
    verb = "Would remove" if dry_run else "Removed"
    print_text(f"{verb}:")
    for count, one, several, rest in (
        (len(swept["exports_outdated"]), "export", "exports", "older than they are kept"),
        (len(swept["exports_surplus"]), "export", "exports", "beyond those kept for each collection"),
        (len(swept["uploads_abandoned"]), "abandoned upload", "abandoned uploads", ""),
        (len(swept["pictures_unused"]), "picture", "pictures", "that nothing shows"),
        (swept["objects_thrown_away"], "stored object", "stored objects", "whose rows were deleted"),
        (
            swept["objects_orphaned"],
            "stored object",
            "stored objects",
            f"nothing refers to ({say_bytes(swept['orphaned_bytes'])})",
        ),
        (swept["objects_unfinished"], "unfinished multipart upload", "unfinished multipart uploads", ""),
        (swept["temporary_files"], "temporary file", "temporary files", "on this machine"),
    ):
        what = one if count == 1 else several
        print_text(f"  {count:>7,}  {what} {rest}".rstrip())
