"""Participants' ids lose what can't be seen, as those that come from now on do.

Two ids of a study that become one stay two submissions: the later ones are marked, exempt from what is unique for
one participant, and named in the log.
"""

from __future__ import annotations

from uuid import UUID

import structlog
from alembic import op
from sqlalchemy import text

from fieldpack.server.db.migrate import run_sql
from fieldpack.server.values.participant_ids import normalise_participant_id

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

UPGRADE = """
ALTER TABLE submissions ADD COLUMN merged boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN submissions.merged IS
    'its participant''s id was another''s until ids were normalised; counts as theirs, but not where one must be unique';
DROP INDEX submissions_ordinal;
DROP INDEX submissions_session;
"""
UNIQUE = """
CREATE UNIQUE INDEX submissions_ordinal ON submissions (study_id, participant_id, ordinal)
    WHERE response <> 'deleted' AND NOT merged;
CREATE UNIQUE INDEX submissions_session ON submissions (study_id, participant_id, session_id)
    WHERE session_id IS NOT NULL AND response <> 'deleted' AND NOT merged;
CREATE INDEX submissions_participant ON submissions (study_id, participant_id) WHERE response <> 'deleted';
"""
# what is not printable ASCII without spaces: nothing else can change
SUSPECT = """
SELECT id, participant_id FROM submissions WHERE participant_id ~ '[^\\x21-\\x7e]' ORDER BY started_at, id
"""
RENAME = "UPDATE submissions SET participant_id = :participant WHERE id = :id"
# Of each participant the one they would be led back to stays as it is: under way first, then the newest.
MARK = """
UPDATE submissions s SET merged = true
FROM (
    SELECT id, row_number() OVER (
        PARTITION BY study_id, participant_id
        ORDER BY (response = 'in_progress') DESC, started_at DESC, ordinal DESC, id) AS place
    FROM submissions WHERE response <> 'deleted' AND (study_id, participant_id) IN (
        SELECT o.study_id, o.participant_id FROM submissions o WHERE o.id = ANY(:renamed) AND o.response <> 'deleted')
) ranked
WHERE ranked.id = s.id AND ranked.place > 1 AND EXISTS (
    SELECT FROM submissions o
    WHERE o.study_id = s.study_id AND o.participant_id = s.participant_id AND o.id <> s.id
      AND o.response <> 'deleted' AND (o.ordinal = s.ordinal OR o.session_id = s.session_id))
"""
LIST = """
SELECT study_id, participant_id, array_agg(id ORDER BY started_at, id) AS submissions
FROM submissions WHERE response <> 'deleted' AND (study_id, participant_id) IN (
    SELECT o.study_id, o.participant_id FROM submissions o WHERE o.id = ANY(:renamed) AND o.response <> 'deleted')
GROUP BY study_id, participant_id HAVING count(*) > 1
"""
COUNT = """
UPDATE collection_changes SET counter = counter + 1 WHERE collection_id IN (
    SELECT collection_id FROM submissions WHERE id = ANY(:renamed) AND response = 'active')
"""

log = structlog.get_logger()


def upgrade() -> None:
    run_sql(UPGRADE)
    bind = op.get_bind()
    before: dict[UUID, str] = {}
    for row in bind.execute(text(SUSPECT)).all():
        participant = normalise_participant_id(row.participant_id)
        if not participant:  # nothing of it can be seen; who has begun goes on by token or cookie
            log.warning("participants.invisible", submission_id=str(row.id))
        elif participant != row.participant_id:
            bind.execute(text(RENAME), {"participant": participant, "id": row.id})
            before[row.id] = row.participant_id
    if before:
        renamed = {"renamed": list(before)}
        bind.execute(text(COUNT), renamed)
        bind.execute(text(MARK), renamed)
        for row in bind.execute(text(LIST), renamed).all():
            if len({before.get(each, row.participant_id) for each in row.submissions}) > 1:
                ids = [str(each) for each in row.submissions]
                log.warning("participants.merged", study_id=str(row.study_id), submission_ids=ids)
        log.warning("participants.normalised", submissions=len(before))
    run_sql(UNIQUE)
