"""Archives that are moved in: imports, the ids that these had to make anew, and which submissions came so.

Imported submissions are no news: their insertion is not in the log of changes, so no webhook tells of it.
"""

from __future__ import annotations

from fieldpack.server.db.migrate import run_sql

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

UPGRADE = """
CREATE TABLE imports (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces,
    collection_id uuid NOT NULL,
    source_id text NOT NULL,
    created_by uuid NOT NULL REFERENCES researchers,
    started_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz,
    lines bigint NOT NULL DEFAULT 0,
    submissions bigint NOT NULL DEFAULT 0,
    files bigint NOT NULL DEFAULT 0,
    file_bytes bigint NOT NULL DEFAULT 0,
    erased bigint NOT NULL DEFAULT 0
);
CREATE INDEX imports_workspace ON imports (workspace_id);
COMMENT ON TABLE imports IS
    'archives that became collections; until completed_at the collection is in a workspace without members, of the same id';
COMMENT ON COLUMN imports.lines IS 'of responses.jsonl, that were taken over: where another run goes on';

CREATE TABLE import_ids (
    import_id uuid NOT NULL REFERENCES imports ON DELETE CASCADE,
    kind text NOT NULL CHECK (kind IN ('collection', 'instruction', 'study', 'submission')),
    old_id text NOT NULL,
    new_id uuid NOT NULL,
    PRIMARY KEY (import_id, kind, old_id)
);
CREATE INDEX import_ids_new ON import_ids (new_id);
COMMENT ON TABLE import_ids IS 'what could not keep its id; that of a submission goes with its erasure';

ALTER TABLE submissions ADD COLUMN import_id uuid REFERENCES imports;
CREATE INDEX submissions_import ON submissions (import_id) WHERE import_id IS NOT NULL;
COMMENT ON COLUMN submissions.import_id IS 'the archive that it came with; null for those that were taken part in here';

CREATE OR REPLACE FUNCTION log_submissions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO changes (type, object_id, workspace_id, collection_id, study_id, detail)
    SELECT 'submission.status', n.id, t.workspace_id, n.collection_id, n.study_id,
           jsonb_build_object('status', n.status, 'response', n.response, 'test', n.test)
    FROM new_rows n JOIN studies t ON t.id = n.study_id WHERE n.import_id IS NULL ORDER BY n.id;
    RETURN NULL;
END $$;
"""


def upgrade() -> None:
    run_sql(UPGRADE)
