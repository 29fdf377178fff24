"""Transactions that are sent in one go, and less to write for each.

A statement can insist on what was read before: without it, its whole transaction fails. The log of changes is written
for each start without sorting what may have happened, and has no index that nothing reads by. Rows that are changed soon
after they came have room beside them for that, so that their indexes stay as they are.
"""

from __future__ import annotations

from fieldpack.server.db.migrate import run_sql

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

UPGRADE = """
CREATE FUNCTION require(holds boolean) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF holds IS NOT TRUE THEN
        RAISE EXCEPTION 'something is not as it was read' USING ERRCODE = 'serialization_failure';
    END IF;
    RETURN true;
END $$;
COMMENT ON FUNCTION require(boolean) IS
    'for transactions that are sent in one go: nobody looks at what a statement answers before the next one runs';

CREATE OR REPLACE FUNCTION log_study_update() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    said jsonb := jsonb_build_object('status', NEW.status, 'test', NEW.test, 'places_taken', NEW.places_taken,
                                     'total_available_places', NEW.total_available_places);
BEGIN
    IF (NEW.name, NEW.fields, NEW.collection_id, NEW.project_id, NEW.maximum_allowed_time,
        NEW.publish_at, NEW.max_submissions_per_participant, NEW.max_concurrent_submissions)
        IS DISTINCT FROM (OLD.name, OLD.fields, OLD.collection_id, OLD.project_id, OLD.maximum_allowed_time,
                          OLD.publish_at, OLD.max_submissions_per_participant, OLD.max_concurrent_submissions) THEN
        INSERT INTO changes (type, object_id, workspace_id, collection_id, study_id, detail)
        VALUES ('study.changed', NEW.id, NEW.workspace_id, NEW.collection_id, NEW.id, said);
    END IF;
    IF NEW.places_taken <> OLD.places_taken OR NEW.total_available_places <> OLD.total_available_places THEN
        INSERT INTO changes (type, object_id, workspace_id, collection_id, study_id, detail)
        VALUES ('study.progress', NEW.id, NEW.workspace_id, NEW.collection_id, NEW.id, said);
    END IF;
    IF NEW.status <> OLD.status THEN
        INSERT INTO changes (type, object_id, workspace_id, collection_id, study_id, detail)
        VALUES ('study.status', NEW.id, NEW.workspace_id, NEW.collection_id, NEW.id, said);
    END IF;
    RETURN NULL;
END $$;
DROP INDEX changes_collection;

ALTER TABLE submissions SET (fillfactor = 80);
ALTER TABLE uploads SET (fillfactor = 80);
"""


def upgrade() -> None:
    run_sql(UPGRADE)
