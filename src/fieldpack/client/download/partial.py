"""An archive while it is downloaded: the file `<target>.part`, what is known of it, and the final rename."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson

from fieldpack.client.download.link import is_strong
from fieldpack.errors import DownloadError
from fieldpack.files import lock, rename_new, rename_over, sync_bytes, sync_file, sync_folder, write_whole

__all__ = ["PartialFile", "PartialInfo", "Span", "find_partial", "refuse_foreign"]

_SUFFIX = ".part"
_INFO_SUFFIX = ".part.json"
_MOST_NOTES_BYTES = 1 << 20


@dataclass
class Span:
    """Bytes `start` … `end` (exclusive) of the archive, of which those before `position` are on disk."""

    position: int
    end: int


@dataclass
class PartialInfo:
    """What is known of a `.part` file; kept beside it as JSON, where the spans are called `segments`.

    Attributes:
        source: identifies the archive (collection, filter), so that a later run finds its file.
        etag: strong validator of the bytes on disk (RFC 9110 §8.8.3), or None when the server gave none.
        size_bytes: length of the complete archive, or None when the server did not say.
        spans: what is on disk and what is missing; empty before the first byte.
    """

    source: dict[str, Any] = field(default_factory=dict)
    etag: str | None = None
    size_bytes: int | None = None
    spans: list[Span] = field(default_factory=list)

    @property
    def done_bytes(self) -> int:
        """How many bytes are on disk."""
        if self.size_bytes is None:
            return 0
        return self.size_bytes - sum(span.end - span.position for span in self.spans)

    def fits(self, on_disk: int) -> bool:
        """Whether a `.part` file of `on_disk` bytes can be gone on with by this."""
        # Without a strong validator it can't be known whether the rest belongs to the same archive.
        if self.etag is None or not self.spans:
            return False
        is_short = any(span.position > on_disk for span in self.spans)
        return not is_short and (self.size_bytes is None or on_disk <= self.size_bytes)

    @classmethod
    def find(cls, path: Path) -> PartialInfo | None:
        """Read it from `path`; None when the file is missing or is not as `PartialFile.save` writes it."""
        try:
            if not path.is_file() or path.stat().st_size > _MOST_NOTES_BYTES:
                return None  # a pipe would be waited for
            body = orjson.loads(path.read_bytes())
            info = cls(
                dict(body["source"]),
                body["etag"],
                body["size_bytes"],
                [Span(**item) for item in body["segments"]],
            )
        except (OSError, orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            return None
        return info if info._makes_sense() else None

    def _makes_sense(self) -> bool:
        size = 1 << 62 if self.size_bytes is None else self.size_bytes
        if type(size) is not int or size < 0:
            return False
        if self.etag is not None and not is_strong(self.etag):
            return False
        before = 0
        for span in self.spans:
            if type(span.position) is not int or type(span.end) is not int:
                return False
            if not before <= span.position <= span.end <= size:
                return False
            before = span.end
        return True


def find_partial(folder: Path, source: dict[str, Any], name: str) -> Path | None:
    """The target of the newest unfinished download of `source` in `folder`, or None.

    Args:
        source: equal to the one given when that download started.
        name: glob pattern of the target's name.
    """
    found = []
    for path in folder.glob(name + _INFO_SUFFIX):
        info = PartialInfo.find(path)
        if info is not None and info.source == source:
            with contextlib.suppress(FileNotFoundError):
                found.append((path.stat().st_mtime_ns, path.name.removesuffix(_INFO_SUFFIX)))
    return folder / max(found)[1] if found else None


def refuse_foreign(target: Path) -> None:
    """Refuse to download to `target` where `<target>.part` or its notes are files of somebody else's.

    A `.part` file is ours if it has sound notes, which are there before its first byte, or is empty.

    Raises:
        DownloadError: either is not ours.
    """
    path, notes = (target.with_name(target.name + suffix) for suffix in (_SUFFIX, _INFO_SUFFIX))
    is_ours = PartialInfo.find(notes) is not None
    for found in (path, notes):
        with contextlib.suppress(FileNotFoundError):
            state = os.lstat(found)
            if not stat.S_ISREG(state.st_mode) or (state.st_size and not is_ours):
                raise DownloadError(
                    f"{found} is there already and no unfinished download that can be gone on with: move it away, give "
                    "another name, or give --force to overwrite it."
                )


class PartialFile:
    """`<target>.part`, locked for one process until it is renamed to `target`. A context manager.

    Args:
        target: the final name.
        force: overwrite files under the names of `.part` and its notes that no download has left.

    Raises:
        DownloadError: another process has locked it, it is somebody else's, or it can't be written.
    """

    def __init__(self, target: Path, *, force: bool = False) -> None:
        self.target = target
        self._force = force
        self._is_ours = self._is_taken = False
        self.path = target.with_name(target.name + _SUFFIX)
        self.info_path = target.with_name(target.name + _INFO_SUFFIX)
        self.info = PartialInfo()
        self._fd = -1
        self._guard = threading.Lock()
        self._is_stopped = False

    def __enter__(self) -> PartialFile:
        self._fd = self._open_locked()
        try:
            self._take()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _take(self) -> None:
        if not self._force:
            refuse_foreign(self.target)
        held = PartialInfo.find(self.info_path)
        on_disk = os.fstat(self._fd).st_size
        self._is_ours |= held is not None or on_disk > 0
        self._is_taken = True
        if held is not None and held.fits(on_disk):
            self.info = held
        else:
            self.reset()

    def __exit__(self, *exc: object) -> None:
        state = os.fstat(self._fd) if self._fd >= 0 else None
        if state is not None and stat.S_ISREG(state.st_mode) and state.st_size == 0:
            # nothing was received
            if self._is_taken:
                self.info_path.unlink(missing_ok=True)
            if self._is_ours:
                self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Release the lock. What was written stays."""
        with self._guard:
            self._is_stopped = True
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1

    def reset(self) -> None:
        """Discard every byte, to start from the beginning."""
        self.info = PartialInfo(self.info.source)
        with self._disk_errors():
            os.ftruncate(self._fd, 0)

    def write(self, data: memoryview, position: int) -> int:
        """Write all of `data` at the offset `position`; return its length.

        Raises:
            DownloadError: the file was closed, or can't be written.
        """
        count = len(data)
        with self._guard, self._disk_errors():
            if self._is_stopped:
                raise DownloadError("The download was stopped.", part=self.path)
            while data:
                done = _write_at(self._fd, data, position)
                data, position = data[done:], position + done
        return count

    def flush(self) -> None:
        """Flush to disk what was written so far (`fdatasync`)."""
        with self._disk_errors():
            sync_bytes(self._fd)

    def read(self, length: int, position: int) -> bytes:
        """Up to `length` bytes at `position`."""
        with self._disk_errors():
            return _read_at(self._fd, length, position)

    def save(self) -> None:
        """Write `info` to `.part.json`, so that a later run can continue."""
        with self._guard, self._disk_errors():
            if self._is_stopped:
                return
            noted = asdict(self.info)
            noted["segments"] = noted.pop("spans")  # as earlier versions call them
            write_whole(self.info_path, orjson.dumps(noted))

    def free_bytes(self) -> int:
        """How many bytes the file system has free for this user."""
        if sys.platform == "win32":
            import shutil

            return shutil.disk_usage(self.target.parent).free
        room = os.fstatvfs(self._fd)
        return room.f_bavail * room.f_frsize

    def held_bytes(self) -> int:
        """How many bytes the file takes on disk already (it may be sparse)."""
        state = os.fstat(self._fd)
        return getattr(state, "st_blocks", state.st_size // 512) * 512

    def place(self, *, force: bool) -> None:
        """Flush the file to disk, then rename it to `target`.

        Raises:
            DownloadError: `target` exists meanwhile and `force` is false; the `.part` file is kept.
        """
        with self._disk_errors():
            sync_file(self._fd)
            if sys.platform == "win32":
                self.close()  # an open file cannot be renamed there
            try:
                if force:
                    rename_over(self.path, self.target)
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
            flags = os.O_RDWR | getattr(os, "O_BINARY", 0) | _NOFOLLOW
            while True:
                try:
                    fd = os.open(self.path, flags | os.O_CREAT | os.O_EXCL, 0o666)
                    self._is_ours = True
                except FileExistsError:
                    self._is_ours = False
                    try:
                        fd = os.open(self.path, flags)
                    except FileNotFoundError:
                        continue  # renamed or removed just now
                if not lock(fd):
                    os.close(fd)
                    raise DownloadError(
                        f"Another process is downloading to {self.path}: wait for it.", part=self.path
                    )
                # the process that held the lock may have renamed the file after we opened it
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
