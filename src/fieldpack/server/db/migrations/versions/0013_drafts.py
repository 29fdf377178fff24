"""Studies that are published at a time, studies for trying, and submissions that are marked as tests."""

from __future__ import annotations

from fieldpack.server.db.migrate import run_sql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

UPGRADE = """
ALTER TABLE studies
    ADD COLUMN publish_at timestamptz,
    ADD COLUMN test boolean NOT NULL DEFAULT false,
    ADD COLUMN test_of uuid UNIQUE REFERENCES studies ON DELETE SET NULL,
    DROP CONSTRAINT studies_status_check,
    ADD CONSTRAINT studies_status_check CHECK
        (status IN ('UNPUBLISHED', 'SCHEDULED', 'ACTIVE', 'PAUSED', 'AWAITING REVIEW', 'COMPLETED')),
    ADD CONSTRAINT studies_scheduled CHECK ((status = 'SCHEDULED') = (publish_at IS NOT NULL));
CREATE INDEX studies_scheduled_at ON studies (publish_at) WHERE status = 'SCHEDULED';
COMMENT ON COLUMN studies.test IS 'a copy for trying: its submissions are tests; test_of: whose, as long as that is there';

ALTER TABLE submissions ADD COLUMN test boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN submissions.test IS 'somebody tries the study: it takes no place, is counted nowhere and in no export';
"""


def upgrade() -> None:
    run_sql(UPGRADE)
