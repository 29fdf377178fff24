"""What participants wait for is lighter: triggers name the columns that they watch.

A trigger's condition (`WHEN`) is read from the catalogue and prepared anew by each statement; one that sets none of the
columns named is not asked. And an activity that was marked less than a minute ago is only looked at.

The collection of a submission needs no key of its own: that of its version refers to it.
"""

from __future__ import annotations

from fieldpack.server.db.migrate import run_sql

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None

DESCRIBED = (
    "name",
    "fields",
    "collection_id",
    "project_id",
    "maximum_allowed_time",
    "publish_at",
    "max_submissions_per_participant",
    "max_concurrent_submissions",
    "total_available_places",
)
PLACES = {
    "DESCRIBED": ", ".join(DESCRIBED),
    "REDESCRIBED": " OR ".join(f"NEW.{name} IS DISTINCT FROM OLD.{name}" for name in DESCRIBED),
}

UPGRADE = """
DROP TRIGGER count_updated ON submissions;
CREATE TRIGGER count_updated AFTER UPDATE OF status, response, test, completed_at, file_count ON submissions
    FOR EACH ROW WHEN (
        NEW.status <> OLD.status OR NEW.response <> OLD.response OR NEW.test <> OLD.test
        OR NEW.completed_at IS DISTINCT FROM OLD.completed_at
        OR (NEW.response = 'active' AND NEW.file_count <> OLD.file_count))
    EXECUTE FUNCTION count_submission_update();

DROP TRIGGER drop_decisions ON submissions;
CREATE TRIGGER drop_decisions AFTER UPDATE OF status, response, return_requested ON submissions
    FOR EACH ROW WHEN (
        NEW.status <> OLD.status OR NEW.response <> OLD.response
        OR NEW.return_requested IS DISTINCT FROM OLD.return_requested)
    EXECUTE FUNCTION drop_decisions();

DROP TRIGGER log_updated ON submissions;
CREATE TRIGGER log_updated AFTER UPDATE OF status, response, test, edited_at ON submissions
    FOR EACH ROW WHEN (
        NEW.status <> OLD.status OR NEW.response <> OLD.response OR NEW.test <> OLD.test
        OR NEW.edited_at IS DISTINCT FROM OLD.edited_at)
    EXECUTE FUNCTION log_submission_update();

DROP TRIGGER log_updated ON studies;
CREATE TRIGGER log_updated AFTER UPDATE OF places_taken, status, <DESCRIBED> ON studies
    FOR EACH ROW WHEN (NEW.places_taken <> OLD.places_taken OR NEW.status <> OLD.status OR <REDESCRIBED>)
    EXECUTE FUNCTION log_study_update();

CREATE OR REPLACE FUNCTION mark_active() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM collection_activity l
               WHERE l.collection_id = NEW.collection_id AND l.active_at < now() - interval '1 minute') THEN
        UPDATE collection_activity a SET active_at = now()
        FROM (SELECT l.collection_id FROM collection_activity l
              WHERE l.collection_id = NEW.collection_id AND l.active_at < now() - interval '1 minute'
              FOR NO KEY UPDATE SKIP LOCKED) late
        WHERE a.collection_id = late.collection_id;
    END IF;
    RETURN NULL;
END $$;

ALTER TABLE submissions DROP CONSTRAINT submissions_collection_id_fkey;
"""


def upgrade() -> None:
    sql = UPGRADE
    for name, text in PLACES.items():
        sql = sql.replace(f"<{name}>", text)
    run_sql(sql)
