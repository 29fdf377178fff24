"""What each erasure removed: proof for whoever asked for it, without anything of the person."""

from __future__ import annotations

from fieldpack.server.db.migrate import run_sql

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

UPGRADE = """
CREATE TABLE erasures (
    submission_id uuid PRIMARY KEY REFERENCES submissions ON DELETE CASCADE,
    collection_id uuid NOT NULL REFERENCES collections ON DELETE CASCADE,
    erased_at timestamptz NOT NULL DEFAULT now(),
    batch uuid,
    answers integer,
    files integer,
    file_bytes bigint,
    notes integer,
    objects text[] NOT NULL DEFAULT '{}',
    exports uuid[] NOT NULL DEFAULT '{}'
);
CREATE INDEX erasures_collection ON erasures (collection_id, erased_at DESC, submission_id DESC);
CREATE INDEX erasures_batch ON erasures (batch) WHERE batch IS NOT NULL;
COMMENT ON TABLE erasures IS 'what an erasure removed: counts, and random ids of what was stored; nothing of a person';
COMMENT ON COLUMN erasures.batch IS 'those that were asked for together';
COMMENT ON COLUMN erasures.answers IS 'null, as the other counts, where it was erased before they were recorded';
COMMENT ON COLUMN erasures.objects IS 'keys of the stored files; once storage has deleted them they name nothing';
COMMENT ON COLUMN erasures.exports IS 'exports that may not be downloaded any more, or were begun again';

INSERT INTO erasures (submission_id, collection_id, erased_at)
SELECT s.id, s.collection_id, s.erased_at FROM submissions s JOIN collections c ON c.id = s.collection_id
WHERE s.response = 'deleted';
"""


def upgrade() -> None:
    run_sql(UPGRADE)
