"""Downloading an archive to a file: what may be written where, and the download from start to end."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fieldpack.client.connection import make_ssl_context
from fieldpack.client.download.link import LinkOpener
from fieldpack.client.download.partial import PartialFile, refuse_foreign
from fieldpack.client.download.transfer import Transfer
from fieldpack.client.progress import OnProgress
from fieldpack.errors import DownloadError

__all__ = ["check_target", "download_archive"]


def check_target(target: Path, *, force: bool) -> None:
    """Check, before anything is requested, that an archive can be written to `target`.

    Raises:
        DownloadError: it is a folder, a device, in no existing folder, or there already without `force`; or
            `<target>.part` is, and no download left it.
    """
    if target.is_dir():
        raise DownloadError(f"{target} is a folder: give a file name.")
    if not target.parent.is_dir():
        raise DownloadError(f"The folder {target.parent} does not exist: create it or choose another.")
    if target.exists() and not target.is_file():
        # a device or a pipe: --force would replace it with a file, for every program of the machine
        raise DownloadError(f"{target} is not a file that can be replaced: give another name.")
    if os.path.lexists(target) and not force:
        raise DownloadError(f"{target} exists already: give --force to overwrite it, or another name.")
    if not force:
        refuse_foreign(target)


def download_archive(
    get_link: Callable[[], str],
    target: Path,
    *,
    force: bool = False,
    size_bytes: int | None = None,
    connections: int = 1,
    source: dict[str, Any] | None = None,
    on_progress: OnProgress | None = None,
    timeout: float = 60.0,
    tries: int = 10,
    ssl_context: ssl.SSLContext | None = None,
) -> Path:
    """Download a ZIP archive to `target`, continuing from `<target>.part` when an earlier run left one.

    After a broken connection the download continues at the same byte; when the archive changed meanwhile it
    starts from the beginning; when a link has expired a fresh one is requested. Every member's CRC-32 and the
    directory are checked before the file gets its final name.

    Args:
        get_link: returns a fresh link; called at the start and whenever one has expired.
        target: the final name; its folder must exist.
        force: overwrite `target`, and a `<target>.part` that no download left.
        size_bytes: length that the archive must have, if known.
        connections: how many spans of a large archive to download at the same time.
        source: identifies the archive (collection, filter), for `find_partial`.
        on_progress: called after every chunk.
        timeout: seconds without a byte after which a connection counts as broken.
        tries: how often to try again without a byte received in between.

    Returns:
        `target`.

    Raises:
        DownloadError: it could not be downloaded completely; the file `part` of the error is kept for the next run.
    """
    check_target(target, force=force)
    context = ssl_context or make_ssl_context(None)
    with PartialFile(target, force=force) as file:
        file.info.source = dict(source or {})
        transfer = Transfer(
            file,
            get_link,
            LinkOpener(timeout=timeout, ssl_context=context),
            size_bytes=size_bytes,
            connections=connections,
            on_progress=on_progress or (lambda progress: None),
            tries=tries,
        )
        transfer.run()
        file.place(force=force)
    return target
