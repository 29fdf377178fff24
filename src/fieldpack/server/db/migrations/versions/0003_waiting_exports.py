"""An export that waits for its storage says so."""

from __future__ import annotations

from fieldpack.server.db.migrate import run_sql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

UPGRADE = """
ALTER TABLE exports ADD COLUMN waiting_since timestamptz, ADD COLUMN waiting_reason text;
COMMENT ON COLUMN exports.waiting_since IS
    'since when the storage has not answered the job, and why; both null while it answers';
"""


def upgrade() -> None:
    run_sql(UPGRADE)
