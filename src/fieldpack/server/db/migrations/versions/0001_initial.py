"""The first schema: accounts, collections, studies, submissions, uploads, exports, and the job queue.

Invariants live here, as constraints, so that no process can break them:

* one generating export per collection and filter (`exports_one_generating`);
* one submission per participant, study and ordinal, and per participant, study and session;
* places taken never exceed the places there are;
* an erased submission keeps no personal data.
"""

from importlib.resources import files

from fieldpack.server.db.migrate import run_sql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMA = """
CREATE TABLE settings (
    name text PRIMARY KEY,
    value bytea NOT NULL
);
COMMENT ON TABLE settings IS 'what every process of one installation shares, such as the key that signs links';

CREATE TABLE workspaces (
    id uuid PRIMARY KEY,
    title text NOT NULL,
    description text NOT NULL DEFAULT '',
    collections_enabled boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE researchers (
    id uuid PRIMARY KEY,
    email text NOT NULL,
    first_name text NOT NULL DEFAULT '',
    last_name text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX researchers_email ON researchers (lower(email));

CREATE TABLE memberships (
    workspace_id uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    researcher_id uuid NOT NULL REFERENCES researchers ON DELETE CASCADE,
    role text NOT NULL DEFAULT 'WORKSPACE_ADMIN',
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, researcher_id)
);
CREATE INDEX memberships_researcher ON memberships (researcher_id);

CREATE TABLE tokens (
    id uuid PRIMARY KEY,
    researcher_id uuid NOT NULL REFERENCES researchers ON DELETE CASCADE,
    name text NOT NULL,
    token_sha256 bytea NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz,
    revoked_at timestamptz
);

CREATE TABLE collections (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces,
    name text NOT NULL,
    description text,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by uuid NOT NULL REFERENCES researchers,
    last_modified_at timestamptz,
    last_modified_by uuid REFERENCES researchers
);
CREATE INDEX collections_workspace ON collections (workspace_id, created_at DESC, id);

CREATE TABLE collection_versions (
    collection_id uuid NOT NULL REFERENCES collections ON DELETE CASCADE,
    version integer NOT NULL,
    body json NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (collection_id, version)
);
COMMENT ON TABLE collection_versions IS
    'body: {name, description, task_details, collection_items} as answered by the API; a submission keeps the version it started with';

CREATE TABLE collection_changes (
    collection_id uuid PRIMARY KEY REFERENCES collections ON DELETE CASCADE,
    counter bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
COMMENT ON TABLE collection_changes IS
    'raised in every transaction that changes what an export could contain; its row lock orders them';

CREATE TABLE pages (
    id uuid PRIMARY KEY,
    collection_id uuid NOT NULL REFERENCES collections ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by uuid NOT NULL REFERENCES researchers
);
CREATE INDEX pages_collection ON pages (collection_id);

CREATE TABLE items (
    id uuid PRIMARY KEY,
    collection_id uuid NOT NULL REFERENCES collections ON DELETE CASCADE,
    type text NOT NULL,
    page_order integer NOT NULL,
    item_order integer NOT NULL,
    body json NOT NULL,
    retired boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by uuid NOT NULL REFERENCES researchers
);
CREATE INDEX items_collection ON items (collection_id);
COMMENT ON TABLE items IS 'every page item a collection ever had, in its latest form; a retired one keeps its last place';

CREATE TABLE studies (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces,
    collection_id uuid NOT NULL REFERENCES collections,
    created_by uuid NOT NULL REFERENCES researchers,
    status text NOT NULL DEFAULT 'UNPUBLISHED'
        CHECK (status IN ('UNPUBLISHED', 'ACTIVE', 'PAUSED', 'AWAITING REVIEW', 'COMPLETED')),
    name text NOT NULL,
    total_available_places integer NOT NULL CHECK (total_available_places > 0),
    places_taken integer NOT NULL DEFAULT 0 CHECK (places_taken >= 0),
    maximum_allowed_time integer CHECK (maximum_allowed_time > 0),
    max_submissions_per_participant integer NOT NULL DEFAULT 1,
    max_concurrent_submissions integer NOT NULL DEFAULT -1,
    fields jsonb NOT NULL DEFAULT '{}',
    upload_bytes bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    published_at timestamptz,
    CONSTRAINT studies_places CHECK (places_taken <= total_available_places)
);
CREATE INDEX studies_workspace ON studies (workspace_id, created_at DESC);
CREATE INDEX studies_collection ON studies (collection_id);
COMMENT ON COLUMN studies.fields IS 'everything else a client gave, known or not, given back as it came';

CREATE TABLE submissions (
    id uuid PRIMARY KEY,
    study_id uuid NOT NULL REFERENCES studies,
    collection_id uuid NOT NULL REFERENCES collections,
    collection_version integer NOT NULL,
    participant_id text,
    session_id text,
    ordinal integer NOT NULL,
    status text NOT NULL DEFAULT 'ACTIVE'
        CHECK (status IN ('RESERVED', 'ACTIVE', 'AWAITING REVIEW', 'APPROVED', 'REJECTED', 'RETURNED', 'TIMED-OUT',
                          'PARTIALLY APPROVED', 'SCREENED OUT')),
    response text NOT NULL DEFAULT 'in_progress'
        CHECK (response IN ('in_progress', 'active', 'no_submission', 'deleted')),
    holds_place boolean NOT NULL DEFAULT true,
    started_at timestamptz NOT NULL DEFAULT now(),
    deadline_at timestamptz,
    completed_at timestamptz,
    study_code text,
    entered_code text,
    return_requested timestamptz,
    return_reasons json,
    review json,
    responses text,
    file_count integer NOT NULL DEFAULT 0,
    answer_count integer NOT NULL DEFAULT 0,
    upload_bytes bigint NOT NULL DEFAULT 0,
    activated_counter bigint,
    deactivated_counter bigint,
    erased_counter bigint,
    erased_at timestamptz,
    FOREIGN KEY (collection_id, collection_version) REFERENCES collection_versions,
    CONSTRAINT submissions_active CHECK (
        response <> 'active'
        OR (completed_at IS NOT NULL AND responses IS NOT NULL AND activated_counter IS NOT NULL)),
    CONSTRAINT submissions_erased CHECK (
        (response = 'deleted') = (erased_at IS NOT NULL)
        AND (response <> 'deleted' OR (participant_id IS NULL AND session_id IS NULL AND responses IS NULL
                                       AND return_reasons IS NULL AND review IS NULL AND entered_code IS NULL))
        AND (response = 'deleted' OR participant_id IS NOT NULL))
);
CREATE UNIQUE INDEX submissions_ordinal ON submissions (study_id, participant_id, ordinal)
    WHERE response <> 'deleted';
CREATE UNIQUE INDEX submissions_session ON submissions (study_id, participant_id, session_id)
    WHERE session_id IS NOT NULL AND response <> 'deleted';
CREATE INDEX submissions_study ON submissions (study_id, started_at, id);
CREATE INDEX submissions_archive ON submissions (collection_id, completed_at, id) WHERE response = 'active';
CREATE INDEX submissions_deadline ON submissions (deadline_at) WHERE response = 'in_progress' AND status = 'ACTIVE';
CREATE INDEX submissions_erasures ON submissions (collection_id, erased_counter) WHERE response = 'deleted';
COMMENT ON COLUMN submissions.responses IS
    'written once at submit: the JSON text of the archive''s "responses" object, so that an export only copies it';
COMMENT ON COLUMN submissions.activated_counter IS
    'collection_changes.counter when the response became active: an export holds it if its snapshot is at or past that';

CREATE TABLE participant_tokens (
    token_sha256 bytea PRIMARY KEY,
    submission_id uuid NOT NULL REFERENCES submissions ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX participant_tokens_submission ON participant_tokens (submission_id);

CREATE TABLE answers (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    submission_id uuid NOT NULL REFERENCES submissions ON DELETE CASCADE,
    instruction_id uuid NOT NULL,
    value json NOT NULL,
    revision integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (submission_id, instruction_id)
);
COMMENT ON COLUMN answers.value IS 'the value shape of the archive less its type; uploads are in their own table';

CREATE TABLE blobs (
    id uuid PRIMARY KEY,
    size_bytes bigint NOT NULL CHECK (size_bytes >= 0),
    crc32 bigint NOT NULL CHECK (crc32 BETWEEN 0 AND 4294967295),
    sha256 bytea NOT NULL CHECK (octet_length(sha256) = 32),
    content_type text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE blobs IS 'finished uploads; never changed, so an archive can be computed from this row alone';

CREATE TABLE uploads (
    id uuid PRIMARY KEY,
    submission_id uuid NOT NULL REFERENCES submissions ON DELETE CASCADE,
    instruction_id uuid NOT NULL,
    file_name text NOT NULL,
    metadata text,
    length_bytes bigint NOT NULL CHECK (length_bytes >= 0),
    offset_bytes bigint NOT NULL DEFAULT 0,
    crc32 bigint NOT NULL DEFAULT 0,
    content_type text,
    blob_id uuid REFERENCES blobs,
    writer uuid,
    finishing_at timestamptz,
    failure text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz,
    position integer,
    path text,
    CONSTRAINT uploads_offset CHECK (offset_bytes BETWEEN 0 AND length_bytes),
    CONSTRAINT uploads_complete CHECK (
        (blob_id IS NULL) = (completed_at IS NULL)
        AND (blob_id IS NULL OR (offset_bytes = length_bytes AND failure IS NULL)))
);
CREATE INDEX uploads_submission ON uploads (submission_id, created_at, id);
CREATE INDEX uploads_blob ON uploads (blob_id);
CREATE INDEX uploads_unfinished ON uploads (updated_at) WHERE blob_id IS NULL;
COMMENT ON COLUMN uploads.metadata IS 'the Upload-Metadata header as it came, which tus wants given back';
COMMENT ON COLUMN uploads.writer IS
    'names the one request that may move the offset; a newer request puts its own name here and so shuts the older out';
COMMENT ON COLUMN uploads.finishing_at IS 'a recent time: some process is hashing or joining the whole right now';
COMMENT ON COLUMN uploads.failure IS 'why its bytes were refused and removed; it counts as no upload any more';
COMMENT ON COLUMN uploads.position IS 'place among the files of its submission, set at submit';
COMMENT ON COLUMN uploads.path IS 'member name in archives, set at submit';

CREATE TABLE upload_chunks (
    upload_id uuid NOT NULL REFERENCES uploads ON DELETE CASCADE,
    offset_bytes bigint NOT NULL,
    size_bytes bigint NOT NULL,
    key text NOT NULL,
    PRIMARY KEY (upload_id, offset_bytes)
);
COMMENT ON TABLE upload_chunks IS 'where storage cannot append: one object per chunk, joined when the upload is complete';

CREATE TABLE exports (
    id uuid PRIMARY KEY,
    collection_id uuid NOT NULL REFERENCES collections,
    filter jsonb NOT NULL DEFAULT '{}',
    status text NOT NULL DEFAULT 'generating' CHECK (status IN ('generating', 'complete', 'failed')),
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by uuid REFERENCES researchers,
    build uuid NOT NULL DEFAULT gen_random_uuid(),
    attempts integer NOT NULL DEFAULT 0,
    progress real NOT NULL DEFAULT 0,
    snapshot_at timestamptz,
    snapshot_counter bigint,
    completed_at timestamptz,
    submission_count bigint,
    file_count bigint,
    size_bytes bigint,
    index_bytes bigint,
    etag text,
    delivery text NOT NULL DEFAULT 'stream' CHECK (delivery IN ('stream', 'store')),
    multipart_id text,
    failure_reason text,
    links_expire_at timestamptz,
    CONSTRAINT exports_complete CHECK (
        status <> 'complete'
        OR (snapshot_counter IS NOT NULL AND completed_at IS NOT NULL AND submission_count IS NOT NULL
            AND file_count IS NOT NULL AND size_bytes IS NOT NULL AND index_bytes IS NOT NULL
            AND etag IS NOT NULL)),
    CONSTRAINT exports_failed CHECK (status <> 'failed' OR failure_reason IS NOT NULL)
);
CREATE UNIQUE INDEX exports_one_generating ON exports (collection_id, filter) WHERE status = 'generating';
CREATE INDEX exports_collection ON exports (collection_id, created_at DESC, id);
COMMENT ON COLUMN exports.build IS
    'names the attempt that may finish this export; a new attempt, or an erasure, changes it and so shuts the old one out';

CREATE TABLE export_parts (
    export_id uuid NOT NULL REFERENCES exports ON DELETE CASCADE,
    build uuid NOT NULL,
    number integer NOT NULL CHECK (number BETWEEN 1 AND 10000),
    start_offset bigint NOT NULL,
    stop_offset bigint NOT NULL,
    sent_bytes bigint NOT NULL DEFAULT 0,
    etag text,
    pieces json,
    PRIMARY KEY (export_id, build, number),
    CONSTRAINT export_parts_range CHECK (start_offset >= 0 AND stop_offset > start_offset)
) WITH (fillfactor = 80);
COMMENT ON TABLE export_parts IS
    'an archive that is being made into an object of the bucket: each part is a job; etag: it is there';
COMMENT ON COLUMN export_parts.pieces IS
    'CRC-32 of pieces of files that reach beyond this part: checked at the end with their neighbours''';

CREATE TABLE garbage (
    key text PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE garbage IS
    'storage keys (or prefixes, ending in /) whose rows are gone; written in the transaction that removed them';
"""


def upgrade() -> None:
    run_sql(SCHEMA)
    run_sql(files("procrastinate").joinpath("sql/schema.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    raise RuntimeError("fieldpack's schema is not taken back: restore the backup made before the upgrade")
