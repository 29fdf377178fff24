"""Webhooks: subscriptions, what is to be sent to them, and what came back.

An event is a row as soon as the change is: a trigger on the log of changes writes one for each subscription that is
there, in the transaction that makes the change.
"""

from __future__ import annotations

from fieldpack.server.db.migrate import run_sql

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

UPGRADE = """
CREATE TABLE hook_secrets (
    workspace_id uuid PRIMARY KEY REFERENCES workspaces ON DELETE CASCADE,
    id uuid NOT NULL UNIQUE,
    value text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE hook_secrets IS 'what signs the events of a workspace; its members may read it';

CREATE TABLE hook_subscriptions (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    event_type text NOT NULL,
    target_url text NOT NULL,
    is_enabled boolean NOT NULL DEFAULT true,
    confirmation_sha256 bytea NOT NULL,
    confirmed_at timestamptz,
    failing_since timestamptz,
    noticed_at timestamptz,
    disabled_at timestamptz,
    created_by uuid NOT NULL REFERENCES researchers,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX hook_subscriptions_workspace ON hook_subscriptions (workspace_id, created_at, id);
COMMENT ON COLUMN hook_subscriptions.failing_since IS 'of the first failure since something arrived; null when the last one did';
COMMENT ON COLUMN hook_subscriptions.disabled_at IS 'when it was disabled for failing; null once it is enabled again';

CREATE TABLE hook_events (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    number bigint GENERATED ALWAYS AS IDENTITY,
    subscription_id uuid NOT NULL REFERENCES hook_subscriptions ON DELETE CASCADE,
    event_type text NOT NULL,
    resource_id uuid NOT NULL,
    payload jsonb NOT NULL,
    status text NOT NULL DEFAULT 'PENDING' CHECK (status IN ('PENDING', 'SUCCEEDED', 'FAILED')),
    failures integer NOT NULL DEFAULT 0,
    next_at timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX hook_events_pending ON hook_events (subscription_id, resource_id, number) WHERE status = 'PENDING';
CREATE INDEX hook_events_subscription ON hook_events (subscription_id, number);
CREATE INDEX hook_events_resource ON hook_events (resource_id);
CREATE INDEX hook_events_created ON hook_events (created_at);
COMMENT ON COLUMN hook_events.number IS 'the order in which events of one resource are sent';
COMMENT ON COLUMN hook_events.failures IS 'since it was last queued; with the 12th it is FAILED';

CREATE TABLE hook_attempts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id uuid NOT NULL REFERENCES hook_events ON DELETE CASCADE,
    at timestamptz NOT NULL DEFAULT now(),
    seconds real NOT NULL,
    status_code integer,
    answer text,
    error text
);
CREATE INDEX hook_attempts_event ON hook_attempts (event_id, id);
COMMENT ON COLUMN hook_attempts.answer IS 'the first 4 KiB of what the receiver said; goes with the erasure of its submission';

CREATE FUNCTION name_hook_event(type text, detail jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE type WHEN 'study.status' THEN 'study.status.change'
                     WHEN 'study.progress' THEN 'study.progress.change'
                     WHEN 'submission.status' THEN 'submission.status.change'
                     WHEN 'submission.erased' THEN 'submission.erased'
                     WHEN 'export.status' THEN CASE detail->>'status'
                         WHEN 'complete' THEN 'collection.export.complete'
                         WHEN 'failed' THEN 'collection.export.failed' END END
$$;

CREATE FUNCTION queue_hook_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO hook_events (subscription_id, event_type, resource_id, payload)
    SELECT h.id, h.event_type, c.object_id, jsonb_strip_nulls(jsonb_build_object(
        'event_type', h.event_type,
        'resource_id', c.object_id,
        'status', CASE WHEN c.type = 'submission.erased' THEN 'ERASED' ELSE c.detail->>'status' END,
        'study_id', CASE WHEN c.type LIKE 'submission.%' THEN c.study_id END,
        'collection_id', CASE WHEN c.type LIKE 'export.%' THEN c.collection_id END,
        'places_taken', CASE WHEN c.type = 'study.progress' THEN c.detail->'places_taken' END,
        'total_available_places', CASE WHEN c.type = 'study.progress' THEN c.detail->'total_available_places' END,
        'datetime_created', to_char(c.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')))
    FROM added c JOIN hook_subscriptions h
        ON h.workspace_id = c.workspace_id AND h.event_type = name_hook_event(c.type, c.detail)
    WHERE h.is_enabled AND h.confirmed_at IS NOT NULL AND NOT coalesce((c.detail->>'test')::boolean, false)
    ORDER BY c.id, h.id;
    RETURN NULL;
END $$;
CREATE TRIGGER queue_hook_events AFTER INSERT ON changes
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION queue_hook_events();
"""


def upgrade() -> None:
    run_sql(UPGRADE)
