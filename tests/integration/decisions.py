"""Decisions that are held, when tests have them made, which is not while they look at what is held, and who looks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from tests.gates import wait_for
from tests.installation import Installation
from tests.integration.rows import connected


@contextmanager
def signed_in(server: Installation, token: str) -> Iterator[httpx.Client]:
    """A browser without scripts, of whoever has this token."""
    headers = {"Accept": "text/html", "Origin": server.url}
    with httpx.Client(base_url=server.url, trust_env=False, timeout=60, headers=headers) as client:
        assert client.post("/sign-in", data={"token": token}).status_code == 303
        yield client


@contextmanager
def held_for_long(server: Installation) -> Iterator[None]:
    """While this is open, decisions become due when `make_held` says so, however slow the machine is. What is left in
    the end is forgotten, so that no later test sees it made."""
    with connected(server) as database:
        database.execute(
            """
            CREATE OR REPLACE FUNCTION hold_for_long() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                NEW.due_at = NEW.due_at + interval '1 day';
                RETURN NEW;
            END $$;
            CREATE OR REPLACE TRIGGER hold_for_long BEFORE INSERT ON decisions
                FOR EACH ROW EXECUTE FUNCTION hold_for_long();
            """
        )
    try:
        yield
    finally:
        with connected(server) as database:
            database.execute("DROP TRIGGER hold_for_long ON decisions")
            database.execute("DELETE FROM decisions WHERE ended_at IS NULL")


def make_held(server: Installation) -> None:
    """Have the worker make all decisions that are held now."""
    with connected(server) as database:
        database.execute("UPDATE decisions SET due_at = now() WHERE ended_at IS NULL")
        wait_for(
            lambda: (
                database.execute("SELECT FROM decisions WHERE ended_at IS NULL LIMIT 1").fetchone() is None
            )
        )
