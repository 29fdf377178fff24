"""The audit log: entries, the chain that seals them, and whom their subjects mean."""

from __future__ import annotations

from fieldpack.server.db.migrate import run_sql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

UPGRADE = """
CREATE TABLE audit_subjects (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    researcher_id uuid UNIQUE REFERENCES researchers ON DELETE CASCADE,
    submission_id uuid UNIQUE REFERENCES submissions ON DELETE CASCADE,
    CONSTRAINT audit_subjects_one CHECK (num_nonnulls(researcher_id, submission_id) = 1)
);
COMMENT ON TABLE audit_subjects IS
    'whom the audit log means: outside its chain, and gone with the person, after which its entries name nobody';

CREATE TABLE audit_entries (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    actor_type text NOT NULL CHECK (actor_type IN ('researcher', 'participant', 'link', 'operator')),
    actor_id uuid,
    credential_type text CHECK (credential_type IN ('token', 'session', 'link')),
    credential_id text,
    address text,
    action text NOT NULL,
    object_type text NOT NULL,
    object_id uuid,
    subject_id uuid,
    workspace_id uuid,
    collection_id uuid,
    details jsonb NOT NULL DEFAULT '{}',
    CONSTRAINT audit_entries_no_address CHECK (actor_type <> 'participant' OR address IS NULL)
);
COMMENT ON TABLE audit_entries IS 'who did or saw what; refers to nothing, because it outlives everything';
CREATE INDEX audit_entries_workspace ON audit_entries (workspace_id, id);
CREATE INDEX audit_entries_subject ON audit_entries (subject_id) WHERE subject_id IS NOT NULL;
CREATE UNIQUE INDEX audit_entries_download ON audit_entries
    (object_id, credential_id, address, date_trunc('hour', at AT TIME ZONE 'UTC'))
    WHERE action = 'archive.download';
COMMENT ON INDEX audit_entries_download IS 'one entry for each link, address and hour, in however many pieces';

CREATE TABLE audit_seals (
    position bigint PRIMARY KEY CHECK (position > 0),
    entry_id bigint NOT NULL UNIQUE,
    sealed_at timestamptz NOT NULL,
    hash bytea NOT NULL CHECK (octet_length(hash) = 32)
);
COMMENT ON TABLE audit_seals IS
    'the chain: each hash is over the one before and the entry, in the order in which entries became visible';

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is refused: the audit log is only ever added to', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER audit_entries_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_seals_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_seals
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

INSERT INTO audit_subjects (researcher_id) SELECT id FROM researchers;
INSERT INTO audit_subjects (submission_id) SELECT id FROM submissions WHERE response <> 'deleted';

CREATE FUNCTION add_audit_subjects() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_TABLE_NAME = 'researchers' THEN
        INSERT INTO audit_subjects (researcher_id) SELECT id FROM added;
    ELSE
        INSERT INTO audit_subjects (submission_id) SELECT id FROM added;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER researchers_audit AFTER INSERT ON researchers REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION add_audit_subjects();
CREATE TRIGGER submissions_audit AFTER INSERT ON submissions REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION add_audit_subjects();
"""


def upgrade() -> None:
    run_sql(UPGRADE)
