"""Whether an account is known to be of whoever has its address, or its address is what somebody typed.

Accounts of before count as proven: nobody can tell any more how they were made. So do those that a process of an
earlier version makes while it still runs, which knows no such column.
"""

from __future__ import annotations

from fieldpack.server.db.migrate import run_sql

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None

UPGRADE = """
ALTER TABLE researchers ADD COLUMN address_proven_at timestamptz DEFAULT now();
COMMENT ON COLUMN researchers.address_proven_at IS
    'since when the account is known to be of whoever has the address; null: somebody typed it, and may have made it up';
"""


def upgrade() -> None:
    run_sql(UPGRADE)
