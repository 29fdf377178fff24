"""Room on the disk of the data folder, kept for erasures.

A full disk must not keep anyone's data from being erased, and an erasure writes before it frees anything. So a file of
some size holds room that nobody else on the machine can take; it is given up when an erasure comes and there is no room
beside it, or when PostgreSQL can't start without it, and made again once there is room. While there is little room,
whatever would grow is refused, so that it is neither the reserve nor the database's last room that is used up by it.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import structlog

from fieldpack.files import replace_file
from fieldpack.server.config import Settings

__all__ = ["Reserve", "reserve_of"]

NAME = "reserve"
LOW_SHARE = 0.5

log = structlog.get_logger()


class Reserve:
    """The reserve of a data folder. Any number of processes may have one.

    Args:
        data_dir: where the file is.
        size_bytes: its size; 0 for none.

    Attributes:
        low_bytes: with less than this free beside the reserve, nothing may grow.
    """

    def __init__(self, data_dir: Path, size_bytes: int) -> None:
        self.path = data_dir / NAME
        self.size_bytes = size_bytes
        self.low_bytes = int(size_bytes * LOW_SHARE)

    def free_bytes(self) -> int:
        """What is free beside the reserve, for users who are not root."""
        status = os.statvfs(self.path.parent)
        return status.f_bavail * status.f_frsize

    def is_low(self) -> bool:
        """Whether so little is free that nothing may grow."""
        return self.size_bytes > 0 and self.free_bytes() < self.low_bytes

    def make_room(self) -> None:
        """Delete the reserve's file if there is little room besides it."""
        if self.is_low():
            self.give_up()

    def give_up(self) -> bool:
        """Free its room; False if there is none."""
        try:
            self.path.unlink()
        except OSError:
            return False
        log.warning("reserve.given_up", size_mb=self.size_bytes >> 20)
        return True

    def keep(self) -> None:
        """Make it if it is not there and there is room enough beside it; remove it if there shall be none."""
        with contextlib.suppress(OSError):  # no room after all, or another process is at it: at the next time
            if self.size_bytes == 0:
                self.path.unlink(missing_ok=True)
            elif (
                self._held() != self.size_bytes and self.free_bytes() >= self.size_bytes + 2 * self.low_bytes
            ):
                self._make()

    def _held(self) -> int:
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def _make(self) -> None:
        with replace_file(self.path) as draft:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                _allocate(descriptor, self.size_bytes)
            finally:
                os.close(descriptor)
        log.info("reserve.made", size_mb=self.size_bytes >> 20)


def _allocate(descriptor: int, size_bytes: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size_bytes)
        return
    chunk = b"\1" * (1 << 20)
    for start in range(0, size_bytes, len(chunk)):  # macOS
        os.write(descriptor, chunk[: size_bytes - start])


def reserve_of(settings: Settings) -> Reserve:
    """The reserve that the settings ask for; none where neither the database nor files are on this disk."""
    elsewhere = settings.database_url is not None and not settings.resolved_storage_url.startswith("file:")
    return Reserve(settings.data_dir, 0 if elsewhere else settings.reserve_mb << 20)
