"""A large study as its researchers find it: every kind of question, answers in seven languages, photos with their small
pictures, notes, every state. Written straight into an installation's database, a thousand submissions in a moment.
"""

from __future__ import annotations

import io
import os
import random
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import psycopg
from PIL import Image
from tests.installation import Installation
from tests.scenario import Scenario, expect

from fieldpack.server.exports.line_queries import write_line_end
from fieldpack.server.storage import blob_key, thumbnail_key
from fieldpack.server.thumbnails.formats import SMALL

from .population import connected, make_blobs

__all__ = ["RARE_WORDS", "Fieldwork", "populate_fieldwork"]

PHOTOS = 64  # that differ; every file is one of them under a name of its own
SENTENCES = 20_000
STUDIES = 4
RARE_WORDS = 1_000

WORDS = {
    "en": "the street was quiet and I could hear birds in every tree while people walked slowly past a small shop"
    " where bread coffee and fresh fruit were sold before noon although it rained a little heavy wind closed windows",
    "de": "die Straße war ruhig und ich hörte Vögel in jedem Baum während Menschen langsam an einem kleinen Laden"
    " vorbeigingen wo Brot Kaffee und frisches Obst bis zum Mittag verkauft wurde obwohl es ein wenig regnete",
    "fr": "la rue était calme et j'entendais des oiseaux dans chaque arbre pendant que les gens passaient lentement"
    " devant une petite boutique où l'on vendait du pain du café et des fruits frais avant midi malgré la pluie",
    "es": "la calle estaba tranquila y oía pájaros en cada árbol mientras la gente pasaba despacio por una pequeña"
    " tienda donde se vendía pan café y fruta fresca antes del mediodía aunque llovía un poco",
    "ru": "улица была тихой и я слышал птиц на каждом дереве пока люди медленно проходили мимо маленького магазина"
    " где до полудня продавали хлеб кофе и свежие фрукты хотя шёл небольшой дождь",
    "ar": "كان الشارع هادئا وسمعت الطيور في كل شجرة بينما كان الناس يمرون ببطء أمام متجر صغير يباع فيه الخبز والقهوة"
    " والفواكه الطازجة قبل الظهر رغم المطر الخفيف",
    "zh": "街上 很 安静 我 能 听见 每 棵 树上 的 鸟 人们 慢慢"
    " 走过 一家 小 商店 那里 中午 前 卖 面包 咖啡 和 新鲜 水果 虽然 下了 一点 雨",
}

OPTIONS = [
    {"label": label, "value": f"response{n}"} for n, label in enumerate(("Never", "Rarely", "Often"), 1)
]
QUESTIONS: dict[str, dict[str, Any]] = {
    "how": {"type": "free_text", "description": "How was the street today?"},
    "change": {"type": "free_text", "description": "What would you change?", "required": False},
    "often": {"type": "multiple_choice", "description": "How often do you walk here?", "options": OPTIONS},
    "seen": {
        "type": "multiple_choice",
        "description": "What did you see?",
        "answer_limit": -1,
        "options": [
            {"label": label, "value": label.lower()}
            for label in ("Birds", "Bicycles", "Buses", "Benches", "Trees", "Nothing")
        ],
    },
    "why": {
        "type": "multiple_choice_with_free_text",
        "description": "Why did you come?",
        "options": [
            {"label": label, "value": label.lower(), "heading": "Tell us more"}
            for label in ("Work", "Shopping", "Leisure")
        ],
    },
    "distance": {
        "type": "free_text_with_unit",
        "description": "How far did you walk?",
        "unit_options": [{"label": "metres", "value": "m"}, {"label": "kilometres", "value": "km"}],
        "unit_position": "suffix",
        "validation": {"type": "number", "min": 0},
    },
    "age": {"type": "free_text", "description": "How old are you?", "validation": {"type": "number"}},
    "photos": {"type": "file_upload", "description": "Photos of the street", "required": False},
    "extra": {"type": "file_upload", "description": "Anything else", "required": False},
}


@dataclass(frozen=True, slots=True)
class Fieldwork:
    """A collection with its answers.

    Attributes:
        questions: ids by the names of `QUESTIONS`.
        studies: ids.
        submissions: how many were handed in; a tenth more were begun and not.
        files: of those.
    """

    collection_id: str
    questions: dict[str, str]
    studies: list[str]
    submissions: int
    files: int


def populate_fieldwork(installation: Installation, submissions: int, *, seed: int = 1) -> Fieldwork:
    """So many submissions to a new collection, with three files each on average; most took minutes, some days."""
    with installation.client() as api, connected(installation) as connection:
        scenario, studies = _create(api)
        collection_id = scenario.collection["id"]
        items = [item for page in scenario.collection["collection_items"] for item in page["page_items"]]
        questions = {name: item["id"] for name, item in zip(QUESTIONS, items, strict=True)}
        values = {
            "collection": collection_id,
            "studies": studies,
            "began": submissions + submissions // 10,
            "submissions": submissions,
            **questions,
        }
        connection.execute("SET maintenance_work_mem = '256MB'")
        connection.execute("SET work_mem = '64MB'")
        connection.cursor_factory = (
            psycopg.ClientCursor
        )  # some values stand where a statement takes no parameters
        with connection.transaction():
            _seed(connection, installation, values, seed)
            dropped = _drop_indexes(connection)
            for statement in (SUBMISSIONS, BLOBS, UPLOADS, ANSWERS, NOTES):
                connection.execute(statement, values)
            blobs = connection.execute("SELECT blob_id, photo FROM seed_files").fetchall()
            for definition in dropped:
                connection.execute(definition)
            connection.execute("DROP TABLE seed, seed_files, seed_photos, seed_sentences")
            connection.execute(
                "UPDATE collection_changes SET counter = counter + %(submissions)s"
                " WHERE collection_id = %(collection)s",
                values,
            )
        _link_files(installation, blobs)
        for table in TABLES:
            connection.execute(f"VACUUM ANALYZE {table}")
        connection.execute("CHECKPOINT")
    return Fieldwork(collection_id, questions, studies, submissions, len(blobs))


TABLES = (
    "submissions",
    "answers",
    "answer_values",
    "uploads",
    "blobs",
    "thumbnails",
    "thumbnail_files",
    "notes",
    "changes",
    "collection_differences",
)


def _create(api: Any) -> tuple[Scenario, list[str]]:
    scenario = Scenario.create(api, *QUESTIONS.values(), places=1_000_000)
    studies = [scenario.study["id"]]
    for number in range(2, STUDIES + 1):
        body = {
            "name": f"Study {number}",
            "total_available_places": 1_000_000,
            "data_collection_method": "AI_TASK_BUILDER_COLLECTION",
            "data_collection_id": scenario.collection["id"],
        }
        studies.append(expect(api.post("/studies", json=body), 201)["id"])
    return scenario, studies


def _seed(
    connection: psycopg.Connection[Any], installation: Installation, values: dict[str, Any], seed: int
) -> None:
    rng = random.Random(seed)
    connection.execute("SELECT setseed(%s)", [1 / (1 + seed)])
    connection.execute("CREATE TEMP TABLE seed_sentences (number int PRIMARY KEY, text text)")
    with connection.cursor().copy("COPY seed_sentences FROM STDIN") as copy:
        for number in range(SENTENCES):
            copy.write_row((number, _make_sentence(rng)))
    photos = _make_photos(installation, rng)
    connection.execute(
        """
        CREATE TEMP TABLE seed_photos (number int PRIMARY KEY, id uuid, size_bytes bigint, crc32 bigint,
                                       sha256 bytea, small_bytes int)
        """
    )
    with connection.cursor().copy("COPY seed_photos FROM STDIN") as copy:
        for number, photo in enumerate(photos):
            copy.write_row((number, *photo))
    connection.execute(SEED, values)
    connection.execute(SEED_FILES, values)
    connection.execute("ANALYZE seed; ANALYZE seed_files; ANALYZE seed_photos; ANALYZE seed_sentences")


def _make_sentence(rng: random.Random) -> str:
    """Ten words of a language, and now and then one that few have."""
    words = WORDS[rng.choice(list(WORDS))].split()
    chosen = rng.choices(words, k=10)
    if rng.random() < 0.2:
        chosen.insert(rng.randrange(10), f"place{rng.randrange(RARE_WORDS):04}")
    return " ".join(chosen).capitalize() + "."


def _make_photos(installation: Installation, rng: random.Random) -> list[tuple[Any, ...]]:
    """Blobs of photos with a small picture each, in storage: id, size, CRC-32, SHA-256, size of the small one."""
    made = []
    for blob in make_blobs(installation, PHOTOS, 40_000):
        small = io.BytesIO()
        colour = tuple(rng.randrange(256) for _ in range(3))
        picture = Image.effect_noise((SMALL, SMALL * 3 // 4), 60).convert("RGB")
        Image.blend(picture, Image.new("RGB", picture.size, colour), 0.7).save(small, "WEBP", quality=60)
        path = installation.data_dir / "storage" / thumbnail_key(blob.id, SMALL)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.write_bytes(small.getvalue())
        made.append((blob.id, blob.size_bytes, blob.crc32, blob.sha256, len(small.getvalue())))
    return made


def _drop_indexes(connection: psycopg.Connection[Any]) -> list[str]:
    """Indexes of the largest tables that hold nothing together are made again afterwards, all at once; how."""
    found = connection.execute(
        """
        SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid) FROM pg_index i
        JOIN pg_class c ON c.oid = i.indrelid
        WHERE c.relname IN ('submissions', 'uploads') AND NOT i.indisunique
          AND c.relnamespace = current_schema()::regnamespace
        """
    ).fetchall()
    for name, _ in found:
        connection.execute(f"DROP INDEX {name}")
    return [definition for _, definition in found]


def _link_files(installation: Installation, blobs: Sequence[tuple[uuid.UUID, uuid.UUID]]) -> None:
    """Every file is a name of its own for one of the photos, and so is its small picture."""
    storage = installation.data_dir / "storage"
    for kind in ("blobs", "thumbnails"):
        for number in range(256):
            (storage / kind / f"{number:02x}").mkdir(parents=True, exist_ok=True, mode=0o700)

    def link(pair: tuple[uuid.UUID, uuid.UUID]) -> None:
        blob_id, photo = pair
        os.link(storage / blob_key(photo), storage / blob_key(blob_id))
        os.link(storage / thumbnail_key(photo, SMALL), storage / thumbnail_key(blob_id, SMALL))

    with ThreadPoolExecutor(4) as pool:
        for _ in pool.map(link, blobs, chunksize=1000):
            pass


# ids are random, as real ones are; completed in an order of its own, a minute apart
SEED = f"""
    CREATE TEMP TABLE seed AS
    SELECT n, gen_random_uuid() AS id, (%(studies)s::uuid[])[1 + (n * 7 + n / 3) %% {STUDIES}] AS study_id,
           timestamptz '2025-09-01 00:00:00Z' + n * interval '1 minute' AS completed_at,
           make_interval(secs => round((60 + 600 * -ln(1 - random()))::numeric, 3)::float8
               + CASE WHEN random() < 0.01 THEN 86400 * 3 * random() ELSE 0 END) AS took,
           random() AS fate, random() AS r1, random() AS r2, random() AS r3,
           (random() * {SENTENCES - 1})::int AS s1, (random() * {SENTENCES - 1})::int AS s2,
           (random() * {SENTENCES - 1})::int AS s3, (random() * {SENTENCES - 1})::int AS s4,
           n > %(submissions)s AS is_left, CASE WHEN n > %(submissions)s THEN 0 ELSE n %% 7 END AS file_count
    FROM generate_series(1, %(began)s) AS n;
"""
SEED_FILES = f"""
    CREATE TEMP TABLE seed_files AS
    SELECT gen_random_uuid() AS blob_id, gen_random_uuid() AS upload_id, s.id AS submission_id, k - 1 AS position,
           CASE WHEN k %% 4 = 0 THEN %(extra)s ELSE %(photos)s END::uuid AS instruction_id, k %% 4 = 0 AS is_extra,
           'IMG_' || lpad(((s.n * 7 + k) %% 10000)::text, 4, '0') || '.jpg' AS file_name, p.id AS photo,
           p.size_bytes, p.crc32, p.sha256, p.small_bytes, s.completed_at - interval '1 minute' AS at
    FROM seed s CROSS JOIN LATERAL generate_series(1, s.file_count) AS k
    JOIN seed_photos p ON p.number = (s.n * 5 + k) %% {PHOTOS}
"""
STATUS = """
    CASE WHEN NOT s.is_left THEN CASE WHEN s.fate < 0.30 THEN 'AWAITING REVIEW' WHEN s.fate < 0.90 THEN 'APPROVED'
                                      WHEN s.fate < 0.95 THEN 'REJECTED' WHEN s.fate < 0.96 THEN 'PARTIALLY APPROVED'
                                      WHEN s.fate < 0.97 THEN 'SCREENED OUT' ELSE 'TIMED-OUT' END
         WHEN s.fate < 0.3 THEN 'ACTIVE' WHEN s.fate < 0.6 THEN 'RETURNED' ELSE 'TIMED-OUT' END
"""
VALUES = """
    jsonb_build_object('type', 'free_text', 'value', a.text || ' ' || b.text || ' ' || c.text) AS how,
    CASE WHEN s.r1 < 0.6 THEN jsonb_build_object('type', 'free_text', 'value', d.text) END AS change,
    jsonb_build_object('type', 'multiple_choice', 'value',
        jsonb_build_array('response' || 1 + (s.n * 7) %% 3)) AS often,
    jsonb_build_object('type', 'multiple_choice', 'value', CASE s.n %% 5
        WHEN 0 THEN '["birds","trees"]' WHEN 1 THEN '["bicycles"]' WHEN 2 THEN '["buses","benches","trees"]'
        WHEN 3 THEN '["nothing"]' ELSE '["benches"]' END::jsonb) AS seen,
    jsonb_build_object('type', 'multiple_choice_with_free_text', 'value', jsonb_build_array(jsonb_build_object(
        'value', (ARRAY['work', 'shopping', 'leisure'])[1 + (s.n * 5) %% 3], 'explanation', c.text))) AS why,
    CASE WHEN s.r2 < 0.9 THEN jsonb_build_object('type', 'free_text_with_unit', 'value',
        round((s.r2 * s.r3 * 5000)::numeric, 1)::text, 'unit',
        CASE WHEN s.r1 < 0.8 THEN 'm' ELSE 'km' END) END AS distance,
    jsonb_build_object('type', 'free_text', 'value', (16 + floor(s.r3 * 70))::text) AS age
"""
SUBMISSIONS = f"""
    INSERT INTO submissions (id, study_id, collection_id, collection_version, participant_id, session_id, ordinal,
        status, response, holds_place, started_at, completed_at, line_end, file_count, answer_count, upload_bytes,
        activated_counter, test)
    SELECT s.id, s.study_id, %(collection)s, 1, substr(md5('p' || s.n), 1, 24), 'session', 1, {STATUS},
        CASE WHEN NOT s.is_left THEN 'active' WHEN s.fate < 0.3 THEN 'in_progress' ELSE 'no_submission' END,
        false, s.completed_at - s.took, CASE WHEN NOT s.is_left THEN s.completed_at END,
        CASE WHEN NOT s.is_left THEN
            {write_line_end("(s.completed_at - s.took)", "s.completed_at", "jsonb_strip_nulls(v.answers)::text")} END,
        s.file_count, 5 + s.file_count, s.file_count * 40000, CASE WHEN NOT s.is_left THEN s.n END,
        NOT s.is_left AND s.n %% 400 = 0
    FROM seed s JOIN seed_sentences a ON a.number = s.s1 JOIN seed_sentences b ON b.number = s.s2
    JOIN seed_sentences c ON c.number = s.s3 JOIN seed_sentences d ON d.number = s.s4
    LEFT JOIN (
        SELECT f.submission_id, jsonb_agg(f.entry ORDER BY f.position) FILTER (WHERE NOT f.is_extra) AS photos,
               jsonb_agg(f.entry ORDER BY f.position) FILTER (WHERE f.is_extra) AS extra
        FROM (SELECT *, jsonb_build_object(
                  'path', 'files/' || submission_id || '_' || file_name, 'file_name', file_name,
                  'content_type', 'image/jpeg', 'size_bytes', size_bytes, 'sha256', encode(sha256, 'hex')) AS entry
              FROM seed_files) f
        GROUP BY 1) f ON f.submission_id = s.id
    CROSS JOIN LATERAL (SELECT {VALUES}) q
    CROSS JOIN LATERAL (SELECT jsonb_build_object(
        %(how)s::text, q.how, %(change)s::text, q.change, %(often)s::text, q.often, %(seen)s::text, q.seen,
        %(why)s::text, q.why, %(distance)s::text, q.distance, %(age)s::text, q.age,
        %(photos)s::text, jsonb_build_object('type', 'file_upload', 'value', f.photos),
        %(extra)s::text, jsonb_build_object('type', 'file_upload', 'value', f.extra)) AS answers) raw
    CROSS JOIN LATERAL (SELECT raw.answers
        - CASE WHEN f.photos IS NULL THEN %(photos)s::text ELSE '' END
        - CASE WHEN f.extra IS NULL THEN %(extra)s::text ELSE '' END AS answers) v
    ORDER BY s.n
"""
BLOBS = f"""
    WITH b AS (
        INSERT INTO blobs (id, size_bytes, crc32, sha256, content_type, created_at)
        SELECT blob_id, size_bytes, crc32, sha256, 'image/jpeg', at FROM seed_files
    ), t AS (
        INSERT INTO thumbnails (blob_id, state, width, height, attempts)
        SELECT blob_id, 'made', 640, 480, 1 FROM seed_files
    )
    INSERT INTO thumbnail_files (blob_id, side, width, height, size_bytes, sha256)
    SELECT blob_id, {SMALL}, {SMALL}, {SMALL * 3 // 4}, small_bytes, sha256 FROM seed_files
"""
UPLOADS = """
    INSERT INTO uploads (id, submission_id, instruction_id, file_name, length_bytes, offset_bytes, crc32,
        content_type, blob_id, created_at, updated_at, completed_at, position, path)
    SELECT upload_id, submission_id, instruction_id, file_name, size_bytes, size_bytes, crc32, 'image/jpeg', blob_id,
        at, at, at, position, 'files/' || submission_id || '_' || file_name
    FROM seed_files
"""
ANSWERS = """
    INSERT INTO answers (submission_id, instruction_id, value, created_at, updated_at)
    SELECT s.id, a.id::uuid, (a.value - 'type')::json, s.started_at + interval '1 second' * a.place,
           s.started_at + interval '1 second' * a.place
    FROM submissions s, jsonb_each(s.answers) WITH ORDINALITY AS a (id, value, place)
    WHERE s.collection_id = %(collection)s AND a.value->>'type' <> 'file_upload'
    UNION ALL
    SELECT s.id, %(how)s::uuid, '{"value": "I began"}', s.completed_at - interval '1 minute',
           s.completed_at - interval '1 minute'
    FROM seed s WHERE s.is_left AND s.fate < 0.8
    UNION ALL
    SELECT s.id, %(often)s::uuid, '{"value": ["response1"]}', s.completed_at, s.completed_at
    FROM seed s WHERE s.is_left AND s.fate < 0.5
"""
NOTES = """
    INSERT INTO notes (id, submission_id, text, created_by)
    SELECT gen_random_uuid(), s.id, 'Look at the second photo again.', (SELECT id FROM researchers LIMIT 1)
    FROM seed s WHERE s.n %% 50 = 0
"""
