"""Where each try to tell an event went: a subscription's address may be another by the time somebody looks.

Tries of before went to one that nobody kept; they are said to have gone where the subscription leads now.
"""

from __future__ import annotations

from fieldpack.server.db.migrate import run_sql

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None

UPGRADE = """
ALTER TABLE hook_attempts ADD COLUMN target_url text;
COMMENT ON COLUMN hook_attempts.target_url IS 'where it went; null for tries of before this was kept';
"""


def upgrade() -> None:
    run_sql(UPGRADE)
