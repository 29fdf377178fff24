"""Projects, which group the studies of a workspace."""

from __future__ import annotations

from fieldpack.server.db.migrate import run_sql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

UPGRADE = """
CREATE TABLE projects (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces,
    title text NOT NULL,
    description text NOT NULL DEFAULT '',
    created_by uuid NOT NULL REFERENCES researchers,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX projects_workspace ON projects (workspace_id, created_at, id);

ALTER TABLE studies ADD COLUMN project_id uuid REFERENCES projects;
CREATE INDEX studies_project ON studies (project_id) WHERE project_id IS NOT NULL;
COMMENT ON COLUMN studies.project_id IS
    'null where none was given, or where an earlier version kept a text of the client''s in fields';
"""


def upgrade() -> None:
    run_sql(UPGRADE)
