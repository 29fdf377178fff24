"""The errors a caller of fieldpack can meet.

::

    FieldpackError                 everything below; `str(error)` is one sentence that says what to do
    ├── UsageError                 the request itself is wrong (a bad argument, a bad file): exit code 2
    │   ├── TemplateError          what a YAML or JSON file holds is wrong (`problems`: a line for each)
    │   └── InvalidTime            a text is no time of RFC 3339
    ├── ConfigError                a setting or an extra is missing, unknown or contradicts another
    ├── ApiError                   the server answered with an error body (`status`, `error_code`, `detail`)
    ├── TransportError             the server could not be reached, or the connection broke for good
    ├── ExportFailed               the server says the export failed (`reason`)
    ├── ExportNotReady             the export was still being made when the time was up
    ├── DownloadError              the archive could not be brought here whole (`part` is kept)
    ├── ArchiveError               an archive is damaged or not one of ours (`member`, `line`)
    │   └── ArchiveChanged         it became another one while it was being read
    ├── InTheWay                   something else is where a file would be written (`name`, `reason`)
    ├── PictureError               a file is no picture that can be used
    ├── BackupError                a backup is damaged, not whole, or none
    └── StorageError               a server's storage refused
        ├── StorageUnavailable     it may do the same later
        ├── StorageFull            there is no room
        ├── BlobMissing            there is no such object
        │   └── BlobDamaged        it is not the one on record
        └── UploadGone             there is no such upload in parts

And one warning: `IgnoredParameterWarning`, where a server did not heed all that was asked of it.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = [
    "ApiError",
    "ArchiveChanged",
    "ArchiveError",
    "BackupError",
    "BlobDamaged",
    "BlobMissing",
    "ConfigError",
    "DownloadError",
    "ExportFailed",
    "ExportNotReady",
    "FieldpackError",
    "IgnoredParameterWarning",
    "InTheWay",
    "InvalidTime",
    "PictureError",
    "StorageError",
    "StorageFull",
    "StorageUnavailable",
    "TemplateError",
    "TransportError",
    "UploadGone",
    "UsageError",
]


class IgnoredParameterWarning(UserWarning):
    """The server answered as if some of the request's parameters had not been there, and named them."""


class FieldpackError(Exception):
    """Anything fieldpack raises on purpose. `str()` of it is one sentence for a person."""


class UsageError(FieldpackError):
    """What was asked for makes no sense: a bad argument or a bad input file."""


class TemplateError(UsageError):
    """What a file holds cannot be used.

    Attributes:
        problems: one line for each thing that is wrong: the file, the line of it, the place in words, and what.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class InvalidTime(UsageError, ValueError):
    """A text is not a time as RFC 3339 writes it, with its offset."""


class ConfigError(FieldpackError):
    """A setting is missing, unknown, or contradicts another; or an extra is not installed."""


class ApiError(FieldpackError):
    """The server refused a request, with the one error body of the API.

    Attributes:
        status: HTTP status code.
        error_code: stable integer of the API's registry, or None when the body was not ours.
        detail: a string, a list of strings, or a mapping of field path to messages.
        retry_after: seconds after which the server wants to be asked again, when it says so.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        error_code: int | None = None,
        detail: Any = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error_code = error_code
        self.detail = detail
        self.retry_after = retry_after


class TransportError(FieldpackError):
    """The server could not be reached, or the connection broke more often than was worth repeating."""


class ExportFailed(FieldpackError):
    """The export ended as `failed`. `reason` is the server's own sentence."""

    def __init__(self, message: str, *, reason: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason


class ExportNotReady(FieldpackError):
    """The export was still generating after the given time; it continues, and a later request finds it."""


class DownloadError(FieldpackError):
    """The archive could not be brought here whole. `part` is the partial file that was kept, if any."""

    def __init__(self, message: str, *, part: Path | None = None) -> None:
        super().__init__(message)
        self.part = part


class ArchiveError(FieldpackError):
    """An archive is damaged, or not one that fieldpack can read.

    Attributes:
        member: name of the member at fault, if one is.
        line: 1-based line number within it, if one is.
    """

    def __init__(self, message: str, *, member: str | None = None, line: int | None = None) -> None:
        super().__init__(message)
        self.member = member
        self.line = line


class ArchiveChanged(ArchiveError):
    """An archive behind a link was replaced or withdrawn while it was being read; opened again, it is whole."""


class InTheWay(FieldpackError):
    """Something of somebody else's is where a file or folder of ours would be.

    Attributes:
        name: what is in the way, relative to the folder.
        reason: why it is, to go on from the name: `is a symbolic link`.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name} {reason}.")
        self.name = name
        self.reason = reason


class PictureError(FieldpackError):
    """This can't be used as a picture; `str()` is a sentence that says why, for whoever made it."""


class BackupError(FieldpackError):
    """A backup is not whole, is damaged, or is none; nothing can be restored from it."""


class StorageError(FieldpackError, OSError):
    """Storage refused, for a reason that trying again won't change, such as wrong credentials."""


class StorageUnavailable(StorageError):
    """A passing fault: the same call may succeed later."""


class StorageFull(StorageError):
    """No room left: someone has to free space or raise a quota."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.errno = errno.ENOSPC


class BlobMissing(StorageError):
    """There is no object of this key, or not the one on record."""


class BlobDamaged(BlobMissing):
    """An object exists, but not with the size (or the bytes) on record."""


class UploadGone(StorageError):
    """There is no such multipart upload (any more): it was completed or aborted."""
