"""Files that an import has begun to store, until their rows are there: what a killed one leaves is known by them.

While processes of an earlier version still run, none of theirs can discard an import that one of this version has left.
"""

from __future__ import annotations

from fieldpack.server.db.migrate import run_sql

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None

UPGRADE = """
CREATE TABLE import_blobs (
    blob_id uuid PRIMARY KEY,
    import_id uuid NOT NULL REFERENCES imports
);
CREATE INDEX import_blobs_import ON import_blobs (import_id);
COMMENT ON TABLE import_blobs IS
    'files that a running import is storing and that no row names yet; while none runs, what a killed one has left';
"""


def upgrade() -> None:
    run_sql(UPGRADE)
