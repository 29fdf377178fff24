"""How a workspace's exports are requested: as the founding document says, or as the hosted service does it since."""

from __future__ import annotations

from fieldpack.server.db.migrate import run_sql

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

UPGRADE = """
ALTER TABLE workspaces ADD COLUMN export_dialect text NOT NULL DEFAULT 'seed'
    CHECK (export_dialect IN ('seed', '2026-11'));
COMMENT ON COLUMN workspaces.export_dialect IS
    'seed: a recent export is answered again; 2026-11: each request makes a new one, and ten are kept';
"""


def upgrade() -> None:
    run_sql(UPGRADE)
