"""Collections by what happened last, and counted without looking at their submissions; those that are put aside.

Two triggers keep this, so that no statement can forget it. Neither makes two who take part in one collection wait for each
other: when something happened last is known to the minute, and whoever would have to wait to write it down leaves it
to the one who is writing it; counts are added as rows of differences, which a job sums up.
"""

from __future__ import annotations

from fieldpack.server.db.migrate import run_sql

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

UPGRADE = """
ALTER TABLE collections ADD COLUMN archived_at timestamptz;
COMMENT ON COLUMN collections.archived_at IS 'when it was put aside, out of lists; nothing else follows from it';

CREATE TABLE collection_activity (
    collection_id uuid PRIMARY KEY REFERENCES collections ON DELETE CASCADE,
    workspace_id uuid NOT NULL,
    active_at timestamptz NOT NULL
);
CREATE INDEX collection_activity_latest ON collection_activity (workspace_id, active_at DESC, collection_id DESC);
COMMENT ON COLUMN collection_activity.active_at IS 'when a change of it was last logged, tests left out, to the minute';

CREATE TABLE collection_counts (
    collection_id uuid PRIMARY KEY REFERENCES collections ON DELETE CASCADE,
    responses bigint NOT NULL,
    review bigint NOT NULL
);
CREATE TABLE collection_days (
    collection_id uuid NOT NULL REFERENCES collections ON DELETE CASCADE,
    day date NOT NULL,
    responses bigint NOT NULL,
    PRIMARY KEY (collection_id, day)
);
CREATE TABLE collection_differences (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    collection_id uuid NOT NULL,
    day date,
    responses bigint NOT NULL,
    review bigint NOT NULL
);
CREATE INDEX collection_differences_collection ON collection_differences (collection_id);
COMMENT ON TABLE collection_counts IS 'active responses, and submissions that wait for a review; less what differs since';
COMMENT ON TABLE collection_days IS 'active responses by the day of their completion, UTC; less what differs since';
COMMENT ON TABLE collection_differences IS 'what is still to be added to collection_counts and collection_days';

CREATE FUNCTION begin_activity() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO collection_activity (collection_id, workspace_id, active_at) VALUES (NEW.id, NEW.workspace_id, now());
    RETURN NULL;
END $$;
CREATE TRIGGER begin_activity AFTER INSERT ON collections FOR EACH ROW EXECUTE FUNCTION begin_activity();

CREATE FUNCTION mark_active() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE collection_activity a SET active_at = now()
    FROM (SELECT l.collection_id FROM collection_activity l
          WHERE l.collection_id = NEW.collection_id AND l.active_at < now() - interval '1 minute'
          FOR NO KEY UPDATE SKIP LOCKED) late
    WHERE a.collection_id = late.collection_id;
    RETURN NULL;
END $$;
CREATE TRIGGER mark AFTER INSERT ON changes FOR EACH ROW
    WHEN (NEW.detail->'test' IS DISTINCT FROM 'true'::jsonb) EXECUTE FUNCTION mark_active();

CREATE FUNCTION count_submissions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO collection_differences (collection_id, day, responses, review)
    SELECT n.collection_id, (n.completed_at AT TIME ZONE 'UTC')::date,
           count(*) FILTER (WHERE n.response = 'active'), count(*) FILTER (WHERE n.status = 'AWAITING REVIEW')
    FROM new_rows n
    WHERE NOT n.test AND n.response <> 'deleted' AND (n.response = 'active' OR n.status = 'AWAITING REVIEW')
    GROUP BY 1, 2;
    RETURN NULL;
END $$;
CREATE TRIGGER count_inserted AFTER INSERT ON submissions
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION count_submissions();

CREATE FUNCTION count_submission_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO collection_differences (collection_id, day, responses, review)
    SELECT d.collection_id, (d.completed_at AT TIME ZONE 'UTC')::date,
           coalesce(sum(d.sign) FILTER (WHERE d.response = 'active'), 0),
           coalesce(sum(d.sign) FILTER (WHERE d.status = 'AWAITING REVIEW'), 0)
    FROM (VALUES (1, NEW.collection_id, NEW.completed_at, NEW.response, NEW.status, NEW.test),
                 (-1, OLD.collection_id, OLD.completed_at, OLD.response, OLD.status, OLD.test))
        AS d (sign, collection_id, completed_at, response, status, test)
    WHERE NOT d.test AND d.response <> 'deleted' AND (d.response = 'active' OR d.status = 'AWAITING REVIEW')
    GROUP BY 1, 2
    HAVING coalesce(sum(d.sign) FILTER (WHERE d.response = 'active'), 0) <> 0
        OR coalesce(sum(d.sign) FILTER (WHERE d.status = 'AWAITING REVIEW'), 0) <> 0;
    RETURN NULL;
END $$;
CREATE TRIGGER count_updated AFTER UPDATE ON submissions FOR EACH ROW
    WHEN (NEW.status <> OLD.status OR NEW.response <> OLD.response OR NEW.test <> OLD.test
          OR NEW.completed_at IS DISTINCT FROM OLD.completed_at)
    EXECUTE FUNCTION count_submission_update();

INSERT INTO collection_activity (collection_id, workspace_id, active_at)
SELECT c.id, c.workspace_id, greatest(
    c.created_at, c.last_modified_at,
    (SELECT max(greatest(t.created_at, t.published_at)) FROM studies t WHERE t.collection_id = c.id AND NOT t.test),
    (SELECT max(greatest(s.started_at, s.completed_at)) FROM submissions s WHERE s.collection_id = c.id AND NOT s.test))
FROM collections c;
INSERT INTO collection_counts (collection_id, responses, review)
SELECT s.collection_id, count(*) FILTER (WHERE s.response = 'active'),
       count(*) FILTER (WHERE s.status = 'AWAITING REVIEW')
FROM submissions s JOIN collections c ON c.id = s.collection_id
WHERE NOT s.test AND s.response <> 'deleted' GROUP BY 1;
INSERT INTO collection_days (collection_id, day, responses)
SELECT s.collection_id, (s.completed_at AT TIME ZONE 'UTC')::date, count(*)
FROM submissions s JOIN collections c ON c.id = s.collection_id
WHERE NOT s.test AND s.response = 'active' GROUP BY 1, 2;
"""


def upgrade() -> None:
    run_sql(UPGRADE)
