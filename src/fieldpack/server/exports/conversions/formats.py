"""What an archive is converted to: names, endings, types, and the libraries that make it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec

__all__ = ["FORMATS", "Format", "find_missing"]


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of file.

    Attributes:
        content_type: as it is served.
        needs: libraries that make it, as they are imported.
    """

    content_type: str
    needs: tuple[str, ...] = ()


FORMATS: Mapping[str, Format] = {
    "csv": Format("text/csv; charset=utf-8", ("pyarrow",)),
    "xlsx": Format(
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", ("pyarrow", "openpyxl")
    ),
    "sav": Format("application/x-spss-sav", ("pyarrow", "pandas", "pyreadstat")),
    "dta": Format("application/x-stata-dta", ("pyarrow", "pandas", "pyreadstat")),
    "parquet": Format("application/vnd.apache.parquet", ("pyarrow",)),
    "codebook": Format("text/html; charset=utf-8"),
    "report": Format("text/html; charset=utf-8"),
}
"""By the name that routes and commands have for it; media stay in the archive."""


def find_missing(name: str) -> str | None:
    """What this machine lacks to make a format, as a sentence; None where nothing."""
    if os.name != "posix":
        return "A server on this system converts nothing: download the archive and use `fieldpack convert`."
    lacking = [library for library in FORMATS[name].needs if find_spec(library) is None]
    if lacking:
        return (
            f"This server lacks {', '.join(lacking)}: whoever runs it installs it by pip install 'fieldpack[convert]'."
            " Until then, download the archive and use `fieldpack convert`."
        )
    return None
