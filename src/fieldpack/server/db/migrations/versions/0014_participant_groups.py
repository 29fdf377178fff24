"""Groups of participants."""

from __future__ import annotations

from fieldpack.server.db.migrate import run_sql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

UPGRADE = """
CREATE TABLE participant_groups (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces,
    name text NOT NULL,
    description text,
    created_by uuid NOT NULL REFERENCES researchers,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX participant_groups_workspace ON participant_groups (workspace_id, created_at, id);

CREATE TABLE participant_group_members (
    group_id uuid NOT NULL REFERENCES participant_groups ON DELETE CASCADE,
    participant_id text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (group_id, participant_id)
);
CREATE INDEX participant_group_members_participant ON participant_group_members (participant_id);
COMMENT ON TABLE participant_group_members IS
    'written by researchers and by completion codes; an erasure takes a participant out who has nothing else in the workspace';
"""


def upgrade() -> None:
    run_sql(UPGRADE)
