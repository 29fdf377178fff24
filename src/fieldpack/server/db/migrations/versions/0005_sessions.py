"""Keys in a table of their own, researchers' sessions as rows, sign-in links; how long old cookies are taken."""

from __future__ import annotations

from fieldpack.server.db.migrate import run_sql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# 12 hours is what a researcher's cookie of before was good for, 90 days a participant's.
UPGRADE = """
CREATE TABLE signing_keys (
    purpose text NOT NULL CHECK (purpose IN ('links', 'sessions')),
    id text NOT NULL,
    secret bytea NOT NULL CHECK (octet_length(secret) >= 32),
    created_at timestamptz NOT NULL DEFAULT now(),
    retired_at timestamptz,
    expires_at timestamptz,
    PRIMARY KEY (purpose, id),
    CONSTRAINT signing_keys_retired CHECK ((retired_at IS NULL) = (expires_at IS NULL))
);
CREATE UNIQUE INDEX signing_keys_current ON signing_keys (purpose) WHERE retired_at IS NULL;
COMMENT ON TABLE signing_keys IS
    'all secrets of this database: what signs download links, and researchers'' cookies; made when first needed';
COMMENT ON COLUMN signing_keys.id IS
    'named by what it signed; the key ''first'' signed what names none, before there were several';
COMMENT ON COLUMN signing_keys.retired_at IS 'since then it signs nothing new';
COMMENT ON COLUMN signing_keys.expires_at IS 'from then on what it signed is refused';

INSERT INTO signing_keys (purpose, id, secret)
SELECT 'links', 'first', value FROM settings WHERE name = 'link_key';
INSERT INTO signing_keys (purpose, id, secret, retired_at, expires_at)
SELECT 'sessions', 'first', value, now(), now() + interval '12 hours' FROM settings WHERE name = 'link_key';
INSERT INTO settings (name, value)
SELECT 'upgraded_at', convert_to(extract(epoch FROM now())::text, 'UTF8') FROM settings WHERE name = 'link_key';
DELETE FROM settings WHERE name = 'link_key';
COMMENT ON TABLE settings IS 'what every process of one installation shares; no secret';

CREATE TABLE researcher_sessions (
    id uuid PRIMARY KEY,
    token_sha256 bytea NOT NULL UNIQUE,
    researcher_id uuid NOT NULL REFERENCES researchers ON DELETE CASCADE,
    token_id uuid REFERENCES tokens ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    ended_at timestamptz
);
CREATE INDEX researcher_sessions_researcher ON researcher_sessions (researcher_id);
CREATE INDEX researcher_sessions_expires ON researcher_sessions (expires_at);
COMMENT ON COLUMN researcher_sessions.token_id IS
    'the API token it was signed in with, and ends with; none when it was by a link of the command line';

CREATE TABLE sign_in_links (
    code_sha256 bytea PRIMARY KEY,
    researcher_id uuid NOT NULL REFERENCES researchers ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);
"""


def upgrade() -> None:
    run_sql(UPGRADE)
