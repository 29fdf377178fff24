"""Who an installation is, so that database and storage know each other; and erasures that are yet to be listed."""

from __future__ import annotations

from fieldpack.server.db.migrate import run_sql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

UPGRADE = """
CREATE TABLE installation (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    is_only boolean NOT NULL DEFAULT true UNIQUE CHECK (is_only),
    generation bigint NOT NULL DEFAULT 0,
    restored_at timestamptz
);
COMMENT ON TABLE installation IS 'one row; storage has a copy of id and generation, so that each knows the other';
COMMENT ON COLUMN installation.generation IS
    'raised every hour, here and in storage: when storage is ahead, this database is an earlier state of itself';
COMMENT ON COLUMN installation.restored_at IS
    'what was stored before and has no row may be of rows that were lost: no sweep removes it by itself';
INSERT INTO installation DEFAULT VALUES;

CREATE TABLE unlisted_erasures (
    submission_id uuid PRIMARY KEY,
    erased_at timestamptz NOT NULL DEFAULT now(),
    stored boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE unlisted_erasures IS
    'erasures on their way to the lists outside the database, from which a restore knows them; stored: in storage';
INSERT INTO unlisted_erasures (submission_id, erased_at)
SELECT id, erased_at FROM submissions WHERE response = 'deleted';

CREATE TABLE erasure_lists (
    path text PRIMARY KEY,
    added_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE erasure_lists IS 'files beside backups that every erasure is written to as well';
"""


def upgrade() -> None:
    run_sql(UPGRADE)
