"""fieldpack: collect original data from participants, and bring it back as one archive.

::

    client = fieldpack.Client()                       # PROLIFIC_TOKEN, PROLIFIC_URL
    path = client.export_collection("…", progress=True)
    export = fieldpack.open_export(path)              # .zip, extracted folder, or http(s) URL

`import fieldpack` alone loads none of the libraries behind these; each name brings its own on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fieldpack.errors import (
    ApiError,
    ArchiveError,
    ConfigError,
    DownloadError,
    ExportFailed,
    FieldpackError,
    IgnoredParameterWarning,
    TemplateError,
    TransportError,
    UsageError,
)

if TYPE_CHECKING:
    from fieldpack.client import Client
    from fieldpack.export import open_export

    __version__: str

__all__ = [
    "ApiError",
    "ArchiveError",
    "Client",
    "ConfigError",
    "DownloadError",
    "ExportFailed",
    "FieldpackError",
    "IgnoredParameterWarning",
    "TemplateError",
    "TransportError",
    "UsageError",
    "__version__",
    "open_export",
]


def __getattr__(name: str) -> Any:
    """Import what is heavy when it is first asked for (PEP 562)."""
    if name == "Client":
        from fieldpack.client import Client

        value: Any = Client
    elif name == "open_export":
        from fieldpack.export import open_export

        value = open_export
    elif name == "__version__":
        from importlib.metadata import version

        value = version("fieldpack")
    else:
        raise AttributeError(f"module 'fieldpack' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
