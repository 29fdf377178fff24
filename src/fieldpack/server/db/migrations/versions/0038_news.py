"""No change notifies: PostgreSQL lets transactions that do commit one after the other, and participants waited for it.

Who wants to know looks at the log of changes.
"""

from __future__ import annotations

from fieldpack.server.db.migrate import run_sql

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None

UPGRADE = """
DROP TRIGGER tell ON changes;
DROP FUNCTION tell_changes();
"""


def upgrade() -> None:
    run_sql(UPGRADE)
