"""Pictures that collections show, and which version of a collection shows which."""

from __future__ import annotations

from fieldpack.server.db.migrate import run_sql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

UPGRADE = """
CREATE TABLE pictures (
    id uuid PRIMARY KEY REFERENCES blobs,
    workspace_id uuid NOT NULL REFERENCES workspaces,
    sha256 bytea NOT NULL CHECK (octet_length(sha256) = 32),
    awaited_at timestamptz DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by uuid NOT NULL REFERENCES researchers,
    UNIQUE (workspace_id, sha256)
);
COMMENT ON TABLE pictures IS 'the bytes are the blob of the same id; the same bytes are one picture of a workspace';
COMMENT ON COLUMN pictures.awaited_at IS
    'when it was last uploaded for a collection that is not there yet; null once one shows it';

CREATE TABLE picture_uses (
    picture_id uuid NOT NULL REFERENCES pictures ON DELETE CASCADE,
    collection_id uuid NOT NULL,
    version integer NOT NULL,
    PRIMARY KEY (collection_id, version, picture_id),
    FOREIGN KEY (collection_id, version) REFERENCES collection_versions ON DELETE CASCADE
);
CREATE INDEX picture_uses_picture ON picture_uses (picture_id);
COMMENT ON TABLE picture_uses IS 'a picture stays for the latest version of a collection, and for those that submissions began with';

CREATE INDEX submissions_version ON submissions (collection_id, collection_version) WHERE response <> 'deleted';
"""


def upgrade() -> None:
    run_sql(UPGRADE)
