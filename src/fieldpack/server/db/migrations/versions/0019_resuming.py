"""How the participants of a study go on: their codes, personal and secured links, and the key of these."""

from __future__ import annotations

from fieldpack.server.db.migrate import run_sql

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

# Studies under way keep what their participants know: the ids in the link. A field that nobody heeded before, named as
# the new one is, says nothing.
UPGRADE = """
ALTER TABLE studies ADD COLUMN resume text NOT NULL DEFAULT 'link' CHECK (resume IN ('link', 'code', 'signed'));
COMMENT ON COLUMN studies.resume IS 'what participants need besides their ids, to go on with what they have begun';
UPDATE studies SET resume = 'signed'
WHERE status = 'UNPUBLISHED' AND fields->'is_external_study_url_secure' = 'true'::jsonb;
UPDATE studies SET fields = fields - 'resume' WHERE fields ? 'resume';

CREATE TABLE resume_codes (
    submission_id uuid PRIMARY KEY REFERENCES submissions ON DELETE CASCADE,
    code text NOT NULL,
    guesses double precision NOT NULL CHECK (guesses >= 0),
    guessed_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE resume_codes IS
    'kept as they are, for the pages show them again; submissions begun before there were codes have none until one is shown';
COMMENT ON COLUMN resume_codes.guesses IS 'how many there were left at guessed_at; they come back with time';

ALTER TABLE signing_keys DROP CONSTRAINT signing_keys_purpose_check;
ALTER TABLE signing_keys ADD CONSTRAINT signing_keys_purpose_check
    CHECK (purpose IN ('links', 'sessions', 'participation'));
COMMENT ON TABLE signing_keys IS
    'all secrets of this database: what signs download links, researchers'' cookies, and participants'' personal links';

CREATE TABLE used_tickets (
    id text PRIMARY KEY,
    submission_id uuid REFERENCES submissions ON DELETE CASCADE,
    used_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX used_tickets_submission ON used_tickets (submission_id);
CREATE INDEX used_tickets_expires ON used_tickets (expires_at);
COMMENT ON TABLE used_tickets IS
    'links and tokens that open once and were opened: forgotten when they have expired, or their submission is erased';
COMMENT ON COLUMN used_tickets.id IS 'a personal link''s own random id, or part of the SHA-256 of what is signed of a token';
"""


def upgrade() -> None:
    run_sql(UPGRADE)
