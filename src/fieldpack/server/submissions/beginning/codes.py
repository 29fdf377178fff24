"""The short code with which a participant goes on in another browser: made, shown, and compared.

It is stored as it is, and not as a hash, because pages show it again. Whoever can read it in the database can also read
the answers that it opens.
"""

from __future__ import annotations

import hmac
import re
import secrets
from uuid import UUID

from fieldpack.server.db.pool import Connection, Database
from fieldpack.server.problems import RESUME_CODE_WRONG, TOO_MANY_REQUESTS, Problem
from fieldpack.server.submissions.beginning import code_queries as queries

__all__ = ["MOST_GUESSES", "find_coded", "get_code", "make_code", "say_code"]

# without characters that are misread for each other: 0 O Q D, 1 I L, 2 Z, 5 S, 8 B, 6 G, U V
ALPHABET = "ACEFHJKMNPRTWXY3479"
CHARACTERS = 8  # of 19: 1.7e10 codes
MOST_GUESSES = 20
GUESS_SECONDS = (
    180.0  # until one more guess is allowed: 175,000 a year, which find a code with a chance of 1 in 97,000
)
_SEPARATORS = re.compile(r"[\s\-\u2010-\u2015.]+")


def make_code() -> str:
    """A code that nobody can guess."""
    return "".join(secrets.choice(ALPHABET) for _ in range(CHARACTERS))


def say_code(code: str) -> str:
    """A code as people copy it: in two halves of four characters."""
    half = CHARACTERS // 2
    return f"{code[:half]}-{code[half:]}"


async def get_code(connection: Connection, submission_id: UUID) -> str | None:
    """The code of a submission, as people copy it. It is made if there is none. None for an erased submission."""
    found = await queries.list_codes(connection, [submission_id])
    if not found:
        await queries.insert_code(connection, submission_id, make_code(), MOST_GUESSES)
        found = await queries.list_codes(connection, [submission_id])
    return say_code(found[0].code) if found else None


async def find_coded(database: Database, study_id: UUID, participant_id: str, given: str) -> UUID | None:
    """The participant's submission to a study that has this code; None where none of theirs has a code.

    A guess is counted before it is compared, in a transaction of its own, so that a refusal does not undo the count.

    Raises:
        Problem: 409 for a wrong code, 429 after too many.
    """
    code = _SEPARATORS.sub("", given).upper()
    async with database.transaction() as connection:
        rows, count = await queries.spend_guesses(
            connection, study_id, participant_id, MOST_GUESSES, GUESS_SECONDS
        )
    if not count:
        return None
    if not rows:
        raise Problem(
            TOO_MANY_REQUESTS,
            "Too many wrong codes for this participant: wait a few minutes and try again.",
            headers={"Retry-After": str(int(GUESS_SECONDS))},
        )
    matches = [row for row in rows if hmac.compare_digest(row.code.encode(), code.encode("utf-8", "replace"))]
    if not matches:
        raise Problem(
            RESUME_CODE_WRONG,
            "This is not the code that the pages of this submission show: check each character.",
        )
    async with database.transaction() as connection:
        await queries.reset_guesses(connection, matches[0].submission_id, MOST_GUESSES)
    return matches[0].submission_id
