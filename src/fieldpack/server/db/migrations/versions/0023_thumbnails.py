"""Small pictures of uploaded files."""

from __future__ import annotations

from fieldpack.server.db.migrate import run_sql

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

UPGRADE = """
CREATE TABLE thumbnails (
    blob_id uuid PRIMARY KEY REFERENCES blobs ON DELETE CASCADE,
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'made', 'unreadable')),
    reason text,
    width integer,
    height integer,
    attempts integer NOT NULL DEFAULT 0,
    claimed_at timestamptz,
    requested_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX thumbnails_waiting ON thumbnails (requested_at, blob_id) WHERE state = 'waiting';
COMMENT ON TABLE thumbnails IS 'whether small pictures of a blob are made; none is asked for yet without a row';
COMMENT ON COLUMN thumbnails.reason IS 'why there are none, in a word';
COMMENT ON COLUMN thumbnails.width IS 'of the original, upright, in pixels';

CREATE TABLE thumbnail_files (
    blob_id uuid NOT NULL REFERENCES thumbnails ON DELETE CASCADE,
    side integer NOT NULL,
    width integer NOT NULL,
    height integer NOT NULL,
    size_bytes integer NOT NULL,
    sha256 bytea NOT NULL,
    PRIMARY KEY (blob_id, side)
);
COMMENT ON TABLE thumbnail_files IS 'the small pictures of a blob, one for each size; stored at thumbnails/<2 hex>/<blob>-<side>';
"""


def upgrade() -> None:
    run_sql(UPGRADE)
