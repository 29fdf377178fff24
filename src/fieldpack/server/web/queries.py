"""SQL of the pages: what a browser may resume, and the counts that researchers see."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row

from fieldpack.server.db.pool import Connection
from fieldpack.server.studies.queries import select_known_groups, select_known_studies
from fieldpack.server.web.rows import ContactRow, ResumableRow, StudyCountsRow, StudyLinkRow


async def find_contact(
    connection: Connection, study_id: str | None = None, submission_id: str | None = None
) -> ContactRow | None:
    """What the researcher of a study, or of a submission's study, shows of themselves to participants."""
    cursor = await connection.cursor(row_factory=class_row(ContactRow)).execute(
        """
        SELECT t.fields->>'contact' AS contact,
               coalesce(t.fields->'contact_shows_account' = 'true'::jsonb, false) AS shows_account,
               r.email, r.first_name, r.last_name
        FROM studies t JOIN researchers r ON r.id = t.created_by
        WHERE t.id = coalesce(%(study)s::uuid,
                              (SELECT s.study_id FROM submissions s WHERE s.id = %(submission)s::uuid))
        """,
        {"study": study_id, "submission": submission_id},
    )
    return await cursor.fetchone()


async def find_resumable(
    connection: Connection,
    submission_id: UUID,
    study_id: UUID,
    token_sha256: bytes,
    made_before: datetime | None,
) -> ResumableRow | None:
    """The submission to this study that this token opens; None for another token, or one made after `made_before`."""
    cursor = await connection.cursor(row_factory=class_row(ResumableRow)).execute(
        """
        SELECT s.id, s.participant_id, s.session_id, s.response, s.status,
               (s.response = 'active' OR s.status = 'RETURNED')
               AND (t.max_submissions_per_participant = -1 OR t.max_submissions_per_participant > (
                    SELECT count(*) FROM submissions o WHERE o.study_id = s.study_id
                    AND o.participant_id = s.participant_id AND o.response <> 'deleted')) AS again
        FROM submissions s JOIN participant_tokens p ON p.submission_id = s.id
        JOIN studies t ON t.id = s.study_id
        WHERE s.id = %s AND s.study_id = %s AND p.token_sha256 = %s AND s.response <> 'deleted'
            AND (%s::timestamptz IS NULL OR p.created_at < %s)
        """,
        [submission_id, study_id, token_sha256, made_before, made_before],
    )
    return await cursor.fetchone()


async def list_latest_studies(
    connection: Connection, collection_ids: list[UUID], most: int
) -> list[StudyLinkRow]:
    """The newest few studies of each of these collections, newest first, without a look at their submissions."""
    cursor = await connection.cursor(row_factory=class_row(StudyLinkRow)).execute(
        f"""
        SELECT t.id, t.collection_id, t.name, t.status, t.places_taken, t.total_available_places, t.resume, t.fields,
               {select_known_studies("t")} AS known_studies, {select_known_groups("t")} AS known_groups, t.all_studies
        FROM unnest(%s::uuid[]) AS c (id) CROSS JOIN LATERAL (
            SELECT s.*, count(*) OVER () AS all_studies FROM studies s WHERE s.collection_id = c.id AND NOT s.test
            ORDER BY s.created_at DESC, s.id LIMIT %s) t
        ORDER BY t.created_at DESC, t.id
        """,
        [collection_ids, most],
    )
    return await cursor.fetchall()


async def name_studies(connection: Connection, collection_id: UUID) -> dict[UUID, str]:
    """The names of a collection's studies, newest first."""
    cursor = await connection.execute(
        "SELECT id, name FROM studies WHERE collection_id = %s AND NOT test ORDER BY created_at DESC, id",
        [collection_id],
    )
    return {row["id"]: row["name"] for row in await cursor.fetchall()}


async def list_studies(connection: Connection, collection_ids: list[UUID]) -> list[StudyCountsRow]:
    """The studies of these collections, newest first, with their submissions by state."""
    cursor = await connection.cursor(row_factory=class_row(StudyCountsRow)).execute(
        f"""
        SELECT t.id, t.collection_id, t.name, t.status, t.places_taken, t.total_available_places, t.resume,
               t.fields,
               {select_known_studies("t")} AS known_studies, {select_known_groups("t")} AS known_groups,
               coalesce(n.active, 0) AS active, coalesce(n.review, 0) AS review,
               coalesce(n.approved, 0) AS approved, coalesce(n.other, 0) AS other
        FROM studies t LEFT JOIN (
            SELECT s.study_id,
                   count(*) FILTER (WHERE s.status = 'ACTIVE') AS active,
                   count(*) FILTER (WHERE s.status = 'AWAITING REVIEW') AS review,
                   count(*) FILTER (WHERE s.status IN ('APPROVED', 'PARTIALLY APPROVED')) AS approved,
                   count(*) FILTER (WHERE s.status NOT IN
                       ('ACTIVE', 'AWAITING REVIEW', 'APPROVED', 'PARTIALLY APPROVED')) AS other
            FROM submissions s
            WHERE s.collection_id = ANY(%(collections)s) AND s.response <> 'deleted' AND NOT s.test
            GROUP BY s.study_id) n ON n.study_id = t.id
        WHERE t.collection_id = ANY(%(collections)s) AND NOT t.test ORDER BY t.created_at DESC, t.id
        """,
        {"collections": collection_ids},
    )
    return await cursor.fetchall()
