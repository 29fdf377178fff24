"""What a program asks of the disk, in order: whether something lasts is decided by what was flushed before it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

__all__ = ["watch_disk"]


def watch_disk(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """A list that grows with every step: `fsync` of a file or folder, `place` of a file under a new name, followed
    by `from` with its old one, and `remove`; each with the whole path."""
    steps: list[tuple[str, str]] = []
    real = {name: getattr(os, name) for name in ("fsync", "link", "rename", "replace", "unlink")}

    def path_of(name: Any, fd: int | None) -> str:
        base = Path(os.readlink(f"/proc/self/fd/{fd}")) if fd is not None else Path.cwd()
        return str(base / name)

    def fsync(fd: Any) -> None:
        real["fsync"](fd)
        steps.append(("fsync", os.readlink(f"/proc/self/fd/{fd if isinstance(fd, int) else fd.fileno()}")))

    def place(how: str) -> Any:
        def call(
            source: Any, target: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None
        ) -> None:
            real[how](source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
            steps.append(("place", path_of(target, dst_dir_fd)))
            steps.append(("from", path_of(source, src_dir_fd)))

        return call

    def unlink(name: Any, *, dir_fd: int | None = None) -> None:
        real["unlink"](name, dir_fd=dir_fd)
        steps.append(("remove", path_of(name, dir_fd)))

    for name in ("link", "rename", "replace"):
        monkeypatch.setattr(os, name, place(name))
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "unlink", unlink)
    return steps
