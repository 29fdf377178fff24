"""Uploads have a key that their client made, so that a creation whose answer was lost can be sent again."""

from __future__ import annotations

from fieldpack.server.db.migrate import run_sql

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

UPGRADE = """
ALTER TABLE uploads ADD COLUMN key text;
COMMENT ON COLUMN uploads.key IS 'made by the client: one upload of a submission has it, however often its creation is sent';
CREATE UNIQUE INDEX uploads_key ON uploads (submission_id, key) WHERE key IS NOT NULL;
"""


def upgrade() -> None:
    run_sql(UPGRADE)
