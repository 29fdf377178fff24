"""What a collection's overview shows at once: its submissions counted by what became of them, beside those that wait for
a review; and word to those who watch it when a session ends or a role changes.

The counts are kept as those of the first page are: triggers add differences, which a job sums up.
"""

from __future__ import annotations

from fieldpack.server.db.migrate import run_sql

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

COUNTED = {
    "started": "d.response <> 'deleted'",
    "under_way": "d.response = 'in_progress' AND d.status = 'ACTIVE'",
    "responses": "d.response = 'active'",
    "review": "d.response <> 'deleted' AND d.status = 'AWAITING REVIEW'",
    "approved": "d.response <> 'deleted' AND d.status IN ('APPROVED', 'PARTIALLY APPROVED')",
    "rejected": "d.response <> 'deleted' AND d.status = 'REJECTED'",
    "returned": "d.response <> 'deleted' AND d.status = 'RETURNED'",
    "timed_out": "d.response <> 'deleted' AND d.status = 'TIMED-OUT'",
    "erased": "d.response = 'deleted'",
}
NEW = [name for name in COUNTED if name not in ("responses", "review")] + ["files"]
ALL = [*COUNTED, "files"]
WATCHED = ("status", "response", "test", "completed_at")
PLACES = {
    "NAMES": ", ".join(ALL),
    "COLUMNS": ", ".join(f"ADD COLUMN {name} bigint NOT NULL DEFAULT 0" for name in NEW),
    "EXCLUDED": ", ".join(f"{name} = excluded.{name}" for name in ALL),
    "CHANGED": " OR ".join(f"NEW.{name} IS DISTINCT FROM OLD.{name}" for name in WATCHED),
    "SUMS": ", ".join(
        [
            *(f"coalesce(sum(d.sign) FILTER (WHERE {condition}), 0)" for condition in COUNTED.values()),
            "coalesce(sum(d.sign * d.file_count) FILTER (WHERE d.response = 'active'), 0)",
        ]
    ),
}

UPGRADE = """
ALTER TABLE collection_counts <COLUMNS>;
ALTER TABLE collection_differences <COLUMNS>;
COMMENT ON TABLE collection_counts IS
    'submissions by what became of them, and files of active responses, tests left out; less what differs since';

CREATE OR REPLACE FUNCTION count_submissions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO collection_differences (collection_id, day, <NAMES>)
    SELECT d.collection_id, (d.completed_at AT TIME ZONE 'UTC')::date, <SUMS>
    FROM (SELECT 1 AS sign, n.* FROM new_rows n) d WHERE NOT d.test GROUP BY 1, 2;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION count_submission_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO collection_differences (collection_id, day, <NAMES>)
    SELECT d.collection_id, (d.completed_at AT TIME ZONE 'UTC')::date, <SUMS>
    FROM (VALUES (1, NEW.collection_id, NEW.completed_at, NEW.response, NEW.status, NEW.test, NEW.file_count),
                 (-1, OLD.collection_id, OLD.completed_at, OLD.response, OLD.status, OLD.test, OLD.file_count))
        AS d (sign, collection_id, completed_at, response, status, test, file_count)
    WHERE NOT d.test GROUP BY 1, 2;
    RETURN NULL;
END $$;
DROP TRIGGER count_updated ON submissions;
CREATE TRIGGER count_updated AFTER UPDATE ON submissions FOR EACH ROW
    WHEN (<CHANGED> OR (NEW.response = 'active' AND NEW.file_count <> OLD.file_count))
    EXECUTE FUNCTION count_submission_update();

INSERT INTO collection_counts AS k (collection_id, <NAMES>)
SELECT d.collection_id, <SUMS>
FROM (SELECT 1 AS sign, s.* FROM submissions s JOIN collections c ON c.id = s.collection_id) d
WHERE NOT d.test GROUP BY 1
ON CONFLICT (collection_id) DO UPDATE SET <EXCLUDED>;
DELETE FROM collection_differences;
DELETE FROM collection_days;
INSERT INTO collection_days (collection_id, day, responses)
SELECT s.collection_id, (s.completed_at AT TIME ZONE 'UTC')::date, count(*)
FROM submissions s JOIN collections c ON c.id = s.collection_id
WHERE NOT s.test AND s.response = 'active' GROUP BY 1, 2;

CREATE FUNCTION tell_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('fieldpack_changes', collection_id::text) FROM (SELECT DISTINCT collection_id FROM added) c;
    RETURN NULL;
END $$;
CREATE TRIGGER tell AFTER INSERT ON changes
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION tell_changes();

CREATE FUNCTION tell_access() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('fieldpack_access', coalesce(OLD.researcher_id, NEW.researcher_id)::text);
    RETURN NULL;
END $$;
CREATE TRIGGER tell AFTER UPDATE ON researcher_sessions FOR EACH ROW
    WHEN (NEW.ended_at IS DISTINCT FROM OLD.ended_at) EXECUTE FUNCTION tell_access();
CREATE TRIGGER tell AFTER UPDATE ON tokens FOR EACH ROW
    WHEN (NEW.revoked_at IS DISTINCT FROM OLD.revoked_at) EXECUTE FUNCTION tell_access();
CREATE TRIGGER tell AFTER UPDATE OR DELETE ON memberships FOR EACH ROW EXECUTE FUNCTION tell_access();
CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE ON collection_roles FOR EACH ROW EXECUTE FUNCTION tell_access();
"""


def upgrade() -> None:
    sql = UPGRADE
    for name, text in PLACES.items():
        sql = sql.replace(f"<{name}>", text)
    run_sql(sql)
