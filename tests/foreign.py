"""A PostgreSQL of one's own for tests: another embedded one, that servers reach by its URL alone."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from fieldpack.server.db.embedded.server import open_embedded


class ForeignPostgres:
    """A running server in which databases can be made."""

    def __init__(self, url: str) -> None:
        self._url = url

    def create(self) -> str:
        """A new, empty database; its URL."""
        name = f"test_{uuid.uuid4().hex}"
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self._url.replace("/fieldpack?", f"/{name}?")


@contextmanager
def foreign_postgres() -> Iterator[ForeignPostgres]:
    """One in a folder of its own, gone with it afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="fieldpack-foreign-"))
    try:
        with open_embedded(folder, durable=False) as held:
            yield ForeignPostgres(held.url)
        assert held.wait_stopped()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
