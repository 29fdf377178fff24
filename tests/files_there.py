"""Files of folders that programs work in meanwhile."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["iter_contents"]


def iter_contents(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file below, with its bytes; what goes while it is looked for was there for nobody."""
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            try:
                data = path.read_bytes() if path.is_file() and not path.is_symlink() else None
            except FileNotFoundError:
                continue
            if data is not None:
                yield path, data
