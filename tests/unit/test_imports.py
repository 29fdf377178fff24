"""What a program loads before it does anything: nothing that only other programs need."""

from __future__ import annotations

import subprocess
import sys

import pytest

PAGES_AND_API = ("fastapi", "starlette", "uvicorn", "jinja2", "babel", "puremagic")
SCHEMA = ("alembic", "sqlalchemy")
READERS = ("pandas", "pyarrow", "polars", "openpyxl", "botocore")


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("fieldpack.server.run.serve", (*PAGES_AND_API, *SCHEMA, *READERS)),
        ("fieldpack.server.run.supervisor", (*PAGES_AND_API, *SCHEMA, *READERS)),
        ("fieldpack.server.run.worker", (*PAGES_AND_API, *SCHEMA, *READERS)),
        ("fieldpack.server.run.administration", (*PAGES_AND_API, *SCHEMA, *READERS)),
        ("fieldpack.server.backup.making", (*PAGES_AND_API, *SCHEMA, *READERS)),
        ("fieldpack.server.backup.restoring", (*PAGES_AND_API, *SCHEMA, *READERS)),
        ("fieldpack.server.app", (*SCHEMA, *READERS)),
        ("fieldpack.cli", (*PAGES_AND_API, *SCHEMA, *READERS, "psycopg", "pydantic")),
    ],
)
def test_a_program_loads_nothing_that_only_others_need(module: str, unwanted: tuple[str, ...]) -> None:
    """Each start of a server, of its children and of a command costs what they load: half of it was not theirs."""
    script = f"import sys, {module}; print([name for name in {unwanted!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "[]"
