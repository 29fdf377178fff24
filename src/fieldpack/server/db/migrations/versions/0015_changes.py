"""One log of what happens to collections, studies, submissions and exports.

Triggers write it, so that whatever changes a row, in whichever way, is logged in the transaction that does it. They run
once for each statement, whatever it changes: ten thousand approvals are one INSERT here.
"""

from __future__ import annotations

from fieldpack.server.db.migrate import run_sql

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

UPGRADE = """
CREATE TABLE changes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    transaction xid8 NOT NULL DEFAULT pg_current_xact_id(),
    type text NOT NULL,
    object_id uuid NOT NULL,
    workspace_id uuid NOT NULL,
    collection_id uuid NOT NULL,
    study_id uuid,
    detail jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX changes_collection ON changes (collection_id, id);
CREATE INDEX changes_at ON changes (at);
COMMENT ON TABLE changes IS
    'written by triggers in the transaction that does it, swept after a while; nothing of a participant but random ids';
COMMENT ON COLUMN changes.id IS
    'rises for each object in the order of what happened to it; of several objects a smaller one may be committed later';
COMMENT ON COLUMN changes.transaction IS 'who reads on from an id waits for those that run: see changes/queries.py';

CREATE FUNCTION log_collections() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO changes (type, object_id, workspace_id, collection_id)
        SELECT 'collection.created', n.id, n.workspace_id, n.id FROM new_rows n ORDER BY n.id;
    ELSIF TG_OP = 'UPDATE' THEN
        INSERT INTO changes (type, object_id, workspace_id, collection_id, detail)
        SELECT 'collection.changed', n.id, n.workspace_id, n.id, jsonb_build_object('version', n.version)
        FROM new_rows n JOIN old_rows o ON o.id = n.id WHERE n IS DISTINCT FROM o ORDER BY n.id;
    ELSE
        INSERT INTO changes (type, object_id, workspace_id, collection_id)
        SELECT 'collection.deleted', o.id, o.workspace_id, o.id FROM old_rows o ORDER BY o.id;
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION log_studies() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO changes (type, object_id, workspace_id, collection_id, study_id, detail)
        SELECT 'study.created', n.id, n.workspace_id, n.collection_id, n.id,
               jsonb_build_object('status', n.status, 'test', n.test)
        FROM new_rows n ORDER BY n.id;
    ELSIF TG_OP = 'UPDATE' THEN
        INSERT INTO changes (type, object_id, workspace_id, collection_id, study_id, detail)
        SELECT change.type, n.id, n.workspace_id, n.collection_id, n.id,
               jsonb_build_object('status', n.status, 'test', n.test, 'places_taken', n.places_taken,
                                  'total_available_places', n.total_available_places)
        FROM new_rows n JOIN old_rows o ON o.id = n.id
        CROSS JOIN LATERAL (VALUES
            ('study.changed', (n.name, n.fields, n.collection_id, n.project_id, n.maximum_allowed_time, n.publish_at,
                               n.max_submissions_per_participant, n.max_concurrent_submissions)
                IS DISTINCT FROM (o.name, o.fields, o.collection_id, o.project_id, o.maximum_allowed_time, o.publish_at,
                                  o.max_submissions_per_participant, o.max_concurrent_submissions)),
            ('study.progress', (n.places_taken, n.total_available_places)
                IS DISTINCT FROM (o.places_taken, o.total_available_places)),
            ('study.status', n.status <> o.status)
        ) AS change (type, happened)
        WHERE change.happened ORDER BY n.id, change.type;
    ELSE
        INSERT INTO changes (type, object_id, workspace_id, collection_id, study_id)
        SELECT 'study.deleted', o.id, o.workspace_id, o.collection_id, o.id FROM old_rows o ORDER BY o.id;
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION log_submissions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO changes (type, object_id, workspace_id, collection_id, study_id, detail)
        SELECT 'submission.status', n.id, t.workspace_id, n.collection_id, n.study_id,
               jsonb_build_object('status', n.status, 'response', n.response, 'test', n.test)
        FROM new_rows n JOIN studies t ON t.id = n.study_id ORDER BY n.id;
    ELSE
        INSERT INTO changes (type, object_id, workspace_id, collection_id, study_id, detail)
        SELECT CASE WHEN n.response = 'deleted' THEN 'submission.erased'
                    WHEN n.status <> o.status THEN 'submission.status' ELSE 'submission.response' END,
               n.id, t.workspace_id, n.collection_id, n.study_id,
               jsonb_build_object('status', n.status, 'response', n.response, 'test', n.test)
        FROM new_rows n JOIN old_rows o ON o.id = n.id JOIN studies t ON t.id = n.study_id
        WHERE n.status <> o.status OR n.response <> o.response OR n.test <> o.test ORDER BY n.id;
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION log_exports() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO changes (type, object_id, workspace_id, collection_id, detail)
        SELECT 'export.status', n.id, c.workspace_id, n.collection_id, jsonb_build_object('status', n.status)
        FROM new_rows n JOIN collections c ON c.id = n.collection_id ORDER BY n.id;
    ELSIF TG_OP = 'UPDATE' THEN
        INSERT INTO changes (type, object_id, workspace_id, collection_id, detail)
        SELECT 'export.status', n.id, c.workspace_id, n.collection_id, jsonb_build_object('status', n.status)
        FROM new_rows n JOIN old_rows o ON o.id = n.id JOIN collections c ON c.id = n.collection_id
        WHERE n.status <> o.status ORDER BY n.id;
    ELSE
        INSERT INTO changes (type, object_id, workspace_id, collection_id)
        SELECT 'export.deleted', o.id, c.workspace_id, o.collection_id
        FROM old_rows o JOIN collections c ON c.id = o.collection_id ORDER BY o.id;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER log_inserted AFTER INSERT ON collections
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION log_collections();
CREATE TRIGGER log_updated AFTER UPDATE ON collections
    REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION log_collections();
CREATE TRIGGER log_deleted AFTER DELETE ON collections
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION log_collections();
CREATE TRIGGER log_inserted AFTER INSERT ON studies
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION log_studies();
CREATE TRIGGER log_updated AFTER UPDATE ON studies
    REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION log_studies();
CREATE TRIGGER log_deleted AFTER DELETE ON studies
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION log_studies();
CREATE TRIGGER log_inserted AFTER INSERT ON submissions
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION log_submissions();
CREATE TRIGGER log_updated AFTER UPDATE ON submissions
    REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION log_submissions();
CREATE TRIGGER log_inserted AFTER INSERT ON exports
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION log_exports();
CREATE TRIGGER log_updated AFTER UPDATE ON exports
    REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION log_exports();
CREATE TRIGGER log_deleted AFTER DELETE ON exports
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION log_exports();

CREATE FUNCTION tell_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('fieldpack_changes', collection_id::text) FROM (SELECT DISTINCT collection_id FROM added) c;
    RETURN NULL;
END $$;
CREATE TRIGGER tell AFTER INSERT ON changes
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION tell_changes();
"""


def upgrade() -> None:
    run_sql(UPGRADE)
