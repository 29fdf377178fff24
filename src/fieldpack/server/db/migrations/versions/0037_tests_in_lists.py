"""The index that lists of responses are read from says of each whether it is a test: so studies are counted from it
alone as well.
"""

from __future__ import annotations

from fieldpack.server.db.migrate import run_sql

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None

UPGRADE = """
DROP INDEX submissions_latest;
CREATE INDEX submissions_latest ON submissions (collection_id, coalesce(completed_at, started_at), id)
    INCLUDE (status, response, study_id, participant_id, started_at, completed_at, file_count, test)
    WHERE response <> 'deleted';
COMMENT ON INDEX submissions_latest IS 'all that lists and counts of responses ask of them, but their answers: it is read alone';
DO $$ BEGIN
    -- an empty one that was analysed is planned for as if it stayed empty (migration 35)
    IF EXISTS (SELECT FROM submissions) THEN ANALYZE submissions; END IF;
END $$;
"""


def upgrade() -> None:
    run_sql(UPGRADE)
