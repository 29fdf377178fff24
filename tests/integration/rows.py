"""Rows written straight into the database: what would take too long otherwise, and clocks turned back."""

from __future__ import annotations

import hashlib
import secrets
from typing import Any
from uuid import uuid4

import psycopg

from fieldpack.server.accounts.permissions.roles import Role
from fieldpack.server.db.embedded.server import open_embedded
from fieldpack.server.exports.line_queries import write_line_end
from tests.installation import Installation


def connected(server: Installation) -> psycopg.Connection[Any]:
    """A connection to the database of an installation that runs."""
    with open_embedded(server.data_dir) as embedded:
        return psycopg.connect(embedded.url, autocommit=True)


def insert_submissions(
    server: Installation, study_id: str, count: int, question_id: str | None = None
) -> None:
    """So many active responses of some text, as if participants had submitted them now; each to a question of its own
    that nobody asked, or all to one."""
    with connected(server) as database, database.transaction():
        responses = """
            json_build_object(coalesce(%(question)s::uuid, gen_random_uuid()), json_build_object(
                'type', 'free_text', 'value', repeat(md5(n::text), 8)))
        """
        database.execute(
            f"""
            WITH counted AS (
                UPDATE collection_changes SET counter = counter + 1
                WHERE collection_id = (SELECT collection_id FROM studies WHERE id = %(study)s)
                RETURNING collection_id, counter
            )
            INSERT INTO submissions (id, study_id, collection_id, collection_version, participant_id, ordinal,
                                     status, response, completed_at, line_end, answer_count,
                                     activated_counter)
            SELECT gen_random_uuid(), %(study)s, counted.collection_id, 1, 'row-' || n, 1, 'AWAITING REVIEW',
                   'active', now(),
                   {write_line_end("now()", "now()", responses)}, 1, counted.counter
            FROM counted, generate_series(1, %(count)s) n
            """,
            {"study": study_id, "count": count, "question": question_id},
        )


def turn_back_deadline(server: Installation, submission_id: str) -> None:
    """As if the study's maximum time had passed."""
    with connected(server) as database:
        database.execute(
            "UPDATE submissions SET deadline_at = now() - interval '1 minute' WHERE id = %s", [submission_id]
        )


def activity(server: Installation) -> list[Any]:
    """What the database is doing: for the message of a test that waited in vain."""
    with connected(server) as database:
        return database.execute(
            "SELECT pid, state, now() - xact_start, wait_event_type, wait_event, left(query, 200)"
            " FROM pg_stat_activity WHERE datname IS NOT NULL"
        ).fetchall()


def insert_researcher(
    server: Installation,
    *,
    role: Role | None = None,
    workspace_id: str | None = None,
    collection_roles: dict[str, Role] | None = None,
    cap: Role | None = None,
) -> tuple[str, str]:
    """A researcher with these roles, and a token of theirs: the id and the token."""
    id, token = uuid4(), secrets.token_urlsafe(32)
    with connected(server) as database, database.transaction():
        database.execute("INSERT INTO researchers (id, email) VALUES (%s, %s)", [id, f"{id}@example.org"])
        if role is not None:
            database.execute(
                "INSERT INTO memberships (workspace_id, researcher_id, role) VALUES (%s, %s, %s)",
                [workspace_id, id, role],
            )
        for collection_id, narrower in (collection_roles or {}).items():
            database.execute(
                "INSERT INTO collection_roles (collection_id, researcher_id, role) VALUES (%s, %s, %s)",
                [collection_id, id, narrower],
            )
        database.execute(
            "INSERT INTO tokens (id, researcher_id, name, token_sha256, role) VALUES (%s, %s, 'test', %s, %s)",
            [uuid4(), id, hashlib.sha256(token.encode()).digest(), cap],
        )
    return str(id), token


def insert_failed_job(server: Installation, reason: str = "ValueError: no reason") -> int:
    """A job that has failed; tried again it does what the hourly one does."""
    with connected(server) as database:
        row = database.execute(
            """
            WITH job AS (
                INSERT INTO procrastinate_jobs (queue_name, task_name, status, args)
                VALUES ('maintenance', 'fieldpack:clear_leftovers', 'failed', '{"timestamp": 0}') RETURNING id)
            SELECT id FROM job
            """
        ).fetchone()
        assert row is not None
        database.execute("INSERT INTO job_failures (job_id, reason) VALUES (%s, %s)", [row[0], reason])
    number: int = row[0]
    return number
