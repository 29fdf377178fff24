"""Invitations: links that make whoever follows one a member."""

from __future__ import annotations

from fieldpack.server.db.migrate import run_sql

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

UPGRADE = """
CREATE TABLE invitations (
    id uuid PRIMARY KEY,
    code_sha256 bytea NOT NULL UNIQUE,
    workspace_id uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    collection_id uuid REFERENCES collections ON DELETE CASCADE,
    role text NOT NULL CHECK (role IN ('owner', 'editor', 'reviewer', 'analyst', 'viewer')),
    email text,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by uuid REFERENCES researchers ON DELETE CASCADE,
    expires_at timestamptz NOT NULL,
    accepted_at timestamptz,
    accepted_by uuid REFERENCES researchers ON DELETE SET NULL,
    revoked_at timestamptz
);
CREATE INDEX invitations_workspace ON invitations (workspace_id, created_at DESC);
COMMENT ON COLUMN invitations.collection_id IS 'the role is on this collection only; null: in the workspace';
COMMENT ON COLUMN invitations.email IS 'whom it is for; null: whoever has the link';
COMMENT ON COLUMN invitations.created_by IS 'null: the command line';
"""


def upgrade() -> None:
    run_sql(UPGRADE)
