"""Exports under way learn of an erasure by their build, which it takes away; a counter beside it told them nothing more."""

from __future__ import annotations

from fieldpack.server.db.migrate import run_sql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

UPGRADE = """
DROP INDEX submissions_erasures;
ALTER TABLE submissions DROP COLUMN erased_counter;
"""


def upgrade() -> None:
    run_sql(UPGRADE)
