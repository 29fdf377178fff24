"""Options that the commands of accounts share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fieldpack.server.config import Settings

__all__ = ["AsJson", "DataDir", "load"]

DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Folder of the database, files and keys [FIELDPACK_DATA_DIR]."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def load(data_dir: Path | None) -> Settings:
    """The settings of the installation that is meant."""
    from fieldpack.server.config import load_settings

    return load_settings(data_dir=data_dir)
