"""Answers that researchers corrected: every version stays, and exports hold the latest, or with them the earlier ones.

An upload that another file took the place of keeps its row and its blob: no place in archives, but all else of a file, so
that it is backed up, looked at and erased as others are.
"""

from __future__ import annotations

from fieldpack.server.db.migrate import run_sql

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

UPGRADE = """
CREATE TABLE corrections (
    id uuid PRIMARY KEY,
    submission_id uuid NOT NULL REFERENCES submissions ON DELETE CASCADE,
    instruction_id uuid NOT NULL,
    version integer NOT NULL CHECK (version > 1),
    before json,
    after json,
    before_files uuid[],
    after_files uuid[],
    reason text NOT NULL,
    created_at timestamptz NOT NULL,
    created_by uuid NOT NULL REFERENCES researchers,
    CONSTRAINT corrections_version UNIQUE (submission_id, instruction_id, version)
);
COMMENT ON TABLE corrections IS
    'what researchers made of answers, one row for each change; erased with the submission';
COMMENT ON COLUMN corrections.version IS 'of the answer, from then on; version 1 is what the participant handed in';
COMMENT ON COLUMN corrections.before IS 'the archive''s response; null for none';
COMMENT ON COLUMN corrections.before_files IS 'uploads of a response of files, in its order';

ALTER TABLE submissions ADD COLUMN edited_at timestamptz;
COMMENT ON COLUMN submissions.edited_at IS 'when an answer was last corrected; it is in line_end too';
COMMENT ON COLUMN submissions.line_end IS
    'written at submit, and again by each correction: the submission''s line in responses.jsonl from "started_at" to its end, so that an export only copies it';

ALTER TABLE uploads ADD COLUMN replaced_at timestamptz;
CREATE INDEX uploads_replaced ON uploads (submission_id) WHERE replaced_at IS NOT NULL;
COMMENT ON COLUMN uploads.replaced_at IS 'when a correction put another file in its place; it is in no archive from then on';
ALTER TABLE uploads ADD CONSTRAINT uploads_replaced_nowhere CHECK (replaced_at IS NULL OR position IS NULL);

ALTER TABLE exports ADD COLUMN with_history boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN exports.with_history IS 'its archive has history.jsonl';
DROP INDEX exports_one_generating;
CREATE UNIQUE INDEX exports_one_generating ON exports (collection_id, filter, with_history)
    WHERE status = 'generating';

CREATE OR REPLACE FUNCTION log_submission_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO changes (type, object_id, workspace_id, collection_id, study_id, detail)
    SELECT CASE WHEN NEW.response = 'deleted' THEN 'submission.erased'
                WHEN NEW.status <> OLD.status THEN 'submission.status'
                WHEN NEW.response <> OLD.response OR NEW.test <> OLD.test THEN 'submission.response'
                ELSE 'submission.corrected' END,
           NEW.id, t.workspace_id, NEW.collection_id, NEW.study_id,
           jsonb_build_object('status', NEW.status, 'response', NEW.response, 'test', NEW.test)
    FROM studies t WHERE t.id = NEW.study_id;
    RETURN NULL;
END $$;
DROP TRIGGER log_updated ON submissions;
CREATE TRIGGER log_updated AFTER UPDATE ON submissions FOR EACH ROW
    WHEN (NEW.status <> OLD.status OR NEW.response <> OLD.response OR NEW.test <> OLD.test
          OR NEW.edited_at IS DISTINCT FROM OLD.edited_at)
    EXECUTE FUNCTION log_submission_update();
"""


def upgrade() -> None:
    run_sql(UPGRADE)
