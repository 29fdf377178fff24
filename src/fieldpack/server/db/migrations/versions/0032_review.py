"""Decisions of reviewers that are held for a while before they are made; submissions that are assigned to reviewers.

A trigger drops what is held of a submission as soon as its state changes, so that no statement can forget it.
"""

from __future__ import annotations

from fieldpack.server.db.migrate import run_sql

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

UPGRADE = """
CREATE TABLE decisions (
    id uuid PRIMARY KEY,
    collection_id uuid NOT NULL REFERENCES collections ON DELETE CASCADE,
    step text NOT NULL CHECK (step IN ('APPROVE', 'REJECT', 'REQUEST_RETURN')),
    review jsonb,
    made_by uuid NOT NULL REFERENCES researchers ON DELETE CASCADE,
    token_id uuid,
    session_id uuid,
    is_session boolean NOT NULL,
    cap researcher_role,
    address text,
    count integer NOT NULL,
    held_at timestamptz NOT NULL DEFAULT now(),
    due_at timestamptz NOT NULL,
    ended_at timestamptz,
    outcome text CHECK (outcome IN ('made', 'undone', 'dropped')),
    made integer NOT NULL DEFAULT 0,
    CHECK ((ended_at IS NULL) = (outcome IS NULL))
);
CREATE INDEX decisions_due ON decisions (due_at) WHERE ended_at IS NULL;
CREATE INDEX decisions_collection ON decisions (collection_id, held_at) WHERE ended_at IS NULL;
CREATE INDEX decisions_ended ON decisions (ended_at) WHERE ended_at IS NOT NULL;
COMMENT ON TABLE decisions IS 'what a reviewer decided on some submissions of a collection, made once it is due';
COMMENT ON COLUMN decisions.review IS 'what the participants are told, and why; emptied when it ends';
COMMENT ON COLUMN decisions.address IS 'of the reviewer, like the credential and what it allows at most: for the audit log';
COMMENT ON COLUMN decisions.made IS 'of how many submissions it was made in the end';

CREATE TABLE decided_submissions (
    decision_id uuid NOT NULL REFERENCES decisions ON DELETE CASCADE,
    submission_id uuid NOT NULL REFERENCES submissions ON DELETE CASCADE,
    dropped boolean NOT NULL DEFAULT false,
    PRIMARY KEY (decision_id, submission_id)
);
CREATE UNIQUE INDEX decided_once ON decided_submissions (submission_id) WHERE NOT dropped;
CREATE INDEX decided_submissions_submission ON decided_submissions (submission_id) WHERE dropped;
COMMENT ON TABLE decided_submissions IS 'the submissions of decisions that are held; of one that has ended there are none';
COMMENT ON COLUMN decided_submissions.dropped IS 'the state of the submission has changed since';

CREATE FUNCTION drop_decisions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE decided_submissions SET dropped = true WHERE submission_id = NEW.id AND NOT dropped;
    RETURN NULL;
END $$;
CREATE TRIGGER drop_decisions AFTER UPDATE ON submissions FOR EACH ROW
    WHEN (NEW.status <> OLD.status OR NEW.response <> OLD.response
          OR NEW.return_requested IS DISTINCT FROM OLD.return_requested)
    EXECUTE FUNCTION drop_decisions();

CREATE TABLE assignments (
    submission_id uuid PRIMARY KEY REFERENCES submissions ON DELETE CASCADE,
    researcher_id uuid NOT NULL REFERENCES researchers ON DELETE CASCADE,
    assigned_by uuid REFERENCES researchers ON DELETE SET NULL,
    assigned_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX assignments_researcher ON assignments (researcher_id);
COMMENT ON TABLE assignments IS 'who is to review a submission; exports do not contain it';
"""


def upgrade() -> None:
    run_sql(UPGRADE)
