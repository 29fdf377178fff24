"""Answers of submitted responses by question, so that one question is looked through without all the others.

A row holds what filters and orders ask for; an index holds the row, ordered by question and time, and is read alone. It
takes the place of an index over whole responses. Triggers on `line_end` write it: nothing that is saved before a response
is submitted touches it, and an erasure, which empties `line_end`, takes it away.
"""

from __future__ import annotations

from fieldpack.server.db.migrate import run_sql

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None

# A row of an index has at most 2,704 bytes. What is longer is cut and marked, and its response is looked at.
UPGRADE = r"""
CREATE FUNCTION name_choice(choice jsonb) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN jsonb_typeof(choice) = 'number' THEN trim_scale((choice #>> '{}')::numeric)::text
                ELSE choice::text END
$$;
COMMENT ON FUNCTION name_choice IS 'a value that was chosen as one line of text: equal for equal values, and for no others';

CREATE FUNCTION read_number(text text) RETURNS numeric LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN text ~ '^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?$' THEN text::numeric END
$$;
COMMENT ON FUNCTION read_number IS 'the number that a text is, as programs write numbers; null for any other';

CREATE FUNCTION list_answer_values(answers jsonb)
    RETURNS TABLE (instruction_id uuid, text text, chosen text, number numeric, is_whole boolean)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT a.key::uuid, left(v.text, 400),
           CASE WHEN octet_length(v.chosen) <= 800 THEN v.chosen END,
           CASE WHEN length(v.text) <= 100 THEN read_number(v.text) END,
           (length(v.text) <= 100 OR length(v.text) <= 400 AND read_number(v.text) IS NULL)
               AND coalesce(octet_length(v.chosen) <= 800, true)
    FROM jsonb_each(answers) a CROSS JOIN LATERAL (
        SELECT lower(a.value->>'value') AS text,
               CASE WHEN length(a.value->>'value') <= 100 THEN E'\n' || name_choice(a.value->'value') || E'\n' END AS chosen
        WHERE jsonb_typeof(a.value->'value') <> 'array'
        UNION ALL
        SELECT coalesce(lower(string_agg(coalesce(e->>'file_name',
                   concat_ws(': ', CASE jsonb_typeof(e) WHEN 'object' THEN e->>'value' ELSE e #>> '{}' END,
                             e->>'explanation')), E'\n')), ''),
               E'\n' || string_agg(name_choice(CASE jsonb_typeof(e) WHEN 'object' THEN e->'value' ELSE e END), E'\n')
                   FILTER (WHERE NOT e ? 'file_name') || E'\n'
        FROM jsonb_array_elements(CASE jsonb_typeof(a.value->'value') WHEN 'array' THEN a.value->'value' END) e
        WHERE jsonb_typeof(a.value->'value') = 'array'
        HAVING jsonb_typeof(a.value->'value') = 'array'
    ) v
    WHERE v.text IS NOT NULL AND length(a.key) = 36
$$;

CREATE TABLE answer_values (
    instruction_id uuid NOT NULL,
    completed_at timestamptz NOT NULL,
    submission_id uuid NOT NULL,
    text text COLLATE "C" NOT NULL,
    chosen text COLLATE "C",
    number numeric,
    is_whole boolean NOT NULL,
    PRIMARY KEY (instruction_id, completed_at, submission_id) INCLUDE (text, chosen, number, is_whole)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05);
COMMENT ON TABLE answer_values IS 'the answers of submissions.line_end, one by one; only triggers write it';
COMMENT ON COLUMN answer_values.completed_at IS 'of the submission: new rows of a question lie beside each other';
COMMENT ON COLUMN answer_values.text IS 'in lower case; of a list its values, explanations and names of files, a line each';
COMMENT ON COLUMN answer_values.chosen IS 'the values of options between line ends, as name_choice writes them';
COMMENT ON COLUMN answer_values.number IS 'of a text that is a number';
COMMENT ON COLUMN answer_values.is_whole IS 'nothing was cut off';

CREATE FUNCTION add_answer_values() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO answer_values (instruction_id, completed_at, submission_id, text, chosen, number, is_whole)
    SELECT v.instruction_id, NEW.completed_at, NEW.id, v.text, v.chosen, v.number, v.is_whole
    FROM list_answer_values(NEW.answers) v WHERE NEW.completed_at IS NOT NULL
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE FUNCTION remove_answer_values() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM answer_values v USING jsonb_object_keys(OLD.answers) k (id)
    WHERE length(k.id) = 36 AND v.instruction_id = k.id::uuid AND v.completed_at = OLD.completed_at AND v.submission_id = OLD.id;
    RETURN NULL;
END $$;
-- triggers of one event run in the order of their names
CREATE TRIGGER values_1_removed AFTER UPDATE OF line_end ON submissions FOR EACH ROW
    WHEN (OLD.line_end IS NOT NULL
          AND (NEW.line_end IS DISTINCT FROM OLD.line_end OR NEW.completed_at IS DISTINCT FROM OLD.completed_at))
    EXECUTE FUNCTION remove_answer_values();
CREATE TRIGGER values_2_added AFTER UPDATE OF line_end ON submissions FOR EACH ROW
    WHEN (NEW.line_end IS NOT NULL
          AND (NEW.line_end IS DISTINCT FROM OLD.line_end OR NEW.completed_at IS DISTINCT FROM OLD.completed_at))
    EXECUTE FUNCTION add_answer_values();
CREATE TRIGGER values_inserted AFTER INSERT ON submissions FOR EACH ROW
    WHEN (NEW.line_end IS NOT NULL) EXECUTE FUNCTION add_answer_values();
CREATE TRIGGER values_deleted AFTER DELETE ON submissions FOR EACH ROW
    WHEN (OLD.line_end IS NOT NULL) EXECUTE FUNCTION remove_answer_values();

INSERT INTO answer_values (instruction_id, completed_at, submission_id, text, chosen, number, is_whole)
SELECT v.instruction_id, s.completed_at, s.id, v.text, v.chosen, v.number, v.is_whole
FROM submissions s CROSS JOIN LATERAL list_answer_values(s.answers) v
WHERE s.line_end IS NOT NULL AND s.completed_at IS NOT NULL ORDER BY 1, 2, 3;

DROP INDEX submissions_answers;
DROP INDEX submissions_latest;
DROP INDEX submissions_started;
CREATE INDEX submissions_latest ON submissions (collection_id, coalesce(completed_at, started_at), id)
    INCLUDE (status, response, study_id, participant_id, started_at, completed_at, file_count)
    WHERE response <> 'deleted';
COMMENT ON INDEX submissions_latest IS 'all that a list of responses asks of them, but their answers: it is read alone';
ALTER TABLE submissions SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05);
DO $$ BEGIN
    -- an empty table that was analysed is planned for as one that stays empty, one that was not as one of ten pages
    IF EXISTS (SELECT FROM submissions) THEN ANALYZE submissions, answer_values; END IF;
END $$;
"""


def upgrade() -> None:
    run_sql(UPGRADE)
