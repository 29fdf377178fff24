"""The errors a caller of fieldpack can meet.

::

    FieldpackError                 everything below; `str(error)` is one sentence that says what to do
    ├── UsageError                 the request itself is wrong (a bad argument, a bad file): exit code 2
    │   └── TemplateError          what a YAML or JSON file holds is wrong (`problems`: a line for each)
    ├── ConfigError                a setting or an extra is missing, unknown or contradicts another
    ├── ApiError                   the server answered with an error body (`status`, `error_code`, `detail`)
    ├── TransportError             the server could not be reached, or the connection broke for good
    ├── ExportFailed               the server says the export failed (`reason`)
    ├── DownloadError              the archive could not be brought here whole (`part` is kept)
    └── ArchiveError               an archive is damaged or not one of ours (`member`, `line`)
        └── ArchiveChanged         it became another one while it was being read

And one warning: `IgnoredParameterWarning`, where a server did not heed all that was asked of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = [
    "ApiError",
    "ArchiveChanged",
    "ArchiveError",
    "ConfigError",
    "DownloadError",
    "ExportFailed",
    "FieldpackError",
    "IgnoredParameterWarning",
    "TemplateError",
    "TransportError",
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
