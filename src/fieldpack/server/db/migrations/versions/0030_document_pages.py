"""Pictures of the pages of documents, to be read in the browser."""

from __future__ import annotations

from fieldpack.server.db.migrate import run_sql

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

UPGRADE = """
ALTER TABLE thumbnails ADD COLUMN page_count integer;
COMMENT ON COLUMN thumbnails.page_count IS 'of a document: how many pages it has, of which the first few have a picture';

CREATE TABLE thumbnail_pages (
    blob_id uuid NOT NULL REFERENCES thumbnails ON DELETE CASCADE,
    number integer NOT NULL CHECK (number > 1),
    first_byte integer NOT NULL,
    size_bytes integer NOT NULL,
    width integer NOT NULL,
    height integer NOT NULL,
    sha256 bytea NOT NULL,
    PRIMARY KEY (blob_id, number)
);
COMMENT ON TABLE thumbnail_pages IS
    'the second and further pages of a document, one after the other in one object: thumbnails/<2 hex>/<blob>-0';

UPDATE thumbnails t SET state = 'waiting', attempts = 0, claimed_at = NULL
FROM blobs b WHERE b.id = t.blob_id AND t.state = 'made' AND b.content_type = 'application/pdf';

CREATE INDEX changes_submission ON changes (object_id, id) WHERE starts_with(type, 'submission.');
"""


def upgrade() -> None:
    run_sql(UPGRADE)
