"""The migration runner on a real server: concurrent starts, every way to write the URL, what it refuses."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote
from uuid import UUID, uuid4

import psycopg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from psycopg.conninfo import conninfo_to_dict

from fieldpack.errors import ConfigError, FieldpackError
from fieldpack.server.db import migrate as runner
from fieldpack.server.db.embedded.server import EmbeddedPostgres, open_embedded
from fieldpack.server.db.migrate import migrate, normalise_url
from fieldpack.server.db.pool import Database
from fieldpack.server.exports.line_queries import write_line_end
from fieldpack.server.submissions.queries import list_of_participant

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the embedded PostgreSQL is not for Windows")

MIGRATIONS = Path(runner.__file__).with_name("migrations")

FIRST = '''
from fieldpack.server.db.migrate import run_sql
revision = "t1"
down_revision = None
SQL = """
CREATE TABLE things (id integer PRIMARY KEY, label text CHECK (label NOT LIKE '%;%'));
CREATE FUNCTION greet(who text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN format('hello %s, 100%%', who);
END $$;
INSERT INTO things VALUES (1, 'a'), (2, 'b');
SELECT pg_sleep(0.3);
"""
def upgrade(): run_sql(SQL)
'''

SECOND = """
from alembic import op
revision = "t2"
down_revision = "t1"
def upgrade(): op.execute("ALTER TABLE things ADD COLUMN more text DEFAULT '5%'")
"""

BROKEN = """
from fieldpack.server.db.migrate import run_sql
revision = "t3"
down_revision = "t2"
def upgrade(): run_sql("CREATE TABLE half (); SELECT secret FROM nowhere")
"""


SET_UP = """
WITH w AS (INSERT INTO workspaces (id, title) VALUES (gen_random_uuid(), 'W') RETURNING id),
r AS (INSERT INTO researchers (id, email) VALUES (gen_random_uuid(), 'r@example.org') RETURNING id),
c AS (INSERT INTO collections (id, workspace_id, name, created_by)
      SELECT c.id, w.id, 'C', r.id FROM w, r, (VALUES (%(collection)s::uuid), (%(quiet)s)) c (id) RETURNING id),
v AS (INSERT INTO collection_versions (collection_id, version, body) SELECT id, 1, '{}' FROM c),
n AS (INSERT INTO collection_changes (collection_id, counter) SELECT id, 7 FROM c)
INSERT INTO studies (id, workspace_id, collection_id, created_by, name, total_available_places)
SELECT %(study)s, w.id, %(collection)s, r.id, 'S', 9 FROM w, r
"""


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    folder = Path(tempfile.mkdtemp())
    with open_embedded(folder, durable=False) as handle:
        yield handle
    assert handle.wait_stopped()
    shutil.rmtree(folder)


@pytest.fixture
def url(server: EmbeddedPostgres) -> Iterator[str]:
    """A URL of a new, empty database."""
    name = f"test_{time.monotonic_ns()}"
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield server.url.replace("/fieldpack?", f"/{name}?")
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    """A folder of migrations with the real env.py and two scripts, at a path that Alembic could trip over."""
    folder = tmp_path / "100% ünusual"
    (folder / "versions").mkdir(parents=True)
    shutil.copy(MIGRATIONS / "env.py", folder)
    shutil.copy(MIGRATIONS / "script.py.mako", folder)
    (folder / "versions" / "t1_first.py").write_text(FIRST)
    (folder / "versions" / "t2_second.py").write_text(SECOND)
    return folder


def migrate_to(revision: str, url: str, scripts: Path) -> None:
    """Bring a database to an earlier version of the schema, and no further."""
    for script in (scripts / "versions").glob("*.py"):
        script.unlink()
    for path in (MIGRATIONS / "versions").glob("*.py"):
        if path.name[:4] <= revision:
            shutil.copy(path, scripts / "versions")
    migrate(url, migrations=scripts)


def read_version(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        return [row[0] for row in connection.execute("SELECT version_num FROM alembic_version").fetchall()]


def test_files_are_named_by_their_place_in_the_chain() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    chain = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    assert [path.name.partition("_")[0] for path in sorted((MIGRATIONS / "versions").glob("*.py"))] == chain[
        ::-1
    ]


def test_to_the_newest_and_again(url: str, scripts: Path) -> None:
    migrate(url, migrations=scripts)
    assert read_version(url) == ["t2"]
    migrate(url, migrations=scripts)
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT greet('you'), more FROM things").fetchall() == [
            ("hello you, 100%", "5%"),
            ("hello you, 100%", "5%"),
        ]


def test_step_by_step(url: str, scripts: Path) -> None:
    later = scripts / "versions" / "t2_second.py"
    later.rename(scripts / "later")
    migrate(url, migrations=scripts)
    assert read_version(url) == ["t1"]
    (scripts / "later").rename(later)
    migrate(url, migrations=scripts)
    assert read_version(url) == ["t2"]


def test_the_schema_of_this_code(url: str) -> None:
    migrate(url)
    with psycopg.connect(url) as connection:
        tables = {row[0] for row in connection.execute("SELECT tablename FROM pg_tables").fetchall()}
    assert {"collections", "exports", "procrastinate_jobs"} <= tables
    migrate(url)


def test_lines_of_an_older_database_end_as_those_written_now(url: str, scripts: Path) -> None:
    migrate_to("0001", url, scripts)
    with psycopg.connect(url) as connection:
        connection.execute("SET session_replication_role = replica")  # no study, no collection: only this row
        connection.execute(
            """
            INSERT INTO submissions (id, study_id, collection_id, collection_version, participant_id, ordinal,
                response, started_at, completed_at, responses, activated_counter)
            SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 1, 'p', n, response,
                '2026-03-29 01:30:00+01', '2026-03-29 03:30:00.12+02', '{"a":"\\n"}', 1
            FROM unnest(ARRAY['active', 'no_submission']) WITH ORDINALITY AS s (response, n)
            """
        )
        connection.execute("UPDATE submissions SET responses = NULL WHERE response <> 'active'")
    migrate(url)
    expected = (
        '"started_at":"2026-03-29T00:30:00.000000Z","completed_at":"2026-03-29T01:30:00.120000Z",'
        '"responses":{"a":"\\n"}}\n'
    )
    written = write_line_end("started_at", "completed_at", "%s::text")
    with psycopg.connect(url) as connection:
        connection.execute("SET TIME ZONE 'Asia/Kolkata'")
        rows = connection.execute(
            f"SELECT line_end, {written} FROM submissions ORDER BY ordinal", ['{"a":"\\n"}']
        )
        assert rows.fetchall() == [(expected, expected), (None, expected)]


def test_ids_of_an_older_database_become_what_can_be_seen_of_them(
    url: str, scripts: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Two that become one stay two submissions, of which the one to go on with is found first."""
    migrate_to("0002", url, scripts)
    study, collection, quiet = (str(uuid4()) for _ in range(3))
    stored = [  # id, session, ordinal, response
        ("plain", "s", 1, "active"),
        ("twin", "s", 1, "active"),
        ("\u200btwin", "s", 1, "in_progress"),
        ("twin\n", "t", 1, "in_progress"),
        ("twin\ufeff", "s", 1, "in_progress"),
        (" alone ", None, 1, "active"),
        ("\u3164", None, 1, "in_progress"),
        ("Jose\u0301", "s", 1, "in_progress"),
        (None, None, 1, "deleted"),
    ]
    with psycopg.connect(url) as connection:
        connection.execute(SET_UP, {"study": study, "collection": collection, "quiet": quiet})
        for minute, (participant, session, ordinal, response) in enumerate(stored):
            connection.execute(
                """
                INSERT INTO submissions (id, study_id, collection_id, collection_version, participant_id, session_id,
                    ordinal, response, started_at, completed_at, line_end, activated_counter, erased_at)
                VALUES (gen_random_uuid(), %(study)s, %(collection)s, 1, %(participant)s, %(session)s, %(ordinal)s,
                    %(response)s::text, timestamptz '2026-03-01' + make_interval(mins => %(minute)s), now(),
                    CASE WHEN %(response)s = 'active' THEN '' END, 1,
                    CASE WHEN %(response)s = 'deleted' THEN now() END)
                """,
                {
                    "study": study, "collection": collection, "participant": participant, "session": session,
                    "ordinal": ordinal, "response": response, "minute": minute,
                },
            )  # fmt: skip
    migrate(url)
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT participant_id, session_id, response, merged FROM submissions ORDER BY started_at"
        ).fetchall()
        assert rows == [
            ("plain", "s", "active", False),
            ("twin", "s", "active", True),
            ("twin", "s", "in_progress", True),
            ("twin", "t", "in_progress", True),
            ("twin", "s", "in_progress", False),
            ("alone", None, "active", False),
            ("\u3164", None, "in_progress", False),
            ("Jos\u00e9", "s", "in_progress", False),
            (None, None, "deleted", False),
        ]
        counters: dict[str, int] = dict(
            connection.execute("SELECT collection_id::text, counter FROM collection_changes").fetchall()
        )
        assert counters == {collection: 8, quiet: 7}
    log = capfd.readouterr().out
    assert log.count("participants.merged") == 1
    assert log.count("participants.invisible") == 1
    assert "submissions=5" in log
    assert "twin" not in log

    async def find() -> list[str]:
        database = Database(url)
        await database.open()
        try:
            async with database.transaction() as opened:
                found = await list_of_participant(opened, UUID(study), "twin")
            return [f"{row.started_at:%M} {row.session_id}" for row in found]
        finally:
            await database.close()

    assert asyncio.run(find()) == ["04 s", "03 t", "02 s", "01 s"]


@pytest.mark.parametrize("upgraded", [True, False])
def test_the_one_key_of_before_stays_good_and_nothing_else_has_it(
    url: str, scripts: Path, upgraded: bool
) -> None:
    migrate_to("0002", url, scripts)
    if upgraded:
        with psycopg.connect(url) as connection:
            connection.execute("INSERT INTO settings VALUES ('link_key', %s)", [b"k" * 32])
    migrate(url)
    with psycopg.connect(url) as connection:
        keys = connection.execute(
            """
            SELECT purpose, id, secret, retired_at IS NULL, expires_at - now() > interval '11 hours'
            FROM signing_keys ORDER BY purpose
            """
        ).fetchall()
        settings = connection.execute("SELECT name FROM settings").fetchall()
    first = ("first", b"k" * 32)
    assert keys == ([("links", *first, True, None), ("sessions", *first, False, True)] if upgraded else [])
    assert settings == ([("upgraded_at",)] if upgraded else [])


def test_six_processes_at_once(url: str, scripts: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from fieldpack.server.db.migrate import migrate\n"
        "migrate(sys.argv[1], migrations=Path(sys.argv[2]))\n"
    )
    command = [sys.executable, "-W", "error", "-c", code, url, str(scripts)]
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(6)
    ]
    ends = [(process.communicate(), process.returncode) for process in running]
    assert ends == [(("", ""), 0)] * 6, "silent, and each finds it done"
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM things").fetchone() == (2,)


def test_a_newer_database_is_refused(url: str, scripts: Path) -> None:
    migrate(url, migrations=scripts)
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 't9'")
    with pytest.raises(ConfigError, match=r"of a newer fieldpack \(schema t9\) than this one \(schema t2\)"):
        migrate(url, migrations=scripts)
    assert read_version(url) == ["t9"]


def test_a_failing_step_is_undone_and_says_why(url: str, scripts: Path) -> None:
    (scripts / "versions" / "t3_broken.py").write_text(BROKEN)
    with pytest.raises(FieldpackError) as caught:
        migrate(url, migrations=scripts)
    assert 'relation "nowhere" does not exist' in str(caught.value)
    assert "\n" not in str(caught.value)
    assert read_version(url) == ["t2"]
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT to_regclass('half')").fetchone() == (None,)


def test_waits_for_another_but_not_for_ever(url: str, scripts: Path) -> None:
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [runner.LOCK_KEY])
        with pytest.raises(
            FieldpackError, match="Another process has been migrating this database for over 1 s"
        ):
            migrate(url, migrations=scripts, timeout=1)
    migrate(url, migrations=scripts)
    # Once it is at the newest version, nobody waits for anything.
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [runner.LOCK_KEY])
        migrate(url, migrations=scripts, timeout=0)


def test_every_way_to_write_the_url(url: str, scripts: Path) -> None:
    parts = conninfo_to_dict(url)
    host, name = str(parts["host"]), str(parts["dbname"])
    forms = [
        url,
        url.replace("postgresql://", "postgres://"),
        url.replace("postgresql://", "postgresql+psycopg://"),
        f"postgresql://fieldpack@{quote(host, safe='')}:5432/{name}",
        f"postgresql:///{name}?host={host}&user=fieldpack&port=5432&application_name=a%20b",
        f"host='{host}' user=fieldpack dbname={name} port=5432 password='p w%@:/'",
        f"  {url}\n",
    ]
    for form in forms:
        migrate(form, migrations=scripts)
        assert conninfo_to_dict(normalise_url(form))["dbname"] == name
        assert read_version(normalise_url(form)) == ["t2"]


@pytest.mark.parametrize(
    "wrong",
    ["mysql://user:geheim@host/db", "postgresql://user:geheim@[host/db", "geheim", "http://geheim", ""],
)
def test_what_is_no_url_is_refused_without_repeating_it(wrong: str) -> None:
    with pytest.raises(ConfigError, match="is not one of PostgreSQL") as caught:
        normalise_url(wrong)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    ["postgresql://someone:geheim@127.0.0.1:9/x", "postgresql://someone:geheim@/x?host=/nowhere"],
)
def test_a_server_that_is_not_there(address: str) -> None:
    with pytest.raises(
        ConfigError, match=r"The database can't be reached: .+ Check FIELDPACK_DATABASE_URL"
    ) as caught:
        migrate(address)
    assert "geheim" not in str(caught.value)


def test_the_logging_of_the_program_is_left_alone(
    url: str, scripts: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    logger = logging.getLogger("fieldpack.test")
    handlers, level = list(logging.root.handlers), logging.root.level
    migrate(url, migrations=scripts)
    assert (logging.root.handlers, logging.root.level) == (handlers, level)
    assert not logger.disabled
    assert capfd.readouterr() == ("", "")


def test_studies_under_way_stay_open_by_their_links(url: str, scripts: Path) -> None:
    """What a study said of secured links meant nothing before: participants have no others."""
    migrate_to("0007", url, scripts)
    study, collection, quiet = (str(uuid4()) for _ in range(3))
    others = [
        ("active and secured", "ACTIVE", '{"is_external_study_url_secure": true, "completion_codes": []}'),
        ("draft and secured", "UNPUBLISHED", '{"is_external_study_url_secure": true}'),
        ("draft", "UNPUBLISHED", '{"is_external_study_url_secure": false}'),
        ("a word of their own", "ACTIVE", '{"resume": "signed"}'),
    ]
    with psycopg.connect(url) as connection:
        connection.execute(SET_UP, {"study": study, "collection": collection, "quiet": quiet})
        for name, status, fields in others:
            connection.execute(
                """
                INSERT INTO studies (id, workspace_id, collection_id, created_by, status, name,
                                     total_available_places, fields)
                SELECT gen_random_uuid(), workspace_id, collection_id, created_by, %s, %s, 1, %s::jsonb
                FROM studies WHERE id = %s
                """,
                [status, name, fields, study],
            )
    migrate(url)
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT name, resume, fields ? 'resume' FROM studies WHERE id <> %s", [study]
        ).fetchall()
    assert {name: resume for name, resume, _ in rows} == {
        "active and secured": "link",
        "draft and secured": "signed",
        "draft": "link",
        "a word of their own": "link",
    }
    assert not any(kept for _, _, kept in rows)


def test_sessions_of_an_older_database_say_how_they_began(url: str, scripts: Path) -> None:
    """They go on, and there is no password or second factor that anybody would be asked for."""
    migrate_to("0017", url, scripts)
    researcher, token, by_token, by_link = (str(uuid4()) for _ in range(4))
    with psycopg.connect(url) as connection:
        connection.execute("INSERT INTO researchers (id, email) VALUES (%s, 'r@example.org')", [researcher])
        connection.execute(
            "INSERT INTO tokens (id, researcher_id, name, token_sha256) VALUES (%s, %s, 't', 'x')",
            [token, researcher],
        )
        for session, of in ((by_token, token), (by_link, None)):
            connection.execute(
                "INSERT INTO researcher_sessions (id, token_sha256, researcher_id, token_id, expires_at)"
                " VALUES (%s, %s, %s, %s, now() + interval '1 day')",
                [session, session.encode(), researcher, of],
            )
    migrate(url)
    with psycopg.connect(url, autocommit=True) as connection:
        rows = connection.execute(
            "SELECT id::text, method, address, agent, ended_at IS NULL, expires_at > now() FROM researcher_sessions"
        ).fetchall()
        assert sorted(rows) == sorted(
            [(by_token, "token", None, None, True, True), (by_link, "link", None, None, True, True)]
        )
        for table in ("passwords", "second_factors", "recovery_codes", "sign_in_steps", "known_devices"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
        with pytest.raises(psycopg.errors.NotNullViolation, match="method"):
            connection.execute(
                "INSERT INTO researcher_sessions (id, token_sha256, researcher_id, expires_at)"
                " VALUES (gen_random_uuid(), 'y', %s, now())",
                [researcher],
            )
        connection.execute("DELETE FROM researchers WHERE id = %s", [researcher])
        assert connection.execute("SELECT count(*) FROM researcher_sessions").fetchone() == (0,)


INVITE = """
INSERT INTO invitations (id, code_sha256, workspace_id, collection_id, role, created_by, expires_at)
SELECT gen_random_uuid(), %(code)s, workspace_id, %(collection)s, 'viewer', created_by, now() FROM studies
WHERE id = %(study)s
"""


def test_members_of_an_older_database_can_invite(url: str, scripts: Path) -> None:
    """Invitations are of the workspaces, collections and researchers that are there, and go with each."""
    migrate_to("0020", url, scripts)
    study, collection, quiet = (str(uuid4()) for _ in range(3))
    with psycopg.connect(url) as connection:
        connection.execute(SET_UP, {"study": study, "collection": collection, "quiet": quiet})
        connection.execute(
            "INSERT INTO memberships (workspace_id, researcher_id, role)"
            " SELECT workspace_id, created_by, 'owner' FROM studies"
        )
    migrate(url)
    with psycopg.connect(url, autocommit=True) as connection:
        assert connection.execute("SELECT role FROM memberships").fetchall() == [("owner",)]
        assert connection.execute("SELECT count(*) FROM invitations").fetchone() == (0,)
        for code, where in ((b"whole", None), (b"one", quiet)):
            connection.execute(INVITE, {"code": code, "collection": where, "study": study})
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute(INVITE, {"code": b"one", "collection": None, "study": study})
        with pytest.raises(psycopg.errors.CheckViolation):
            connection.execute("UPDATE invitations SET role = 'WORKSPACE_ADMIN'")
        connection.execute("DELETE FROM collections WHERE id = %s", [quiet])
        assert connection.execute("SELECT code_sha256 FROM invitations").fetchall() == [(b"whole",)]


def test_submissions_of_an_older_database_are_counted_by_what_became_of_them(url: str, scripts: Path) -> None:
    migrate_to("0027", url, scripts)
    study, collection, quiet = (str(uuid4()) for _ in range(3))
    there = [
        ("in_progress", "ACTIVE"),
        ("active", "AWAITING REVIEW"),
        ("active", "APPROVED"),
        ("no_submission", "RETURNED"),
        ("no_submission", "TIMED-OUT"),
        ("deleted", "APPROVED"),
    ]
    insert = """
        INSERT INTO submissions (id, study_id, collection_id, collection_version, participant_id, session_id,
            ordinal, status, response, started_at, completed_at, line_end, activated_counter, erased_at, file_count)
        VALUES (gen_random_uuid(), %(study)s, %(collection)s, 1,
            CASE WHEN %(response)s <> 'deleted' THEN %(n)s::text END, CASE WHEN %(response)s <> 'deleted' THEN '' END,
            1, %(status)s, %(response)s::text,
            now(), now(), CASE WHEN %(response)s = 'active' THEN '' END, 1,
            CASE WHEN %(response)s = 'deleted' THEN now() END, 3)
    """
    count = """
        SELECT sum(started), sum(under_way), sum(responses), sum(review), sum(approved), sum(rejected), sum(returned),
               sum(timed_out), sum(erased), sum(files)
        FROM (SELECT * FROM collection_counts UNION ALL
              SELECT collection_id, responses, review, started, under_way, approved, rejected, returned, timed_out,
                     erased, files FROM collection_differences) k
    """
    values = {"study": study, "collection": collection}
    with psycopg.connect(url) as connection:
        connection.execute(SET_UP, values | {"quiet": quiet})
        for number, (response, status) in enumerate(there):
            connection.execute(insert, values | {"n": number, "status": status, "response": response})
    migrate(url)
    with psycopg.connect(url) as connection:
        assert connection.execute(count).fetchone() == (5, 1, 2, 1, 1, 0, 1, 1, 1, 6)
        connection.execute(insert, values | {"n": 9, "status": "REJECTED", "response": "active"})
        connection.execute("UPDATE submissions SET test = true WHERE status = 'RETURNED'")
        connection.execute("UPDATE submissions SET file_count = 1 WHERE status = 'APPROVED'")
        assert connection.execute(count).fetchone() == (5, 1, 3, 1, 1, 1, 0, 1, 1, 7)


def test_accounts_of_an_older_database_take_passkeys_and_identities(url: str, scripts: Path) -> None:
    """Who was invited before stays a member; what a provider or a passkey says goes with the account."""
    migrate_to("0021", url, scripts)
    study, collection, quiet, guest = (str(uuid4()) for _ in range(4))
    with psycopg.connect(url) as connection:
        connection.execute(SET_UP, {"study": study, "collection": collection, "quiet": quiet})
        connection.execute(INVITE, {"code": b"code", "collection": None, "study": study})
        connection.execute("INSERT INTO researchers (id, email) VALUES (%s, 'guest@example.org')", [guest])
        connection.execute("UPDATE invitations SET accepted_at = now(), accepted_by = %s", [guest])
    migrate(url)
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT accepted_by::text FROM invitations").fetchall() == [(guest,)]
        for table in ("passkeys", "external_identities", "spent_challenges"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
        connection.execute(
            "INSERT INTO external_identities (issuer, subject, researcher_id, workspace_id)"
            " SELECT 'https://id.example.org', 'g', %s, workspace_id FROM studies",
            [guest],
        )
        connection.execute(
            "INSERT INTO passkeys (id, researcher_id, name, public_key, sign_count) VALUES ('i', %s, 'n', 'k', 0)",
            [guest],
        )
        connection.execute("DELETE FROM researchers WHERE id = %s", [guest])
        for table in ("passkeys", "external_identities"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
        assert connection.execute("SELECT accepted_at IS NULL, accepted_by FROM invitations").fetchall() == [
            (False, None)
        ]


def test_fractions_of_rewards_are_rounded_up_and_named(
    url: str, scripts: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    migrate_to("0023", url, scripts)
    study, collection, quiet = (str(uuid4()) for _ in range(3))
    rewards = {"whole": "100", "a fraction": "100.2", "written as one": "7.0", "text": '"1.5"', "none": None}
    with psycopg.connect(url) as connection:
        connection.execute(SET_UP, {"study": study, "collection": collection, "quiet": quiet})
        for name, reward in rewards.items():
            fields = "{}" if reward is None else f'{{"reward": {reward}, "kept": 1.5}}'
            connection.execute(
                """
                INSERT INTO studies (id, workspace_id, collection_id, created_by, name, total_available_places, fields)
                SELECT gen_random_uuid(), workspace_id, collection_id, created_by, %s, 1, %s::jsonb
                FROM studies WHERE id = %s
                """,
                [name, fields, study],
            )
    migrate(url)
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT name, fields->>'reward', fields->>'kept' FROM studies WHERE id <> %s ORDER BY name",
            [study],
        ).fetchall()
    assert rows == [
        ("a fraction", "101", "1.5"),
        ("none", None, None),
        ("text", "1.5", "1.5"),
        ("whole", "100", "1.5"),
        ("written as one", "7", "1.5"),
    ]
    log = capfd.readouterr().out
    assert log.count("study.reward_rounded") == 1
    assert "stored=100.2" in log


def test_what_was_erased_before_has_a_proof_without_counts(url: str, scripts: Path) -> None:
    """And who had started the installation looks after it."""
    migrate_to("0027", url, scripts)
    study, collection, quiet = (str(uuid4()) for _ in range(3))
    with psycopg.connect(url) as connection:
        connection.execute(SET_UP, {"study": study, "collection": collection, "quiet": quiet})
        connection.execute(
            "INSERT INTO researchers (id, email, created_at)"
            " VALUES (gen_random_uuid(), 'later', now() + interval '1 s')"
        )
        for response in ("deleted", "in_progress"):
            connection.execute(
                """
                INSERT INTO submissions (id, study_id, collection_id, collection_version, participant_id, ordinal,
                    response, started_at, erased_at)
                VALUES (gen_random_uuid(), %(study)s, %(collection)s, 1,
                    CASE WHEN %(response)s <> 'deleted' THEN 'p' END, 1, %(response)s::text, now(),
                    CASE WHEN %(response)s = 'deleted' THEN now() - interval '1 day' END)
                """,
                {"study": study, "collection": collection, "response": response},
            )
    migrate(url)
    with psycopg.connect(url) as connection:
        proofs = connection.execute(
            "SELECT e.collection_id::text, e.answers, s.response, e.erased_at = s.erased_at"
            " FROM erasures e JOIN submissions s ON s.id = e.submission_id"
        ).fetchall()
        assert proofs == [(collection, None, "deleted", True)]
        operators = connection.execute(
            "SELECT r.email FROM operators o JOIN researchers r ON r.id = o.researcher_id"
        ).fetchall()
        assert operators == [("r@example.org",)]


def test_what_changes_a_submission_drops_what_was_decided_on_it(url: str, scripts: Path) -> None:
    migrate_to("0027", url, scripts)
    study, collection, quiet, submission, decision = (str(uuid4()) for _ in range(5))
    with psycopg.connect(url) as connection:
        connection.execute(SET_UP, {"study": study, "collection": collection, "quiet": quiet})
        connection.execute(
            """
            INSERT INTO submissions (id, study_id, collection_id, collection_version, participant_id, ordinal, status)
            VALUES (%s, %s, %s, 1, 'p', 1, 'ACTIVE')
            """,
            [submission, study, collection],
        )
    migrate(url)
    dropped = "SELECT dropped FROM decided_submissions"
    with psycopg.connect(url) as connection:
        connection.execute(
            """
            INSERT INTO decisions (id, collection_id, step, made_by, is_session, count, due_at)
            SELECT %s, %s, 'APPROVE', id, false, 1, now() FROM researchers LIMIT 1
            """,
            [decision, collection],
        )
        connection.execute(
            "INSERT INTO decided_submissions (decision_id, submission_id) VALUES (%s, %s)",
            [decision, submission],
        )
        connection.execute("UPDATE submissions SET upload_bytes = 5")
        assert connection.execute(dropped).fetchall() == [(False,)]
        connection.execute("UPDATE submissions SET status = 'TIMED-OUT'")
        assert connection.execute(dropped).fetchall() == [(True,)]


def test_addresses_of_an_older_database_count_as_proven(url: str, scripts: Path) -> None:
    migrate_to("0041", url, scripts)
    with psycopg.connect(url) as connection:
        connection.execute("INSERT INTO researchers (id, email) VALUES (gen_random_uuid(), 'a@example.org')")
    migrate(url)
    with psycopg.connect(url) as connection:
        # a process of an earlier version makes another, as long as it runs
        connection.execute("INSERT INTO researchers (id, email) VALUES (gen_random_uuid(), 'b@example.org')")
        proven = connection.execute("SELECT address_proven_at IS NOT NULL FROM researchers").fetchall()
    assert proven == [(True,), (True,)]


def test_answers_of_an_older_database_are_kept_by_question(url: str, scripts: Path) -> None:
    migrate_to("0027", url, scripts)
    submission, text, choice, upload = (uuid4() for _ in range(4))
    answers = {
        str(text): {"type": "free_text", "value": "ÄRGER 1"},
        str(choice): {
            "type": "multiple_choice_with_free_text",
            "value": [{"value": 2.50, "explanation": "So"}],
        },
        str(upload): {"type": "file_upload", "value": [{"path": "files/a", "file_name": "Photo.JPG"}]},
    }
    line_end = write_line_end("started_at", "'2026-03-29 01:30:00+00'::timestamptz", "%(answers)s::text")
    with psycopg.connect(url) as connection:
        connection.execute("SET session_replication_role = replica")  # no study, no collection: only this row
        connection.execute(
            f"""
            INSERT INTO submissions (id, study_id, collection_id, collection_version, participant_id, ordinal, response,
                                     started_at, completed_at, line_end, activated_counter)
            SELECT %(id)s, gen_random_uuid(), gen_random_uuid(), 1, 'p', 1, 'active', started_at,
                   '2026-03-29 01:30:00+00', {line_end}, 1
            FROM (VALUES ('2026-03-29 01:00:00+00'::timestamptz)) AS given (started_at)
            """,
            {"id": submission, "answers": json.dumps(answers)},
        )
    migrate(url)
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT instruction_id, text, chosen, number, is_whole, submission_id FROM answer_values"
        ).fetchall()
    assert {row[0]: row[1:5] for row in rows} == {
        text: ("ärger 1", '\n"ÄRGER 1"\n', None, True),
        choice: ("2.5: so", "\n2.5\n", None, True),
        upload: ("photo.jpg", None, None, True),
    }
    assert {row[5] for row in rows} == {submission}
