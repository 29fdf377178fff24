"""Passwords, second factors, devices that signed in before, and budgets of guesses; sessions say where they began."""

from __future__ import annotations

from fieldpack.server.db.migrate import run_sql

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

UPGRADE = """
ALTER TABLE researcher_sessions
    ADD COLUMN method text NOT NULL DEFAULT 'token'
        CHECK (method IN ('token', 'link', 'invitation', 'password', 'passkey', 'oidc')),
    ADD COLUMN address text,
    ADD COLUMN agent text;
UPDATE researcher_sessions SET method = 'link' WHERE token_id IS NULL;
ALTER TABLE researcher_sessions ALTER COLUMN method DROP DEFAULT;
COMMENT ON COLUMN researcher_sessions.method IS 'how it was signed in';
COMMENT ON COLUMN researcher_sessions.address IS 'where it was used last; null for one from before this was kept';
COMMENT ON COLUMN researcher_sessions.agent IS 'what the browser called itself when it signed in';

CREATE TABLE passwords (
    researcher_id uuid PRIMARY KEY REFERENCES researchers ON DELETE CASCADE,
    hash text NOT NULL CHECK (hash LIKE '$argon2id$%'),
    changed_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN passwords.hash IS 'Argon2id with its parameters and salt, in the PHC string format';

CREATE TABLE second_factors (
    researcher_id uuid PRIMARY KEY REFERENCES researchers ON DELETE CASCADE,
    secret bytea NOT NULL CHECK (octet_length(secret) = 20),
    last_step bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    confirmed_at timestamptz
);
COMMENT ON TABLE second_factors IS 'TOTP (RFC 6238): SHA-1, 6 digits, 30 seconds, as every app for it knows';
COMMENT ON COLUMN second_factors.last_step IS 'the 30 seconds whose code was used last: a code works once';
COMMENT ON COLUMN second_factors.confirmed_at IS 'when a first code proved that the app has the secret; asked for from then on';

CREATE TABLE recovery_codes (
    researcher_id uuid NOT NULL REFERENCES second_factors ON DELETE CASCADE,
    code_sha256 bytea NOT NULL,
    used_at timestamptz,
    PRIMARY KEY (researcher_id, code_sha256)
);

CREATE TABLE sign_in_steps (
    code_sha256 bytea PRIMARY KEY,
    researcher_id uuid NOT NULL REFERENCES researchers ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);
COMMENT ON TABLE sign_in_steps IS 'whose password was right, and whose second factor is still to be shown';

CREATE TABLE known_devices (
    token_sha256 bytea NOT NULL,
    researcher_id uuid NOT NULL REFERENCES researchers ON DELETE CASCADE,
    last_used_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (token_sha256, researcher_id)
);
CREATE INDEX known_devices_researcher ON known_devices (researcher_id, last_used_at);
CREATE INDEX known_devices_expires ON known_devices (expires_at);
COMMENT ON TABLE known_devices IS
    'browsers that a researcher has signed in from: guesses of others do not use up what these may try';

CREATE TABLE guess_budgets (
    kind text NOT NULL CHECK (kind IN ('address', 'account', 'device')),
    slot integer NOT NULL CHECK (slot BETWEEN 0 AND 65535),
    spent double precision NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (kind, slot)
);
COMMENT ON TABLE guess_budgets IS
    'how much of what may be guessed is spent; each address, account and device falls into one of 65536 slots, so the table is bounded';
"""


def upgrade() -> None:
    run_sql(UPGRADE)
