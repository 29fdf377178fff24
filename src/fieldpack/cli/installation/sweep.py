"""`fieldpack sweep`: clear away what retention and crashes leave, now instead of at the next hour."""

from __future__ import annotations

from typing import Annotated

import typer

from fieldpack.cli.options import AsJson, DataDir

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
    data_dir: DataDir = None,
    json: AsJson = False,
) -> None:
    """Remove old exports, abandoned uploads, unfinished imports, unused pictures, old log entries, and stored objects
    nothing refers to.

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
        (len(swept["conversions_outdated"]), "converted file", "converted files", "older than they are kept"),
        (len(swept["uploads_abandoned"]), "abandoned upload", "abandoned uploads", ""),
        (len(swept["imports_unfinished"]), "unfinished import", "unfinished imports", ""),
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
        (swept["changes_forgotten"], "entry", "entries", "of the log of changes, past their time"),
        (swept["hook_events_forgotten"], "event", "events", "of webhooks, past their time"),
        (swept["used_links_forgotten"], "used link", "used links", "that have expired"),
    ):
        what = one if count == 1 else several
        print_text(f"  {count:>7,}  {what} {rest}".rstrip())
