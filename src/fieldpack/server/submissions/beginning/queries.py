"""SQL of a submission's beginning."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg import AsyncCursor
from psycopg.rows import class_row

from fieldpack.server.db.pool import Connection
from fieldpack.server.studies.queries import TAKE_PLACE

__all__ = ["BegunRow", "NewSubmission", "ask_begin"]


@dataclass(frozen=True, slots=True)
class NewSubmission:
    """What is stored of a submission that begins now.

    Attributes:
        ordinal: among the participant's submissions to the study, from 1.
        study_code: the completion code that they are to be given; None for none.
        test: somebody tries the study; such a submission takes no place.
        resume_code: with which they go on elsewhere.
        guesses: of that code, that may be made at once.
        token_sha256: the hash of the token that opens it.
    """

    id: UUID
    study_id: UUID
    participant_id: str
    session_id: str | None
    ordinal: int
    study_code: str | None
    test: bool
    resume_code: str
    guesses: int
    token_sha256: bytes


@dataclass(frozen=True, slots=True)
class BegunRow:
    """What the database says of a submission that has begun."""

    collection_version: int  # the latest, which its participant sees from now on
    started_at: datetime
    deadline_at: datetime | None


def _begin(place: str) -> str:
    """SQL that does everything for the place that the statement `place` returns, and nothing where it returns none."""
    return f"""
        WITH place AS ({place}), begun AS (
            INSERT INTO submissions (id, study_id, collection_id, collection_version, participant_id, session_id,
                                     ordinal, deadline_at, study_code, test, holds_place)
            SELECT %(id)s, p.id, p.collection_id, c.version, %(participant)s, %(session)s, %(ordinal)s,
                   now() + make_interval(mins => p.maximum_allowed_time), %(study_code)s, %(test)s, NOT %(test)s
            FROM place p JOIN collections c ON c.id = p.collection_id
            RETURNING id, collection_version, started_at, deadline_at
        ), coded AS (
            INSERT INTO resume_codes (submission_id, code, guesses) SELECT b.id, %(code)s, %(guesses)s FROM begun b
        ), opened AS (
            INSERT INTO participant_tokens (token_sha256, submission_id) SELECT %(token)s, b.id FROM begun b
        )
        SELECT b.collection_version, b.started_at, b.deadline_at FROM begun b
    """


_OF_STUDY = "RETURNING id, collection_id, maximum_allowed_time"
_BEGIN = _begin(f"{TAKE_PLACE} {_OF_STUDY}")
_BEGIN_TEST = _begin(
    "SELECT id, collection_id, maximum_allowed_time FROM studies WHERE id = %(study)s FOR NO KEY UPDATE"
)


async def ask_begin(connection: Connection, new: NewSubmission) -> AsyncCursor[BegunRow]:
    """Take a place of an open study and store the submission: a row comes, once it is fetched, if there was one.

    Locks the study until commit.

    Raises:
        psycopg.errors.UniqueViolation: another request of this participant was first.
    """
    return await connection.cursor(row_factory=class_row(BegunRow)).execute(
        _BEGIN_TEST if new.test else _BEGIN,
        {
            "id": new.id,
            "study": new.study_id,
            "participant": new.participant_id,
            "session": new.session_id,
            "ordinal": new.ordinal,
            "study_code": new.study_code,
            "test": new.test,
            "code": new.resume_code,
            "guesses": new.guesses,
            "token": new.token_sha256,
        },
    )
