"""Options that many commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fieldpack.cli.completion import complete_workspace

if TYPE_CHECKING:
    from fieldpack.server.config import Settings

__all__ = ["AnyWorkspace", "AsJson", "DataDir", "Limit", "Offset", "Workspace", "load"]

AsJson = Annotated[bool, typer.Option("--json", "-j", help="Print JSON.")]
Limit = Annotated[int | None, typer.Option("-l", "--limit", min=1, help="At most so many.")]
Offset = Annotated[int, typer.Option("-o", "--offset", min=0, help="Leave so many out first.")]
Workspace = Annotated[
    str, typer.Option("-w", "--workspace", help="Workspace id.", autocompletion=complete_workspace)
]
AnyWorkspace = Annotated[
    str | None, typer.Option("-w", "--workspace", help="Workspace id.", autocompletion=complete_workspace)
]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Folder of the database, files and keys [FIELDPACK_DATA_DIR]."),
]


def load(data_dir: Path | None) -> Settings:
    """The settings of the installation that is meant."""
    from fieldpack.server.config import load_settings

    return load_settings(data_dir=data_dir)
