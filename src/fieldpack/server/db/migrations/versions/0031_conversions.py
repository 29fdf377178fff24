"""Exports that were converted into files for other programs."""

from __future__ import annotations

from fieldpack.server.db.migrate import run_sql

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

UPGRADE = """
CREATE TABLE conversions (
    id uuid PRIMARY KEY,
    export_id uuid NOT NULL REFERENCES exports ON DELETE CASCADE,
    export_build uuid NOT NULL,
    format text NOT NULL,
    status text NOT NULL DEFAULT 'generating' CHECK (status IN ('generating', 'complete', 'failed')),
    progress real NOT NULL DEFAULT 0,
    attempt uuid NOT NULL DEFAULT gen_random_uuid(),
    attempts integer NOT NULL DEFAULT 0,
    created_by uuid REFERENCES researchers ON DELETE SET NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz,
    links_expire_at timestamptz,
    size_bytes bigint,
    sha256 bytea,
    row_count integer,
    column_count integer,
    warnings text[] NOT NULL DEFAULT '{}',
    failure_reason text,
    UNIQUE (export_id, format)
);
CREATE INDEX conversions_generating ON conversions (id) WHERE status = 'generating';
COMMENT ON TABLE conversions IS 'files for other programs, made of one build of an export; stored at exports/<export>/<build>/converted/<id>/<attempt>';
COMMENT ON COLUMN conversions.attempt IS 'the job that may finish it';
"""


def upgrade() -> None:
    run_sql(UPGRADE)
