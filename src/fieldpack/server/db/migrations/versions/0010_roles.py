"""Roles of members, on collections too; what a token may at most, how long it is good, where it was used from.

Everybody who was a member could do everything: they are owners.
"""

from __future__ import annotations

from fieldpack.server.db.migrate import run_sql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

UPGRADE = """
CREATE DOMAIN researcher_role AS text CHECK (VALUE IN ('owner', 'editor', 'reviewer', 'analyst', 'viewer'));

ALTER TABLE memberships
    ALTER COLUMN role DROP DEFAULT,
    ALTER COLUMN role TYPE researcher_role USING 'owner';

CREATE TABLE collection_roles (
    collection_id uuid NOT NULL REFERENCES collections ON DELETE CASCADE,
    researcher_id uuid NOT NULL REFERENCES researchers ON DELETE CASCADE,
    role researcher_role NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (collection_id, researcher_id)
);
CREATE INDEX collection_roles_researcher ON collection_roles (researcher_id);
COMMENT ON TABLE collection_roles IS
    'a role on one collection, in place of that in its workspace, if there is one; an owner of the workspace stays one';

ALTER TABLE tokens
    ADD COLUMN role researcher_role,
    ADD COLUMN expires_at timestamptz,
    ADD COLUMN last_used_address text;
CREATE INDEX tokens_researcher ON tokens (researcher_id, created_at);
COMMENT ON COLUMN tokens.role IS 'what it allows at most; null: all that its researcher may, at the time of each request';
COMMENT ON COLUMN tokens.expires_at IS 'null: good until it is revoked, as all were before';
"""


def upgrade() -> None:
    run_sql(UPGRADE)
