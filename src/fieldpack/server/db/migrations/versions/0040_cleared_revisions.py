"""How far the revisions of answers went that were cleared: one that is given anew goes on from there.

Otherwise it would begin at 1 again, and whoever still names the 1 of before would write over what they have not seen.
"""

from __future__ import annotations

from fieldpack.server.db.migrate import run_sql

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None

UPGRADE = """
ALTER TABLE submissions ADD COLUMN cleared_revisions jsonb;
COMMENT ON COLUMN submissions.cleared_revisions IS
    'by instruction id the last revision of an answer that was cleared; null where none was';
"""


def upgrade() -> None:
    run_sql(UPGRADE)
