"""Sessions, the keys behind them and behind links, and links that sign in once: how each of them ends."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import pty
import re
import secrets
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest

from tests.installation import FIELDPACK, Installation, environment, free_port, installed
from tests.integration.rows import connected
from tests.refusals import refused
from tests.scenario import Scenario, expect

COOKIE = "fieldpack_researcher"


@pytest.fixture(scope="module")
def own() -> Iterator[Installation]:
    """An installation of two web processes, whose keys may go."""
    with installed("--workers", "2", FIELDPACK_HSTS_SECONDS="86400") as installation:
        yield installation


def visit(server: Installation, cookie: str, path: str = "/researcher") -> int:
    """The status of a page, asked for several times, so that every process has its say; all agree."""
    found = {
        httpx.get(
            f"{server.url}{path}", headers={"Cookie": f"{COOKIE}={cookie}"}, trust_env=False
        ).status_code
        for _ in range(6)
    }
    assert len(found) == 1
    return found.pop()


def sign_in(server: Installation, token: str | None = None) -> str:
    """The cookie of a new session."""
    answer = httpx.post(
        f"{server.url}/sign-in",
        data={"token": token or server.token},
        headers={"Origin": server.url},
        trust_env=False,
    )
    assert answer.status_code == 303
    return answer.cookies[COOKIE]


def sign_out(server: Installation, cookie: str) -> httpx.Response:
    headers = {"Origin": server.url, "Cookie": f"{COOKIE}={cookie}"}
    return httpx.post(f"{server.url}/sign-out", headers=headers, trust_env=False)


def sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def test_signing_out_ends_the_session_wherever_its_cookie_is(server: Installation) -> None:
    mine, other = sign_in(server), sign_in(server)
    assert mine != other
    assert visit(server, mine) == 200
    assert sign_out(server, mine).status_code == 303
    assert visit(server, mine) == 303
    assert visit(server, other) == 200
    assert sign_out(server, "nonsense").status_code == 303
    with connected(server) as database:
        stored = str(database.execute("SELECT s::text FROM researcher_sessions s").fetchall())
    assert mine.partition(".")[0] not in stored


def test_an_expired_session_is_over(server: Installation) -> None:
    cookie = sign_in(server)
    with connected(server) as database:
        changed = database.execute(
            "UPDATE researcher_sessions SET expires_at = now() - interval '1 second' WHERE token_sha256 = %s",
            [sha256(cookie.partition(".")[0])],
        )
        assert changed.rowcount == 1
    assert visit(server, cookie) == 303


def test_a_session_lasts_half_a_day(server: Installation) -> None:
    cookie = sign_in(server)
    with connected(server) as database:
        row = database.execute(
            "SELECT extract(epoch FROM expires_at - created_at) FROM researcher_sessions WHERE token_sha256 = %s",
            [sha256(cookie.partition(".")[0])],
        ).fetchone()
    assert row == (12 * 3600,)


def test_a_session_ends_with_its_token_and_only_that(server: Installation) -> None:
    made = json.loads(server.run("token", "create", "--name", "short", "--json").stdout)
    by_token, other = sign_in(server, made["token"]), sign_in(server)
    server.run("token", "revoke", made["token_id"])
    assert visit(server, by_token) == 303
    assert visit(server, other) == 200


def test_a_cookie_that_was_changed_anywhere_is_refused(server: Installation) -> None:
    cookie = sign_in(server)
    token, key, signature = cookie.split(".")
    for wrong in (
        f"{token[:-1]}{'A' if token[-1] != 'A' else 'B'}.{key}.{signature}",
        f"{token}.{key}.{signature[:-1]}{'0' if signature[-1] != '0' else '1'}",
        f"{token}.first.{signature}",
        f"{token}.{key}",
        f"{token}.{key}.",
        f"{secrets.token_urlsafe(32)}.{key}.{signature}",
        cookie + "x",
        cookie.upper(),
        "%00",
    ):
        assert visit(server, wrong) == 303, wrong
    assert visit(server, cookie) == 200


# from before sessions were rows


def first_key(server: Installation) -> bytes:
    """The one key that an installation from before had, as the upgrade leaves it."""
    with connected(server) as database:
        secret = secrets.token_bytes(32)
        database.execute("DELETE FROM signing_keys WHERE id = 'first'")
        database.execute(
            """
            INSERT INTO signing_keys (purpose, id, secret, retired_at, expires_at)
            SELECT purpose, 'first', %s, now(), now() + interval '12 hours'
            FROM unnest(ARRAY['links', 'sessions']) AS purpose
            """,
            [secret],
        )
    return secret


def old_cookie(server: Installation, secret: bytes, seconds: int, *, revoked: bool = False) -> str:
    """A cookie as it was made then, of an API token of its own."""
    token_id = uuid4()
    with connected(server) as database:
        database.execute(
            """
            INSERT INTO tokens (id, researcher_id, name, token_sha256, revoked_at)
            SELECT %s, id, 'old', %s, CASE WHEN %s THEN now() END FROM researchers LIMIT 1
            """,
            [token_id, secrets.token_bytes(32), revoked],
        )
    content = f"{token_id}.{int(time.time()) + seconds}"
    return f"{content}.{sign(secret, f'researcher:{content}')}"


def sign(secret: bytes, text: str) -> str:
    return hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()


def test_a_cookie_of_before_is_good_until_its_end_and_no_longer(own: Installation) -> None:
    secret = first_key(own)
    good, expired = old_cookie(own, secret, 3600), old_cookie(own, secret, -1)
    of_revoked = old_cookie(own, secret, 3600, revoked=True)
    forged = old_cookie(own, b"x" * 32, 3600)
    assert visit(own, good) == 200
    for wrong in (expired, of_revoked, forged):
        assert visit(own, wrong) == 303
    longer = re.sub(r"\.(\d+)\.", lambda found: f".{int(found[1]) + 1}.", good)
    assert visit(own, longer) == 303
    assert sign_out(own, good).status_code == 303
    assert visit(own, good) == 303
    another = old_cookie(own, secret, 3600)
    assert visit(own, another) == 200
    with connected(own) as database:
        database.execute(
            "UPDATE signing_keys SET expires_at = now() WHERE purpose = 'sessions' AND id = 'first'"
        )
    assert visit(own, another) == 303


def test_a_link_of_before_is_good_until_its_end(own: Installation) -> None:
    secret = first_key(own)
    with own.client() as api:
        scenario = Scenario.create(api)
        scenario.take_part("ada")
        parts = urlsplit(scenario.export()["url"])
        later, earlier = (int((time.time() + seconds) * 1_000_000) for seconds in (3600, -1))
        for expires, status in ((later, 200), (earlier, 403)):
            signed = f"{parts.path}?expires={expires}"
            link = f"{own.url}{signed}&signature={sign(secret, signed)}"
            assert httpx.get(link, trust_env=False).status_code == status
            refused(httpx.get(link.replace("&sig", "&key=first&sig"), trust_env=False), 403)


# keys


def links(scenario: Scenario) -> Any:
    return expect(scenario.api.get(f"{scenario.export_path}/{scenario.export()['export_id']}"), 200)["url"]


def statuses(server: Installation, url: str) -> set[int]:
    return {httpx.head(url, trust_env=False).status_code for _ in range(6)}


def test_new_keys_sign_at_once_and_old_ones_end_with_what_they_signed(own: Installation) -> None:
    with own.client() as api:
        scenario = Scenario.create(api)
        scenario.take_part("ada")
        old_link, old_cookie = links(scenario), sign_in(own)
        before = {
            (key["purpose"], key["key_id"]) for key in json.loads(own.run("keys", "list", "--json").stdout)
        }
        rotated = json.loads(own.run("keys", "rotate", "--json").stdout)
        assert rotated == json.loads(own.run("keys", "list", "--json").stdout)
        signing = {key["purpose"]: key["key_id"] for key in rotated if key["signs"] == "yes"}
        assert set(signing) == {"links", "sessions", "participation"}
        assert not before & set(signing.items())
        for _ in range(6):  # in every process
            assert f"&key={signing['links']}&" in links(scenario)
            assert sign_in(own).split(".")[1] == signing["sessions"]
        assert statuses(own, old_link) == {200}
        assert statuses(own, links(scenario)) == {200}
        assert visit(own, old_cookie) == 200
        with connected(own) as database:
            [(enough,)] = database.execute(
                """
                SELECT bool_and(expires_at >= greatest(
                    now() + CASE purpose WHEN 'links' THEN interval '23 h 59 min' ELSE interval '11 h 59 min' END,
                    CASE purpose WHEN 'links' THEN (SELECT max(links_expire_at) FROM exports) END))
                FROM signing_keys WHERE retired_at > now() - interval '1 minute' AND id <> 'first'
                """
            ).fetchall()
            assert enough
            database.execute("UPDATE signing_keys SET expires_at = now() WHERE retired_at IS NOT NULL")
        assert statuses(own, old_link) == {403}
        assert visit(own, old_cookie) == 303
        own.run("keys", "rotate")
        shown = own.run("keys", "list").stdout
        assert signing["links"] in shown  # retired, and good for a while
        with connected(own) as database:
            for (secret,) in database.execute("SELECT encode(secret, 'hex') FROM signing_keys").fetchall():
                assert secret not in shown


def test_keys_outlast_links_that_were_handed_out_under_another_setting(own: Installation) -> None:
    with own.client() as api, connected(own) as database:
        scenario = Scenario.create(api)
        scenario.take_part("ada")
        links(scenario)
        database.execute("UPDATE exports SET links_expire_at = now() + interval '40 days'")
        own.run("keys", "rotate")
        [(longest,)] = database.execute(
            "SELECT max(expires_at) > now() + interval '39 days' FROM signing_keys WHERE purpose = 'links'"
        ).fetchall()
        assert longest


def test_everything_ends_at_once_when_asked_and_participants_go_on(own: Installation) -> None:
    with own.client() as api:
        scenario = Scenario.create(api)
        scenario.take_part("ada")
        participant = scenario.start("bo")
        link, cookie = links(scenario), sign_in(own)
        once = json.loads(own.run("open", "--json").stdout)["url"]
        own.run("keys", "rotate", "--now")
        assert statuses(own, link) == {403}
        assert visit(own, cookie) == 303
        assert statuses(own, once) == {403}
        assert statuses(own, links(scenario)) == {200}
        assert visit(own, sign_in(own)) == 200
        expect(participant.answer(participant.item(0), {"value": "still here"}), 200)


def test_without_any_key_new_ones_are_made(own: Installation) -> None:
    """As after a restore that left the keys out."""
    with connected(own) as database:
        database.execute("DELETE FROM signing_keys")
    with own.client() as api:
        scenario = Scenario.create(api)
        scenario.take_part("ada")
        with ThreadPoolExecutor(8) as threads:
            cookies = list(threads.map(lambda _: sign_in(own), range(8)))
        assert len({cookie.split(".")[1] for cookie in cookies}) == 1
        assert {visit(own, cookie) for cookie in cookies} == {200}
        assert statuses(own, links(scenario)) == {200}


# links that sign in once


def follow(url: str) -> tuple[str, str]:
    """Server and code of a sign-in link."""
    parts = urlsplit(url)
    assert parts.path == "/sign-in/once"
    return f"{parts.scheme}://{parts.netloc}", parts.query.removeprefix("code=")


def press(url: str) -> httpx.Response:
    """Press the button on the page of a sign-in link."""
    origin, code = follow(url)
    return httpx.post(
        f"{origin}/sign-in/once", data={"code": code}, headers={"Origin": origin}, trust_env=False
    )


def open_link(server: Installation, *arguments: str) -> str:
    return server.run("open", "--print", *arguments).stdout.strip()


def test_a_sign_in_link_works_once(own: Installation) -> None:
    url = open_link(own)
    for _ in range(2):  # looking uses nothing up
        page = httpx.get(url, trust_env=False)
        assert page.status_code == 200
        assert "<button" in page.text
        assert "set-cookie" not in page.headers
    assert httpx.head(url, trust_env=False).status_code == 200
    origin, code = follow(url)
    foreign = httpx.post(f"{origin}/sign-in/once", data={"code": code}, trust_env=False)
    assert foreign.status_code == 403
    answer = press(url)
    assert (answer.status_code, answer.headers["location"]) == (303, "/researcher")
    assert visit(own, answer.cookies[COOKIE]) == 200
    again = press(url)
    assert again.status_code == 403
    assert "set-cookie" not in again.headers
    assert "fieldpack open" in again.text
    assert httpx.get(url, trust_env=False).status_code == 403
    for wrong in ("", "x", code[:-1], "\u00e4"):
        assert press(f"{origin}/sign-in/once?code={wrong}").status_code == 403
    with connected(own) as database:
        assert code not in str(database.execute("SELECT l::text FROM sign_in_links l").fetchall())
    assert code not in own.log


def test_of_several_at_once_one_is_signed_in(own: Installation) -> None:
    url = open_link(own)
    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(lambda _: press(url).status_code, range(12)))
    assert sorted(answers) == [303] + [403] * 11


def test_a_sign_in_link_expires(own: Installation) -> None:
    url = open_link(own)
    with connected(own) as database:
        [(seconds,)] = database.execute(
            "SELECT extract(epoch FROM expires_at - created_at) FROM sign_in_links WHERE code_sha256 = %s",
            [sha256(follow(url)[1])],
        ).fetchall()
        assert seconds == 15 * 60
        database.execute("UPDATE sign_in_links SET expires_at = now()")
    assert httpx.get(url, trust_env=False).status_code == 403
    assert press(url).status_code == 403


def read_terminal(descriptor: int, last: str) -> str:
    """What a program prints to its terminal, up to the line that begins with `last`, or to its end."""
    found = ""
    while not re.search(rf"^{re.escape(last)}.*\n", found, re.MULTILINE):
        try:
            chunk = os.read(descriptor, 4096)
        except OSError:  # the other side is closed
            break
        if not chunk:
            break
        found += chunk.decode(errors="replace")
    return found


def test_a_terminal_is_told_how_to_go_on_and_nothing_else_is(tmp_path: Path, server: Installation) -> None:
    assert "/sign-in/once" not in server.log
    master, slave = pty.openpty()
    folder = tmp_path / "my data"
    process = subprocess.Popen(
        [*FIELDPACK, "serve", "--data-dir", str(folder), "--port", str(free_port())],
        env=environment(),
        stdin=slave,
        stdout=slave,
        stderr=subprocess.PIPE,
    )
    os.close(slave)
    assert process.stderr is not None
    errors: list[bytes] = []
    drain = threading.Thread(target=lambda: errors.extend(process.stderr or ()), daemon=True)
    drain.start()
    try:
        shown = read_terminal(master, "Next, in another terminal:")
        url = re.search(r"https?://\S+/sign-in/once\?code=\S+", shown)
        assert url, shown
        assert press(url[0]).status_code == 303
        assert re.search(r"Participants' links begin with: +http://127\.0\.0\.1:\d+/participate/", shown)
        command = re.search(r"another terminal: +(FIELDPACK_DATA_DIR=.*)", shown)
        assert command, shown
        pasted = subprocess.run(
            command[1].replace("fieldpack ", f"{' '.join(FIELDPACK)} ", 1).strip(),
            shell=True, env=environment(), capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert pasted.returncode == 0, pasted.stderr
    finally:
        process.terminate()
        process.wait(120)
        os.close(master)
        drain.join(60)
        process.stderr.close()
    said = b"".join(errors).decode()
    assert f"a new installation is made in {folder}" in said
    assert "/sign-in/once" not in said


# what browsers are told


def test_over_https_names_begin_with_host(own: Installation) -> None:
    with own.client() as api:
        scenario = Scenario.create(api)
    headers = {"X-Forwarded-Proto": "https", "Host": "study.example", "Origin": "https://study.example"}
    form = {"participant_id": "ada", "session_id": "s"}
    page = f"{own.url}/participate/{scenario.study['id']}"
    secure = httpx.post(page, data=form, headers=headers, trust_env=False).headers.get_list("set-cookie")
    secure += httpx.post(
        f"{own.url}/sign-in", data={"token": own.token}, headers=headers, trust_env=False
    ).headers.get_list("set-cookie")
    assert len(secure) == 3
    for cookie in secure:
        assert cookie.startswith("__Host-fieldpack_")
        assert {"Secure", "Path=/", "HttpOnly", "SameSite=lax"} <= {
            part.strip() for part in cookie.split(";")
        }
        assert "domain" not in cookie.lower()
    plain = httpx.post(page, data=form, headers={"Origin": own.url}, trust_env=False)
    for cookie in plain.headers.get_list("set-cookie"):
        assert cookie.startswith("fieldpack_")
        assert "Secure" not in cookie


def test_hsts_is_told_over_https_only_and_only_where_set(own: Installation) -> None:
    https = {"X-Forwarded-Proto": "https"}
    for path, headers, expected in (
        ("/sign-in", https, "max-age=86400"),
        ("/api/v1/users/me", https, "max-age=86400"),
        ("/health/live", https, "max-age=86400"),
        ("/sign-in", {}, None),
        ("/nowhere", {}, None),
    ):
        answer = httpx.get(f"{own.url}{path}", headers=headers, trust_env=False)
        assert answer.headers.get("strict-transport-security") == expected


def test_without_the_setting_there_is_no_hsts(server: Installation) -> None:
    answer = httpx.get(f"{server.url}/sign-in", headers={"X-Forwarded-Proto": "https"}, trust_env=False)
    assert "strict-transport-security" not in answer.headers


def test_whom_a_sign_in_link_is_for_and_that_a_server_must_answer(own: Installation) -> None:
    """Last in this module: it stops the server."""
    assert httpx.get(open_link(own), trust_env=False).status_code == 200
    own.run("token", "create", "--name", "x", "--researcher", "ada@example.org")
    page = httpx.get(open_link(own, "--researcher", "Ada@example.org"), trust_env=False)
    assert "ada@example.org" in page.text
    several = own.run("open", "--print", check=False)
    assert several.returncode == 2
    assert "--researcher (" in several.stderr
    assert "ada@example.org" in several.stderr
    unknown = own.run("open", "--researcher", "bo@example.org", check=False)
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "There is no researcher bo@example.org" in unknown.stderr
    public = own.run(
        "open", "--print", "--researcher", "ada@example.org", FIELDPACK_PUBLIC_URL="https://x.org"
    )
    assert public.stdout.startswith("https://x.org/sign-in/once?code=")
    own.stop()
    away = own.run("open", "--researcher", "ada@example.org", check=False)
    assert away.returncode == 1
    assert "start it with `fieldpack serve`" in away.stderr
