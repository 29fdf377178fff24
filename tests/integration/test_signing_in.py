"""Passwords, second factors, throttling, and one's own account: as a browser meets them."""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from html import unescape
from typing import Any
from uuid import uuid4

import httpx
import pyotp
import pytest

from tests.installation import Installation, installed
from tests.integration.rows import connected
from tests.lengths import length
from tests.refusals import refused

COOKIE = "fieldpack_researcher"
DEVICE = "fieldpack_device"
PASSWORD = "wide ochre lantern"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@pytest.fixture(scope="module")
def own() -> Iterator[Installation]:
    """An installation of two web processes, where people have passwords."""
    with installed("--workers", "2") as installation:
        yield installation


@dataclass
class Browser:
    """A browser somewhere: it keeps its cookies and sends where it is."""

    server: Installation
    address: str = "127.0.0.1"
    agent: str = FIREFOX
    cookies: dict[str, str] = field(default_factory=dict)

    def send(self, method: str, path: str, **data: str) -> httpx.Response:
        headers = {"Origin": self.server.url, "X-Forwarded-For": self.address, "User-Agent": self.agent}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer = httpx.request(
            method,
            f"{self.server.url}{path}",
            data=data or None,
            headers=headers,
            trust_env=False,
            timeout=60,
        )
        for name, value in answer.cookies.items():
            self.cookies[name] = value
        return answer

    def get(self, path: str) -> httpx.Response:
        return self.send("GET", path)

    def post(self, path: str, **data: str) -> httpx.Response:
        return self.send("POST", path, **data)

    def sign_in(self, email: str, password: str) -> httpx.Response:
        return self.post("/sign-in", email=email, password=password)

    @property
    def is_in(self) -> bool:
        """Whether every process lets it in; they agree."""
        found = {self.get("/researcher").status_code for _ in range(6)}
        assert len(found) == 1, found
        return found == {200}


def sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def make_researcher(server: Installation, name: str = "ada") -> str:
    """A researcher; their address. Straight into the database: a command for each would take seconds."""
    email = f"{name}-{uuid4().hex[:8]}@example.org"
    with connected(server) as database:
        database.execute("INSERT INTO researchers (id, email) VALUES (gen_random_uuid(), %s)", [email])
    return email


def make_token(server: Installation, email: str, name: str) -> tuple[str, str]:
    """An API token, and its id."""
    token, id = secrets.token_urlsafe(32), str(uuid4())
    with connected(server) as database:
        database.execute(
            "INSERT INTO tokens (id, researcher_id, name, token_sha256)"
            " SELECT %s, id, %s, %s FROM researchers WHERE email = %s",
            [id, name, sha256(token), email],
        )
    return token, id


def by_link(server: Installation, email: str) -> Browser:
    """A browser that was signed in by a link."""
    code = secrets.token_urlsafe(32)
    with connected(server) as database:
        database.execute(
            "INSERT INTO sign_in_links (code_sha256, researcher_id, expires_at)"
            " SELECT %s, id, now() + interval '1 minute' FROM researchers WHERE email = %s",
            [sha256(code), email],
        )
    browser = Browser(server)
    assert browser.post("/sign-in/once", code=code).status_code == 303
    return browser


def with_password(server: Installation, name: str = "ada") -> tuple[str, Browser]:
    """A researcher with a password, and the browser that they set it in."""
    email = make_researcher(server, name)
    browser = by_link(server, email)
    answer = browser.post("/researcher/account/password", password=PASSWORD, again=PASSWORD)
    assert answer.status_code == 303, answer.text
    return email, browser


def with_second_factor(server: Installation) -> tuple[str, Browser, pyotp.TOTP, list[str]]:
    """The same with an app; and its recovery codes."""
    email, browser = with_password(server, "totp")
    page = browser.get("/researcher/account/second-factor").text
    uri = unescape(re.search(r'href="(otpauth:[^"]+)"', page)[1])  # type: ignore[index]
    app = pyotp.parse_uri(uri)
    assert isinstance(app, pyotp.TOTP)
    assert app.name == email
    assert str(app.issuer).startswith("fieldpack ")
    shown = browser.post("/researcher/account/second-factor", code=app.now())
    assert shown.status_code == 200, shown.text
    return email, browser, app, re.findall(r"<li>([a-z2-9-]{19})</li>", shown.text)


def token_of(page: str) -> str:
    """The name of a try that waits for its second factor."""
    found = re.search(r'name="step" value="([\w-]+)"', page)
    assert found
    return found[1]


def free(server: Installation) -> None:
    """Forget what was guessed so far, and which codes were used."""
    with connected(server) as database:
        database.execute("DELETE FROM guess_budgets")
        database.execute("UPDATE second_factors SET last_step = 0")


# passwords


def test_a_password_signs_in_and_only_the_right_one(own: Installation) -> None:
    email, _ = with_password(own)
    free(own)
    browser = Browser(own)
    assert browser.sign_in(email, PASSWORD + "x").status_code == 403
    assert browser.cookies == {}
    answer = browser.sign_in(email.upper(), PASSWORD)
    assert (answer.status_code, answer.headers["location"]) == (303, "/researcher")
    assert browser.is_in
    with connected(own) as database:
        stored = str(database.execute("SELECT p::text FROM passwords p").fetchall())
    assert PASSWORD not in stored
    assert "$argon2id$" in stored


def test_whether_there_is_an_account_is_not_told(own: Installation) -> None:
    with_it, _ = with_password(own)
    without = make_researcher(own)
    free(own)
    plain = partial(re.sub, r"in a minute|in \d+ minutes", "soon")
    pages = []
    for email in (with_it, without, f"{uuid4().hex}@example.org"):
        answers = [
            Browser(own, address=f"192.0.2.{n}").sign_in(email, "not the one at all") for n in range(12)
        ]
        pages.append([(answer.status_code, plain(answer.text.replace(email, "…"))) for answer in answers])
    assert [status for status, _ in pages[0]] == [403] * 10 + [429] * 2
    assert pages[0] == pages[1] == pages[2]


@pytest.mark.parametrize(
    ("password", "again", "said"),
    [
        ("short", "short", "at least 12 characters"),
        ("a" * 40, "a" * 40, "same few characters"),
        ("x1y2z3" * 200, "x1y2z3" * 200, "longer than 1000"),
        (PASSWORD, PASSWORD + "x", "not the same"),
        ("{email}", "{email}", "your address"),
        ("", "", "at least 12 characters"),
    ],
)
def test_what_a_password_must_be(own: Installation, password: str, again: str, said: str) -> None:
    email = make_researcher(own)
    browser = by_link(own, email)
    answer = browser.post(
        "/researcher/account/password",
        password=password.replace("{email}", email),
        again=again.replace("{email}", email),
    )
    assert answer.status_code == 400
    assert said in answer.text
    assert "You have none" in answer.text


def test_the_same_password_from_another_keyboard(own: Installation) -> None:
    """Umlauts come as one character or as two."""
    email = make_researcher(own)
    browser = by_link(own, email)
    one, two = "gr\u00fcne Laterne 7", "gru\u0308ne Laterne 7"
    browser.post("/researcher/account/password", password=one, again=one)
    assert Browser(own).sign_in(email, two).status_code == 303


def test_a_new_password_ends_what_the_old_one_began(own: Installation) -> None:
    email, browser = with_password(own)
    other = Browser(own)
    other.sign_in(email, PASSWORD)
    assert other.is_in
    new = "another lantern, wider"
    assert browser.post("/researcher/account/password", password=new, again=new).status_code == 303
    assert browser.is_in
    assert not other.is_in
    assert Browser(own).sign_in(email, PASSWORD).status_code == 403
    assert Browser(own).sign_in(email, new).status_code == 303
    assert browser.post("/researcher/account/password/remove").status_code == 303
    assert Browser(own).sign_in(email, new).status_code == 403


def test_a_token_or_an_old_session_sets_up_nothing_that_outlasts_it(own: Installation) -> None:
    email, _ = with_password(own)
    token, _ = make_token(own, email, "t")
    by_token, old = Browser(own), Browser(own)
    assert by_token.post("/sign-in", token=token).status_code == 303
    assert DEVICE not in by_token.cookies
    old.sign_in(email, PASSWORD)
    with connected(own) as database:
        database.execute("UPDATE researcher_sessions SET created_at = now() - interval '61 minutes'")
    for browser in (by_token, old):
        page = browser.get("/researcher/account")
        assert page.status_code == 200
        assert 'name="password"' not in page.text
        for path in (
            "password",
            "password/remove",
            "second-factor",
            "second-factor/codes",
            "second-factor/remove",
        ):
            refusal = browser.post(f"/researcher/account/{path}", password=PASSWORD, again=PASSWORD, code="1")
            assert refusal.status_code == 403, path
        assert browser.get("/researcher/account/second-factor").status_code == 403
    assert Browser(own).sign_in(email, PASSWORD).status_code == 303


def test_without_passwords_the_page_asks_for_a_token_only(server: Installation) -> None:
    page = httpx.get(f"{server.url}/sign-in", trust_env=False).text
    assert 'name="token"' in page
    assert 'name="password"' not in page


def test_signing_in_ends_the_session_that_the_browser_had(own: Installation) -> None:
    email, _ = with_password(own)
    browser = Browser(own)
    browser.sign_in(email, PASSWORD)
    before = Browser(own, cookies=dict(browser.cookies))
    browser.sign_in(email, PASSWORD)
    assert browser.is_in
    assert not before.is_in


# the second factor


def test_a_code_of_an_app_is_asked_for_after_the_password(own: Installation) -> None:
    email, _, app, _ = with_second_factor(own)
    free(own)
    browser = Browser(own)
    asked = browser.sign_in(email, PASSWORD)
    assert asked.status_code == 200
    assert browser.cookies == {}
    step, code = token_of(asked.text), app.now()
    wrong = f"{(int(code) + 1) % 1_000_000:06}"
    assert browser.post("/sign-in/code", step=step, code=wrong).status_code == 403
    for malformed in ("", "12345", "１２３４５６", "x" * 5000):
        assert browser.post("/sign-in/code", step=step, code=malformed).status_code == 403
    assert browser.cookies == {}
    assert browser.post("/sign-in/code", step=step, code=f"{code[:3]} {code[3:]}").status_code == 303
    assert browser.is_in
    again = Browser(own)
    step = token_of(again.sign_in(email, PASSWORD).text)
    replayed = again.post("/sign-in/code", step=step, code=code)
    assert replayed.status_code == 403
    assert "used before" in replayed.text


def test_codes_of_the_neighbouring_half_minutes_are_taken_and_no_others(own: Installation) -> None:
    email, _, app, _ = with_second_factor(own)
    for steps, status in ((-3, 403), (3, 403), (-1, 303)):
        answers: set[int] = set()
        while not answers:  # once more where a half minute ended meanwhile
            free(own)
            browser = Browser(own)
            step = token_of(browser.sign_in(email, PASSWORD).text)
            now = int(time.time())
            answer = browser.post("/sign-in/code", step=step, code=app.at(now + steps * 30))
            if int(time.time()) // 30 == now // 30:
                answers.add(answer.status_code)
        assert answers == {status}, steps


def test_of_one_code_sent_at_once_from_everywhere_one_signs_in(own: Installation) -> None:
    email, _, app, _ = with_second_factor(own)
    free(own)
    steps = [token_of(Browser(own).sign_in(email, PASSWORD).text) for _ in range(6)]
    code = app.now()
    with ThreadPoolExecutor(6) as threads:
        answers = list(
            threads.map(lambda step: Browser(own).post("/sign-in/code", step=step, code=code), steps)
        )
    assert sorted(answer.status_code for answer in answers) == [303] + [403] * 5


def test_recovery_codes_work_once_each_and_new_ones_replace_them(own: Installation) -> None:
    email, browser, _, codes = with_second_factor(own)
    assert len(set(codes)) == 10
    free(own)

    def enter(code: str) -> int:
        visitor = Browser(own)
        step = token_of(visitor.sign_in(email, PASSWORD).text)
        return visitor.post("/sign-in/code", step=step, code=code).status_code

    assert enter(codes[0]) == 303
    assert enter(codes[0]) == 403
    assert enter(codes[1].upper().replace("-", " ")) == 303
    assert "8 recovery codes are left" in browser.get("/researcher/account").text
    page = browser.post("/researcher/account/second-factor/codes").text
    new = re.findall(r"<li>([a-z2-9-]{19})</li>", page)
    assert len(new) == 10
    assert enter(codes[2]) == 403
    assert enter(new[0]) == 303
    with connected(own) as database:
        stored = str(database.execute("SELECT c::text FROM recovery_codes c").fetchall())
    assert new[1].replace("-", "") not in stored


def test_a_second_factor_counts_from_its_first_code(own: Installation) -> None:
    email, browser = with_password(own)
    browser.get("/researcher/account/second-factor")
    assert Browser(own).sign_in(email, PASSWORD).status_code == 303  # it was only looked at
    wrong = browser.post("/researcher/account/second-factor", code="000000")
    assert wrong.status_code == 400
    assert "not right" in wrong.text


def test_a_removed_second_factor_is_asked_for_no_more(own: Installation) -> None:
    email, browser, _, _ = with_second_factor(own)
    free(own)
    assert browser.post("/researcher/account/second-factor/remove").status_code == 303
    assert Browser(own).sign_in(email, PASSWORD).status_code == 303


def test_a_step_is_over_with_its_time_and_with_its_password(own: Installation) -> None:
    email, browser, app, _ = with_second_factor(own)
    free(own)
    visitor = Browser(own)
    steps = [token_of(visitor.sign_in(email, PASSWORD).text) for _ in range(2)]
    with connected(own) as database:
        database.execute("UPDATE sign_in_steps SET expires_at = now()")
    assert "Begin again" in visitor.post("/sign-in/code", step=steps[0], code=app.now()).text
    step = token_of(visitor.sign_in(email, PASSWORD).text)
    new = "another lantern, wider"
    browser.post("/researcher/account/password", password=new, again=new)
    assert "Begin again" in visitor.post("/sign-in/code", step=step, code=app.now()).text
    assert "Begin again" in visitor.post("/sign-in/code", step="x", code=app.now()).text
    assert visitor.cookies == {}


def test_the_picture_says_what_is_typed(own: Installation) -> None:
    _, browser = with_password(own)
    page = browser.get("/researcher/account/second-factor").text
    typed = re.search(r'class="secret" dir="ltr">([A-Z2-7 ]+)<', page)
    uri = unescape(re.search(r'href="(otpauth:[^"]+)"', page)[1])  # type: ignore[index]
    assert typed
    assert pyotp.parse_uri(uri).secret == typed[1].replace(" ", "")
    assert page.count("<svg") == 1
    assert re.search(r'<svg[^>]* viewBox="0 0 (\d+) \1"', page)  # all of it is seen in a frame of any size
    assert "style=" not in page[page.index("<svg") :]


# throttling


GUESSES = length(1_000, 10_000)


def test_guesses_are_throttled_and_the_owner_signs_in_meanwhile(own: Installation) -> None:
    """From 100 addresses, at one account; the owner comes back to a browser of before, from one of those addresses."""
    email, _ = with_password(own)
    free(own)
    owner = Browser(own, address="198.51.100.7")
    assert owner.sign_in(email, PASSWORD).status_code == 303
    owner.post("/sign-out")
    free(own)
    codes: list[int] = []

    def guess(number: int) -> int:
        answer = clients[number % 8].post(
            "/sign-in",
            data={"email": email, "password": f"guess number {number}"},
            headers={"Origin": own.url, "X-Forwarded-For": f"198.51.100.{number % 100}"},
        )
        return answer.status_code

    clients = [httpx.Client(base_url=own.url, trust_env=False, timeout=120) for _ in range(8)]
    try:
        with ThreadPoolExecutor(8) as threads:
            codes += threads.map(guess, range(GUESSES // 2))
            assert (
                owner.sign_in(email, PASSWORD).status_code == 303
            )  # from the first of the guesses' addresses
            during = threads.map(guess, range(GUESSES // 2, GUESSES))
            assert owner.sign_in(email, PASSWORD).status_code == 303
            codes += during
    finally:
        for client in clients:
            client.close()
    assert owner.is_in
    assert set(codes) == {403, 429}
    assert codes.count(403) <= 15  # ten at once, and what comes back meanwhile
    stranger = Browser(own, address="203.0.113.5")
    refusal = stranger.sign_in(email, PASSWORD)  # right, and yet not looked at
    assert refusal.status_code == 429
    assert int(refusal.headers["retry-after"]) > 0
    assert "attempts of its own" in refusal.text
    with connected(own) as database:
        [(rows,)] = database.execute("SELECT count(*) FROM guess_budgets").fetchall()
        assert rows <= 104  # those addresses, the owner's, the stranger's, the account and the device


def test_an_address_that_tries_many_accounts_is_throttled(own: Installation) -> None:
    free(own)
    guesser, neighbour = Browser(own, address="2001:db8:1:2::1"), Browser(own, address="2001:db8:1:2::ffff")
    codes = [guesser.sign_in(f"{n}@example.org", "some password x").status_code for n in range(20)]
    assert codes == [403] * 20
    assert neighbour.sign_in("somebody@example.org", "some password x").status_code == 429
    assert (
        Browser(own, address="2001:db8:1:3::1").sign_in("b@example.org", "some password").status_code == 403
    )


def test_what_was_right_is_no_guess(own: Installation) -> None:
    email, _ = with_password(own)
    free(own)
    for _ in range(12):
        assert Browser(own, address="192.0.2.77").sign_in(email, PASSWORD).status_code == 303


def test_a_known_device_has_a_bounded_budget_too(own: Installation) -> None:
    email, _ = with_password(own)
    free(own)
    browser = Browser(own)
    browser.sign_in(email, PASSWORD)
    codes = [browser.sign_in(email, f"wrong one number {n}").status_code for n in range(12)]
    assert codes == [403] * 10 + [429] * 2


def test_a_device_is_known_for_its_own_researcher_and_by_its_latest_cookie(own: Installation) -> None:
    email, _ = with_password(own)
    other, _ = with_password(own)
    free(own)
    browser = Browser(own)
    browser.sign_in(other, PASSWORD)
    planted = browser.cookies[DEVICE]
    browser.sign_in(email, PASSWORD)
    assert browser.cookies[DEVICE] != planted
    with connected(own) as database:
        database.execute("UPDATE guess_budgets SET spent = 1000, updated_at = now()")
    thief = Browser(own, cookies={DEVICE: planted})
    database_free = [Browser(own).sign_in(email, "x" * 12).status_code for _ in range(3)]
    assert set(database_free) <= {403, 429}
    with connected(own) as database:  # everything that strangers have is spent
        database.execute("DELETE FROM guess_budgets WHERE kind <> 'device'")
        for kind in ("address", "account"):
            database.execute(
                "INSERT INTO guess_budgets SELECT %s, n, 1000, now() FROM generate_series(0, 65535) n", [kind]
            )
        database.execute("DELETE FROM guess_budgets WHERE kind = 'device'")
    assert thief.sign_in(email, PASSWORD).status_code == 429
    assert browser.sign_in(email, PASSWORD).status_code == 303
    assert browser.sign_in(other, PASSWORD).status_code == 303  # it took both along
    free(own)


def test_codes_are_throttled_as_passwords_are(own: Installation) -> None:
    email, _, app, _ = with_second_factor(own)
    free(own)
    thief = Browser(own, address="192.0.2.99")
    step = token_of(thief.sign_in(email, PASSWORD).text)
    codes = [thief.post("/sign-in/code", step=step, code=f"{n:06}").status_code for n in range(14)]
    assert codes[:10] == [403] * 10
    assert codes[10:] == [429] * 4
    assert thief.post("/sign-in/code", step=step, code=app.now()).status_code == 429


# one's own sessions and tokens


def test_sessions_are_listed_and_ended_in_every_process(own: Installation) -> None:
    email, browser = with_password(own)
    phone = Browser(own, address="203.0.113.9", agent="Mozilla/5.0 (iPhone; CPU) CriOS/140 Safari/604.1")
    phone.sign_in(email, PASSWORD)
    page = browser.get("/researcher/account").text
    assert "Firefox · Linux" in page
    assert "Chrome · iPhone" in page
    assert "203.0.113.9" in page
    assert page.count('/end"') == 1  # its own has no button here
    path = re.search(r"/researcher/account/sessions/[0-9a-f-]{36}/end", page)
    assert path
    stranger = with_password(own)[1]
    assert stranger.post(path[0]).status_code == 404
    assert phone.is_in
    assert browser.post(path[0]).status_code == 303
    assert not phone.is_in
    assert browser.post(path[0]).status_code == 404
    others = [Browser(own) for _ in range(3)]
    for other in others:
        other.sign_in(email, PASSWORD)
    assert browser.post("/researcher/account/sessions/end-others").status_code == 303
    assert [other.is_in for other in others] == [False] * 3
    assert browser.is_in


def test_the_api_lists_and_ends_sessions_and_tokens(own: Installation) -> None:
    email, browser = with_password(own)
    (kept, _), (other, _) = (make_token(own, email, name) for name in ("kept", "other"))
    by_token = Browser(own)
    by_token.post("/sign-in", token=other)
    with own.client(kept) as api, own.client() as stranger:
        sessions: list[dict[str, Any]] = api.get("/users/me/sessions").json()["results"]
        assert {(row["method"], row["token_name"]) for row in sessions} == {
            ("link", None),
            ("token", "other"),
        }
        assert set(sessions[0]) == {
            "id", "method", "token_name", "address", "agent", "created_at", "last_used_at", "expires_at",
        }  # fmt: skip
        by_link_id = next(row["id"] for row in sessions if row["method"] == "link")
        refused(stranger.delete(f"/users/me/sessions/{by_link_id}"), 404)
        assert api.delete(f"/users/me/sessions/{by_link_id}").status_code == 204
        assert not browser.is_in
        assert by_token.is_in
        tokens = {row["name"]: row for row in api.get("/users/me/tokens").json()["results"]}
        assert {"kept", "other"} == set(tokens)
        assert other not in str(tokens)
        refused(stranger.delete(f"/users/me/tokens/{tokens['other']['id']}"), 404)
        assert api.delete(f"/users/me/tokens/{tokens['other']['id']}").status_code == 204
        assert not by_token.is_in
        refused(api.delete(f"/users/me/tokens/{tokens['other']['id']}"), 404)
        page = Browser(own)
        page.sign_in(email, PASSWORD)
        assert api.delete("/users/me/sessions").status_code == 204
        assert not page.is_in
        assert api.get("/users/me/sessions").json() == {"results": [], "meta": {"count": 0}}


def test_a_token_is_revoked_on_the_page(own: Installation) -> None:
    email, browser = with_password(own)
    token, id = make_token(own, email, "mine")
    path = f"/researcher/account/tokens/{id}/revoke"
    assert path in browser.get("/researcher/account").text
    assert with_password(own)[1].post(path).status_code == 404
    assert browser.post(path).status_code == 303
    with own.client(token) as api:
        refused(api.get("/users/me"), 401)


def test_pages_of_the_account_are_for_who_is_signed_in(own: Installation) -> None:
    nobody = Browser(own)
    answer = nobody.get("/researcher/account")
    assert answer.headers["location"] == "/sign-in?next=%2Fresearcher%2Faccount"
    for path in ("password", "sessions/end-others", "second-factor", f"tokens/{uuid4()}/revoke"):
        assert nobody.post(f"/researcher/account/{path}", code="1").status_code == 303
    _, browser = with_password(own)
    foreign = httpx.post(
        f"{own.url}/researcher/account/sessions/end-others",
        headers={"Origin": "https://evil.example", "Cookie": f"{COOKIE}={browser.cookies[COOKIE]}"},
        trust_env=False,
    )
    assert foreign.status_code == 403
