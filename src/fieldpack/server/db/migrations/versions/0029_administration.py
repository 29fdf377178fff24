"""Who runs the installation, why jobs failed, and sweeps that somebody asked for."""

from __future__ import annotations

from fieldpack.server.db.migrate import run_sql

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

UPGRADE = """
CREATE TABLE operators (
    researcher_id uuid PRIMARY KEY REFERENCES researchers ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE operators IS 'researchers who may look after the installation; it opens nothing of any workspace';

CREATE TABLE job_failures (
    job_id bigint PRIMARY KEY REFERENCES procrastinate_jobs ON DELETE CASCADE,
    failed_at timestamptz NOT NULL DEFAULT now(),
    reason text NOT NULL
);
COMMENT ON TABLE job_failures IS 'why a job failed last; nothing of a participant';

CREATE TABLE sweeps (
    id uuid PRIMARY KEY,
    dry_run boolean NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    result jsonb,
    reason text
);
COMMENT ON TABLE sweeps IS 'sweeps that somebody asked for, the latest few; the daily ones are not here';
COMMENT ON COLUMN sweeps.result IS 'what was removed, or would be';
COMMENT ON COLUMN sweeps.reason IS 'why it could not be done';

INSERT INTO operators (researcher_id) SELECT id FROM researchers ORDER BY created_at, id LIMIT 1;
"""


def upgrade() -> None:
    run_sql(UPGRADE)
