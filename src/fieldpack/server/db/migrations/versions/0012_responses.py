"""Answers of submitted responses in a form that PostgreSQL can filter, sort and search.

Both columns are generated from `line_end`, so nothing can forget to write them, and an erasure, which empties that,
empties them.
"""

from __future__ import annotations

from fieldpack.server.db.migrate import run_sql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

# what is given to the full-text search stays below the megabyte that a tsvector may have, whatever was answered
UPGRADE = """
ALTER TABLE submissions
    ADD COLUMN answers jsonb GENERATED ALWAYS AS ((('{' || nullif(line_end, ''))::jsonb) -> 'responses') STORED,
    ADD COLUMN words tsvector GENERATED ALWAYS AS (
        CASE WHEN length(line_end) <= 100000
             THEN to_tsvector('simple'::regconfig,
                              jsonb_path_query_array((('{' || nullif(line_end, ''))::jsonb) -> 'responses', '$.*.value'))
             ELSE to_tsvector('simple'::regconfig, left(line_end, 100000)) END) STORED;
COMMENT ON COLUMN submissions.answers IS 'of line_end: the archive''s "responses" object of an active response';
COMMENT ON COLUMN submissions.words IS 'of line_end: what full-text search looks in; of a very long one its beginning';

CREATE INDEX submissions_answers ON submissions USING gin (answers jsonb_path_ops) WHERE response = 'active';
CREATE INDEX submissions_words ON submissions USING gin (words) WHERE response = 'active';
CREATE INDEX submissions_latest ON submissions (collection_id, coalesce(completed_at, started_at), id)
    WHERE response <> 'deleted';
CREATE INDEX submissions_started ON submissions (collection_id, started_at, id) WHERE response <> 'deleted';

CREATE TABLE notes (
    id uuid PRIMARY KEY,
    submission_id uuid NOT NULL REFERENCES submissions ON DELETE CASCADE,
    text text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by uuid NOT NULL REFERENCES researchers
);
CREATE INDEX notes_submission ON notes (submission_id, created_at, id);
COMMENT ON TABLE notes IS 'what researchers write about a submission; it is in no export, and erased with the submission';
"""


def upgrade() -> None:
    run_sql(UPGRADE)
