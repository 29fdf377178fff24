"""The half-brought archive on disk: `<target>.part`, what is known of it, and its way to its final name."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson

from fieldpack.errors import DownloadError
from fieldpack.files import lock, rename_new, sync_folder

__all__ = ["PartFile", "PartInfo", "Segment", "find_part"]

_SUFFIX = ".part"
_INFO_SUFFIX = ".part.json"


@dataclass
class Segment:
    """Bytes `start` … `end` (exclusive) of the archive, of which those before `position` are on disk."""

    position: int
    end: int


@dataclass
class PartInfo:
    """What is known of a `.part` file; kept beside it as JSON.

    Attributes:
        source: names what is being brought (collection, filter), so that it is found again.
        etag: strong validator of the bytes on disk (RFC 9110 §8.8.3), or None when the server gave none.
        size_bytes: length of the whole archive, or None when the server did not say.
        segments: what is there and what is missing; empty when nothing is.
    """

    source: dict[str, Any] = field(default_factory=dict)
    etag: str | None = None
    size_bytes: int | None = None
    segments: list[Segment] = field(default_factory=list)

    @property
    def done_bytes(self) -> int:
        """How many bytes are on disk."""
        if self.size_bytes is None:
            return 0
        return self.size_bytes - sum(segment.end - segment.position for segment in self.segments)

    @classmethod
    def find(cls, path: Path) -> PartInfo | None:
        """Read it back; None when it is missing or is not what was written."""
        try:
            body = orjson.loads(path.read_bytes())
            info = cls(
                dict(body["source"]),
                body["etag"],
                body["size_bytes"],
                [Segment(**item) for item in body["segments"]],
            )
            numbers = [n for s in info.segments for n in (s.position, s.end)]
            whole = info.size_bytes
            fits = whole is None or all(type(n) is int and 0 <= n <= whole for n in numbers)
            return info if fits and (whole is None or type(whole) is int) else None
        except (OSError, orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            return None


def find_part(folder: Path, source: dict[str, Any], name: str) -> Path | None:
    """The target of the newest half-brought download of `source` in `folder`, or None.

    Args:
        source: as it was given when that download began.
        name: glob pattern of the target's name.
    """
    found = []
    for path in folder.glob(name + _INFO_SUFFIX):
        info = PartInfo.find(path)
        if info is not None and info.source == source:
            with contextlib.suppress(FileNotFoundError):
                found.append((path.stat().st_mtime_ns, path.name.removesuffix(_INFO_SUFFIX)))
    return folder / max(found)[1] if found else None


class PartFile:
    """The one writer of `<target>.part`, from opening to renaming. A context manager.

    Raises:
        DownloadError: another process is writing it, or the disk refuses.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(target.name + _SUFFIX)
        self.info_path = target.with_name(target.name + _INFO_SUFFIX)
        self.info = PartInfo()
        self._fd = -1
        self._guard = threading.Lock()
        self._is_stopped = False

    def __enter__(self) -> PartFile:
        self._fd = self._open_locked()
        held = PartInfo.find(self.info_path)
        on_disk = os.fstat(self._fd).st_size
        # Without a strong validator nothing vouches that the rest will be of the same archive.
        if held is None or held.etag is None or any(s.position > on_disk for s in held.segments):
            self.reset()
        else:
            self.info = held
        return self

    def __exit__(self, *exc: object) -> None:
        if self._fd >= 0 and os.fstat(self._fd).st_size == 0:
            # Nothing came: leave nothing behind.
            self.info_path.unlink(missing_ok=True)
            self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Give up the lock. What was written stays."""
        with self._guard:
            self._is_stopped = True
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1

    def reset(self) -> None:
        """Forget every byte."""
        self.info = PartInfo(self.info.source)
        with self._disk_errors():
            os.ftruncate(self._fd, 0)

    def write(self, data: memoryview, position: int) -> int:
        """Write all of `data` at `position`; return its length."""
        count = len(data)
        with self._guard, self._disk_errors():
            if self._is_stopped:
                raise DownloadError("The download was stopped.", part=self.path)
            while data:
                done = _write_at(self._fd, data, position)
                data, position = data[done:], position + done
        return count

    def flush(self) -> None:
        """Have the disk take what was written so far."""
        with self._disk_errors():
            getattr(os, "fdatasync", os.fsync)(self._fd)

    def read(self, length: int, position: int) -> bytes:
        """Up to `length` bytes at `position`."""
        with self._disk_errors():
            return _read_at(self._fd, length, position)

    def save(self) -> None:
        """Write down what is there, so that a later run goes on from it."""
        with self._guard, self._disk_errors():
            if self._is_stopped:
                return
            beside = self.info_path.with_name(self.info_path.name + ".new")
            try:
                beside.write_bytes(orjson.dumps(asdict(self.info)))
                os.replace(beside, self.info_path)
            except OSError:
                beside.unlink(missing_ok=True)
                raise

    def free_bytes(self) -> int:
        """What the file system says is left for us."""
        if sys.platform == "win32":
            import shutil

            return shutil.disk_usage(self.target.parent).free
        room = os.fstatvfs(self._fd)
        return room.f_bavail * room.f_frsize

    def held_bytes(self) -> int:
        """What the part takes on disk already (it may have holes)."""
        state = os.fstat(self._fd)
        return getattr(state, "st_blocks", state.st_size // 512) * 512

    def place(self, *, force: bool) -> None:
        """Flush it and give it its final name, which it never takes half-written.

        Raises:
            DownloadError: `target` exists meanwhile and `force` is false; the part is kept.
        """
        with self._disk_errors():
            os.fsync(self._fd)
            if sys.platform == "win32":
                self.close()  # an open file cannot be renamed there
            try:
                if force:
                    os.replace(self.path, self.target)
                else:
                    rename_new(self.path, self.target)
            except FileExistsError:
                raise DownloadError(
                    f"{self.target} appeared while it was being downloaded: give --force to overwrite it, or "
                    f"another name; the download is kept in {self.path}.",
                    part=self.path,
                ) from None
            self.info_path.unlink(missing_ok=True)
            sync_folder(self.target.parent)

    def _open_locked(self) -> int:
        with self._disk_errors():
            while True:
                fd = os.open(
                    self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | _NOFOLLOW, 0o666
                )
                if not lock(fd):
                    os.close(fd)
                    raise DownloadError(
                        f"Another process is downloading to {self.path}: wait for it.", part=self.path
                    )
                # Its last owner may have renamed the file between our opening and locking it.
                with contextlib.suppress(FileNotFoundError):
                    if os.path.samestat(os.fstat(fd), os.stat(self.path)):
                        return fd
                os.close(fd)

    @contextlib.contextmanager
    def _disk_errors(self) -> Any:
        try:
            yield
        except OSError as error:
            raise DownloadError(self._explain(error), part=self.path) from error

    def _explain(self, error: OSError) -> str:
        kept = f"what has come is kept in {self.path}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return f"The disk of {self.target.parent.absolute()} is full: make room and run it again; {kept}."
        if error.errno == errno.EFBIG:
            return f"{self.target.parent.absolute()} takes no file as large as this archive: {kept}."
        return f"{self.target} cannot be written: {error.strerror or error}."


_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)


if sys.platform == "win32":

    def _write_at(fd: int, data: memoryview, position: int) -> int:
        os.lseek(fd, position, os.SEEK_SET)
        return os.write(fd, data)

    def _read_at(fd: int, length: int, position: int) -> bytes:
        os.lseek(fd, position, os.SEEK_SET)
        return os.read(fd, length)

else:

    def _write_at(fd: int, data: memoryview, position: int) -> int:
        return os.pwrite(fd, data, position)

    def _read_at(fd: int, length: int, position: int) -> bytes:
        return os.pread(fd, length, position)
