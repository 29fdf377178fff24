"""Passkeys, and identities at other providers."""

from __future__ import annotations

from fieldpack.server.db.migrate import run_sql

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

UPGRADE = """
CREATE TABLE external_identities (
    issuer text NOT NULL,
    subject text NOT NULL,
    researcher_id uuid NOT NULL REFERENCES researchers ON DELETE CASCADE,
    workspace_id uuid REFERENCES workspaces ON DELETE SET NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (issuer, subject)
);
CREATE INDEX external_identities_researcher ON external_identities (researcher_id);
COMMENT ON TABLE external_identities IS 'who somebody is here whom an OpenID Connect provider vouches for';
COMMENT ON COLUMN external_identities.workspace_id IS
    'in which the provider''s groups made them a member, and may take that back';

CREATE TABLE passkeys (
    id bytea PRIMARY KEY,
    researcher_id uuid NOT NULL REFERENCES researchers ON DELETE CASCADE,
    name text NOT NULL,
    public_key bytea NOT NULL,
    sign_count bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz
);
CREATE INDEX passkeys_researcher ON passkeys (researcher_id);

CREATE TABLE spent_challenges (
    challenge_sha256 bytea PRIMARY KEY,
    expires_at timestamptz NOT NULL
);
CREATE INDEX spent_challenges_expires ON spent_challenges (expires_at);
COMMENT ON TABLE spent_challenges IS 'challenges that a passkey has answered: an answer works once';
"""


def upgrade() -> None:
    run_sql(UPGRADE)
