"""The end of a submission's line in responses.jsonl, times and all, is written when it is submitted."""

from __future__ import annotations

from fieldpack.server.db.migrate import run_sql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

UPGRADE = """
ALTER TABLE submissions RENAME COLUMN responses TO line_end;
UPDATE submissions SET line_end = concat(
    '"started_at":"', to_char(started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    '","completed_at":"', to_char(completed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    '","responses":', line_end, E'}\\n')
WHERE line_end IS NOT NULL;
COMMENT ON COLUMN submissions.line_end IS
    'written once at submit: the submission''s line in responses.jsonl from "started_at" to its end, so that an export only copies it';
"""


def upgrade() -> None:
    run_sql(UPGRADE)
