"""Who can take over a participant's submission, by what they know or hold, under each `resume` of a study."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import uuid4

import httpx
import pytest

from fieldpack.server.db.embedded.server import open_embedded
from fieldpack.server.db.pool import Database
from fieldpack.server.tickets.queries import sweep_used
from tests.hosted_service import HostedService
from tests.installation import Installation, installed
from tests.integration.rows import connected
from tests.integration.waiting import wait_for
from tests.refusals import refused
from tests.scenario import Scenario, expect

LONG = "0123456789abcdef01234567"  # a session id that nobody guesses
NEEDED, WRONG = 140906, 140907
NEEDED_LINK, INVALID_LINK, EXPIRED_LINK, USED_LINK = 140304, 140305, 140306, 140307


def begin(scenario: Scenario, token: str | None = None, **body: Any) -> httpx.Response:
    """Start without a researcher's token."""
    url = f"{scenario.api.base_url}participate/studies/{scenario.study['id']}/submissions"
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return httpx.post(url, json=body, headers=headers)


def code_of(response: httpx.Response) -> int:
    found: int = response.json()["error"]["error_code"]
    return found


@pytest.fixture
def studies(api: httpx.Client) -> dict[str, Scenario]:
    """A study of each kind that a participant can begin by ids."""
    return {resume: Scenario.create(api, resume=resume) for resume in ("link", "code")}


def test_a_study_takes_and_gives_back_resume(api: httpx.Client) -> None:
    made = Scenario.create(api)
    path = f"/studies/{made.study['id']}"
    assert made.study["resume"] == "link"
    assert expect(api.patch(path, json={"resume": "code"}), 200)["resume"] == "code"
    assert expect(api.patch(path, json={"name": "Other"}), 200)["resume"] == "code"
    refused(api.patch(path, json={"resume": "trust"}), 400, "resume")
    secured = {"is_external_study_url_secure": True}
    refused(api.patch(path, json={**secured, "resume": "link"}), 400, "resume")
    found = expect(api.patch(path, json=secured), 200)
    assert (found["resume"], found["is_external_study_url_secure"]) == ("signed", True)
    refused(api.patch(path, json={"resume": "code"}), 400, "resume")
    # it does not become weaker by itself
    assert expect(api.patch(path, json={"is_external_study_url_secure": False}), 200)["resume"] == "signed"
    assert expect(api.patch(path, json={"resume": "link"}), 200)["resume"] == "link"
    assert Scenario.create(api, is_external_study_url_secure=True).study["resume"] == "signed"


class TestLink:
    def test_knows_the_id(self, studies: dict[str, Scenario]) -> None:
        expect(begin(studies["link"], participant_id="id", session_id=LONG), 201)
        refused(begin(studies["link"], participant_id="id"), 409)

    def test_knows_id_and_session(self, studies: dict[str, Scenario]) -> None:
        """The session id is the secret: as safe as the link is kept."""
        first = expect(begin(studies["link"], participant_id="both", session_id=LONG), 201)
        again = expect(begin(studies["link"], participant_id="both", session_id=LONG), 200)
        assert again["submission_id"] == first["submission_id"]
        assert "resume_code" not in again


class TestCode:
    def test_a_first_start_is_free(self, studies: dict[str, Scenario]) -> None:
        started = expect(begin(studies["code"], participant_id="free", session_id=LONG), 201)
        assert len(started["resume_code"]) == 9
        assert not set(started["resume_code"]) & set("01IOLQ")

    @pytest.mark.parametrize("session", [None, "", "s", LONG, "another"])
    def test_ids_alone_start_read_and_resume_nothing(
        self, studies: dict[str, Scenario], session: str | None
    ) -> None:
        who = f"ids {session}"
        expect(begin(studies["code"], participant_id=who, session_id=LONG), 201)
        response = begin(studies["code"], participant_id=who, session_id=session)
        refused(response, 409)
        assert code_of(response) == NEEDED

    def test_ids_start_no_other_one_where_several_are_allowed(self, api: httpx.Client) -> None:
        several = Scenario.create(
            api, resume="code", submissions_config={"max_submissions_per_participant": 3}
        )
        first = expect(begin(several, participant_id="p", session_id="1"), 201)
        assert code_of(begin(several, participant_id="p", session_id="2")) == NEEDED
        second = expect(begin(several, first["token"], participant_id="p", session_id="2"), 201)
        # what one holds opens that one only
        assert code_of(begin(several, first["token"], participant_id="p", session_id="2")) == NEEDED
        both = [(first, "2"), (second, "1"), (first, None)]
        for started, session in both:
            found = begin(several, participant_id="p", session_id=session, resume_code=started["resume_code"])
            assert expect(found, 200)["submission_id"] == started["submission_id"]

    def test_the_code_the_token_and_nothing_else(self, studies: dict[str, Scenario]) -> None:
        study = studies["code"]
        first = expect(begin(study, participant_id="mine", session_id=LONG), 201)
        other = expect(begin(study, participant_id="other", session_id=LONG), 201)
        code = first["resume_code"]
        for given in (code, code.lower(), code.replace("-", ""), f" {code[:4]} {code[5:]} "):
            again = begin(study, participant_id="mine", session_id="elsewhere", resume_code=given)
            assert expect(again, 200)["submission_id"] == first["submission_id"]
        expect(begin(study, first["token"], participant_id="mine"), 200)
        response = begin(study, participant_id="mine", session_id=LONG, resume_code=other["resume_code"])
        refused(response, 409)
        assert code_of(response) == WRONG
        assert code_of(begin(study, other["token"], participant_id="mine", session_id=LONG)) == NEEDED
        assert code_of(begin(study, "wrong", participant_id="mine")) == NEEDED

    def test_guesses_are_limited(self, studies: dict[str, Scenario], server: Installation) -> None:
        study = studies["code"]
        started = expect(begin(study, participant_id="guessed"), 201)
        answers = [begin(study, participant_id="guessed", resume_code=f"ACEF-HJ{n:02}") for n in range(21)]
        assert {code_of(each) for each in answers[:20]} == {WRONG}
        refused(answers[20], 429)
        assert int(answers[20].headers["Retry-After"]) > 0
        # not even the right one then; who holds a token goes on, and guesses come back with time
        refused(begin(study, participant_id="guessed", resume_code=started["resume_code"]), 429)
        expect(begin(study, started["token"], participant_id="guessed"), 200)
        with connected(server) as database:
            database.execute(
                "UPDATE resume_codes SET guessed_at = now() - interval '4 minutes' WHERE submission_id = %s",
                [started["submission_id"]],
            )
        expect(begin(study, participant_id="guessed", resume_code=started["resume_code"]), 200)
        assert code_of(begin(study, participant_id="guessed", resume_code="wrong")) == WRONG

    def test_a_study_that_asks_for_codes_later(self, api: httpx.Client, server: Installation) -> None:
        """Who had no code is given one by the next page or answer that they may see."""
        study = Scenario.create(api)
        first = expect(begin(study, participant_id="p", session_id=LONG), 201)
        with connected(server) as database:
            database.execute("DELETE FROM resume_codes WHERE submission_id = %s", [first["submission_id"]])
        expect(api.patch(f"/studies/{study.study['id']}", json={"resume": "code"}), 200)
        assert code_of(begin(study, participant_id="p", session_id=LONG)) == NEEDED
        assert code_of(begin(study, participant_id="p", session_id=LONG, resume_code="ACEF-HJKM")) == NEEDED
        code = expect(begin(study, first["token"], participant_id="p"), 200)["resume_code"]
        expect(begin(study, participant_id="p", session_id=LONG, resume_code=code), 200)

    def test_it_works_when_paused(self, api: httpx.Client) -> None:
        study = Scenario.create(api, resume="code")
        first = expect(begin(study, participant_id="p"), 201)
        expect(api.post(f"/studies/{study.study['id']}/transition", json={"action": "PAUSE"}), 200)
        expect(begin(study, participant_id="p", resume_code=first["resume_code"]), 200)

    def test_erasure_removes_it(self, studies: dict[str, Scenario], server: Installation) -> None:
        started = expect(begin(studies["code"], participant_id="erased"), 201)
        expect(studies["code"].api.delete(f"/submissions/{started['submission_id']}"), 204)
        with connected(server) as database:
            found = database.execute(
                "SELECT 1 FROM resume_codes WHERE submission_id = %s", [started["submission_id"]]
            )
            assert found.fetchone() is None


class TestPages:
    """The same by the pages, where a session id that can be guessed is none."""

    @pytest.fixture
    def browser(self, server: Installation) -> Any:
        with httpx.Client(base_url=server.url, trust_env=False, headers={"Origin": server.url}) as client:
            yield client

    @staticmethod
    def post(browser: httpx.Client, study: Scenario, participant: str, session: str = "", **more: str) -> Any:
        form = {"participant_id": participant, "session_id": session, **more}
        return browser.post(f"/participate/{study.study['id']}", data=form)

    @staticmethod
    def stranger(browser: httpx.Client) -> httpx.Client:
        return httpx.Client(base_url=browser.base_url, trust_env=False, headers=browser.headers)

    @pytest.mark.parametrize(
        ("resume", "session"),
        [("link", ""), ("link", "s1"), ("link", LONG[:15]), ("code", ""), ("code", LONG)],
    )
    def test_another_browser_is_asked_for_the_code(
        self, browser: httpx.Client, studies: dict[str, Scenario], resume: str, session: str
    ) -> None:
        study, who = studies[resume], f"page {resume} {session}"
        begun = self.post(browser, study, who, session)
        assert begun.status_code == 303
        path = begun.headers["Location"]
        page = browser.get(path, follow_redirects=True).text
        code = page.partition('class="resume-code" dir="ltr">')[2][:9]
        assert page.count(code) == 2  # on top of the first page, and where it says that answers are saved
        for place in (f"{path}/later", f"{path}/return"):
            assert code in browser.get(place).text
        link = f"/participate/{study.study['id']}?PROLIFIC_PID={who}&SESSION_ID={session}"
        assert browser.get(link).headers["Location"] == f"{path}?again=1"  # this browser is known
        with self.stranger(browser) as other:
            shown = other.get(link)
            assert shown.status_code == 200
            assert 'name="resume_code"' in shown.text
            assert code not in shown.text
            refusal = self.post(other, study, who, session)
            assert (refusal.status_code, "set-cookie" in refusal.headers) == (409, False)
            wrong = self.post(other, study, who, session, resume_code="ACEF-HJKM")
            assert (wrong.status_code, "set-cookie" in wrong.headers) == (409, False)
            assert "aria-invalid" in wrong.text
            assert other.get(path).status_code == 401
            right = self.post(other, study, who, session, resume_code=code)
            assert right.headers["Location"] == path
            assert other.get(path).status_code == 303

    def test_a_session_that_nobody_guesses_is_enough_with_link(
        self, browser: httpx.Client, studies: dict[str, Scenario]
    ) -> None:
        path = self.post(browser, studies["link"], "long", LONG).headers["Location"]
        assert "resume-code" not in browser.get(f"{path}/1").text
        with self.stranger(browser) as other:
            assert self.post(other, studies["link"], "long", LONG).headers["Location"] == path

    def test_who_began_before_there_were_codes_goes_on_by_the_link(
        self, browser: httpx.Client, studies: dict[str, Scenario], server: Installation
    ) -> None:
        path = self.post(browser, studies["link"], "old", "s1").headers["Location"]
        with connected(server) as database:
            database.execute("DELETE FROM resume_codes WHERE submission_id = %s", [path.rpartition("/")[2]])
        with self.stranger(browser) as other:
            assert self.post(other, studies["link"], "old", "s1").headers["Location"] == path
            assert "resume-code" in other.get(f"{path}/1").text
        with self.stranger(browser) as other:  # a code was shown, so it is asked for
            assert self.post(other, studies["link"], "old", "s1").status_code == 409

    def test_several_in_one_browser(self, browser: httpx.Client, api: httpx.Client) -> None:
        """Who has finished one begins another, in the browser that knows them."""
        study = Scenario.create(api, resume="code", submissions_config={"max_submissions_per_participant": 2})
        path = self.post(browser, study, "p").headers["Location"]
        item = study.collection["collection_items"][0]["page_items"][0]["id"]
        expect(browser.put(f"/api/v1{path}/answers/{item}", json={"value": "x"}), 200)
        expect(browser.post(f"/api/v1{path}/submit"), 200)
        with self.stranger(browser) as other:
            assert self.post(other, study, "p").status_code == 409
        link = f"/participate/{study.study['id']}?PROLIFIC_PID=p"
        assert 'name="resume_code"' not in browser.get(link).text
        second = self.post(browser, study, "p")
        assert second.status_code == 303
        assert second.headers["Location"] != path


def links(scenario: Scenario, *participants: str, **body: Any) -> list[str]:
    """Personal links, made by the researcher."""
    path = f"/studies/{scenario.study['id']}/links"
    made = expect(scenario.api.post(path, json={"participant_ids": participants, **body}), 200)
    assert [each["participant_id"] for each in made["results"]] == list(participants)
    assert made["meta"]["count"] == len(participants)
    return [each["url"] for each in made["results"]]


def part(url: str) -> str:
    """What is signed in a link."""
    found: str = parse_qs(urlsplit(url).query)["link"][0]
    return found


class TestSigned:
    """`signed`: our own links."""

    @pytest.fixture
    def study(self, api: httpx.Client) -> Scenario:
        return Scenario.create(api, resume="signed")

    def test_ids_start_and_resume_nothing(self, study: Scenario) -> None:
        for more in ({}, {"session_id": LONG}, {"resume_code": "ACEF-HJKM"}):
            response = begin(study, participant_id="p", **more)
            refused(response, 403)
            assert code_of(response) == NEEDED_LINK
        (url,) = links(study, "p")
        expect(begin(study, participant_id="p", link=part(url)), 201)
        for more in ({}, {"session_id": LONG}, {"resume_code": "ACEF-HJKM"}):
            assert code_of(begin(study, participant_id="p", **more)) == NEEDED_LINK

    def test_a_link_resumes_as_often_as_one_likes(self, study: Scenario) -> None:
        (url,) = links(study, "p")
        first = expect(begin(study, participant_id="p", link=part(url)), 201)
        for session in (None, LONG):
            again = begin(study, participant_id="p", session_id=session, link=part(url))
            assert expect(again, 200)["submission_id"] == first["submission_id"]
        assert expect(begin(study, first["token"], participant_id="p"), 200)

    def test_one_that_opens_once(self, study: Scenario) -> None:
        url, other = links(study, "p", "q", once=True)
        first = expect(begin(study, participant_id="p", link=part(url)), 201)
        response = begin(study, participant_id="p", link=part(url))
        refused(response, 403)
        assert code_of(response) == USED_LINK
        expect(begin(study, first["token"], participant_id="p", link=part(url)), 200)
        expect(begin(study, participant_id="q", link=part(other)), 201)
        (another,) = links(study, "p", once=True)
        assert expect(begin(study, participant_id="p", link=part(another)), 200)["submission_id"]

    def test_of_two_at_once_one_opens(self, study: Scenario) -> None:
        (url,) = links(study, "p", once=True)
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda _: begin(study, participant_id="p", link=part(url)), range(8)))
        assert sorted(each.status_code for each in found) == [201, *[403] * 7]

    def test_a_full_study_uses_none_up(self, api: httpx.Client) -> None:
        study = Scenario.create(api, places=1, resume="signed")
        url, other = links(study, "p", "q", once=True)
        taken = expect(begin(study, participant_id="p", link=part(url)), 201)
        refused(begin(study, participant_id="q", link=part(other)), 409)
        expect(
            study.api.post(
                f"/participate/submissions/{taken['submission_id']}/return",
                headers={"Authorization": f"Bearer {taken['token']}"},
            ),
            200,
        )
        expect(begin(study, participant_id="q", link=part(other)), 201)

    def test_altered_anywhere_or_for_another(self, study: Scenario, api: httpx.Client) -> None:
        url, other = links(study, "p", "q")
        text = part(url)
        pieces = text.split(".")
        wrong = [
            *(
                text[:at] + ("1" if text[at] != "1" else "2") + text[at + 1 :]
                for at in range(0, len(text), 9)
            ),
            ".".join([*pieces[:2], "o", *pieces[3:]]),
            ".".join([*pieces[:2], "h", *pieces[3:]]),
            ".".join([pieces[0], "99999999999", *pieces[2:]]),
            ".".join(["first", *pieces[1:]]),
            part(other),
            text[:-1],
            f"{text}0",
            f"{text}\n",
            "x",
            ".",
        ]
        for each in wrong:
            response = begin(study, participant_id="p", link=each)
            refused(response, 403)
            assert code_of(response) == INVALID_LINK, each
        elsewhere = Scenario.create(api, resume="signed")
        assert code_of(begin(elsewhere, participant_id="p", link=text)) == INVALID_LINK
        assert code_of(begin(study, participant_id="P", link=text)) == INVALID_LINK
        refused(begin(study, participant_id="p", link="x" * 301), 400, "link")
        expect(begin(study, participant_id=" p\u200b ", link=text), 201)  # the same id, as it is kept

    def test_an_old_link(self, study: Scenario) -> None:
        soon = (datetime.now(UTC) + timedelta(seconds=2)).isoformat()
        (url,) = links(study, "p", expires_at=soon)
        wait_for(lambda: begin(study, participant_id="p", link=part(url)).status_code == 403)
        assert code_of(begin(study, participant_id="p", link=part(url))) == EXPIRED_LINK

    def test_a_key_that_is_gone(self, study: Scenario, server: Installation) -> None:
        (url,) = links(study, "p")
        expect(begin(study, participant_id="p", link=part(url)), 201)
        with connected(server) as database:  # what `keys rotate` does, and `--now`
            database.execute(
                "UPDATE signing_keys SET retired_at = now(), expires_at = now() + interval '1 day'"
                " WHERE purpose = 'participation' AND retired_at IS NULL"
            )
            expect(begin(study, participant_id="p", link=part(url)), 200)
            (newer,) = links(study, "p")
            assert part(newer).partition(".")[0] != part(url).partition(".")[0]
            database.execute("DELETE FROM signing_keys WHERE purpose = 'participation'")
        assert code_of(begin(study, participant_id="p", link=part(newer))) == INVALID_LINK

    def test_what_may_be_asked_for(self, study: Scenario) -> None:
        path = f"/studies/{study.study['id']}/links"
        for wrong, field in (
            ({"participant_ids": []}, "participant_ids"),
            ({"participant_ids": [""]}, "participant_ids.0"),
            ({"participant_ids": ["p"], "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
            ({"participant_ids": ["p"], "expires_at": "2999-01-01T00:00:00Z"}, "expires_at"),
            ({"participant_ids": ["p"], "expires_at": "2026-01-01T00:00:00"}, "expires_at"),
            ({"participant_ids": ["p"], "once": "yes"}, "once"),
        ):
            refused(study.api.post(path, json=wrong), 400, field)

    @pytest.mark.parametrize("how", [{"params": {"format": "csv"}}, {"headers": {"Accept": "text/csv"}}])
    def test_as_a_table(self, study: Scenario, how: dict[str, Any]) -> None:
        path = f"/studies/{study.study['id']}/links"
        ids = ["p", 'with "quotes", and commas', "=1+1"]
        answer = study.api.post(path, json={"participant_ids": ids, "once": True}, **how)
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        assert [row["participant_id"] for row in rows] == [*ids[:2], "'=1+1"]  # which no spreadsheet runs
        assert {row["once"] for row in rows} == {"true"}
        for row, participant in zip(rows, ids, strict=True):
            expect(begin(study, participant_id=participant, link=part(row["url"])), 201)

    def test_by_the_command_line(self, study: Scenario, server: Installation, tmp_path: Path) -> None:
        file = tmp_path / "participants.txt"
        file.write_text("\ufeffq\n\n r \n", encoding="utf-8")
        command = ("study", "links", study.study["id"])
        table = server.run(*command, "p", "--from", str(file), "--days", "2", "--once", "--csv").stdout
        rows = list(csv.DictReader(io.StringIO(table)))
        assert [row["participant_id"] for row in rows] == ["p", "q", "r"]
        left = datetime.fromisoformat(rows[0]["expires_at"]) - datetime.now(UTC)
        assert timedelta(days=1) < left < timedelta(days=3)
        expect(begin(study, participant_id="r", link=part(rows[2]["url"])), 201)
        assert code_of(begin(study, participant_id="r", link=part(rows[2]["url"]))) == USED_LINK
        assert json.loads(server.run(*command, "p", "--json").stdout)[0]["once"] is False
        assert server.run(*command, "p").stdout.splitlines()[1].startswith("p               http")
        assert server.run(*command, "p", "--fields", "once,participant_id").stdout.split()[3:] == ["no", "p"]
        nobody = server.run(*command, check=False)
        assert (nobody.returncode, nobody.stdout) == (2, "")
        assert "--from FILE" in nobody.stderr

    def test_by_the_page(self, study: Scenario, server: Installation) -> None:
        once, often = links(study, "p", once=True) + links(study, "p")
        bare = f"{server.url}/participate/{study.study['id']}"
        options: dict[str, Any] = {
            "trust_env": False,
            "headers": {"Origin": server.url, "Accept": "text/html"},
        }
        with httpx.Client(**options) as own, httpx.Client(**options) as other:
            for nobody in (bare, f"{bare}?PROLIFIC_PID=p", f"{bare}?PROLIFIC_PID=p&SESSION_ID={LONG}"):
                shown = other.get(nobody)
                assert (shown.status_code, "<form" in shown.text) == (403, False)
            assert other.post(bare, data={"participant_id": "p", "session_id": ""}).status_code == 403
            for _ in range(2):  # looking, as mail programs do, uses nothing up
                assert other.get(once).status_code == 200
            form = {"participant_id": "p", "session_id": "", "link": part(once)}
            path = own.post(bare, data=form).headers["Location"]
            assert own.get(f"{server.url}{path}", follow_redirects=True).status_code == 200
            assert own.get(once).status_code == 303  # a reload, by the cookie
            for refusal in (other.get(once), other.post(bare, data=form)):
                assert (refusal.status_code, "set-cookie" in refusal.headers) == (403, False)
            assert other.get(f"{server.url}{path}").status_code == 401
            assert other.get(often.replace("PROLIFIC_PID=p", "PROLIFIC_PID=q")).status_code == 403
            assert "Continue" in other.get(often).text
            resumed = other.post(bare, data={**form, "link": part(often)})
            assert resumed.headers["Location"] == path
            assert "resume-code" not in other.get(f"{server.url}{path}/later").text

    def test_it_proves_a_participant_under_any_resume(self, studies: dict[str, Scenario]) -> None:
        for resume, study in studies.items():
            first = expect(begin(study, participant_id="p", session_id=LONG), 201)
            (url,) = links(study, "p")
            again = begin(study, participant_id="p", link=part(url))
            assert expect(again, 200)["submission_id"] == first["submission_id"], resume
            refused(begin(study, participant_id="p", session_id=LONG, link=f"{part(url)[:-1]}x"), 403)

    def test_erasure_removes_what_was_used(self, study: Scenario, server: Installation) -> None:
        (url,) = links(study, "p", once=True)
        started = expect(begin(study, participant_id="p", link=part(url)), 201)
        expect(study.api.delete(f"/submissions/{started['submission_id']}"), 204)
        with connected(server) as database:
            found = database.execute("SELECT 1 FROM used_tickets WHERE id = %s", [part(url).split(".")[3]])
            assert found.fetchone() is None


SERVICE = HostedService()


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A server that knows the keys of this service."""
    keys = SERVICE.write_keys(tmp_path_factory.mktemp("keys") / "jwks.json")
    with installed(FIELDPACK_HOSTED_KEYS=str(keys)) as installation:
        yield installation


class TestSecured:
    """`signed`: the hosted service's secured links. What is forged is in tests/unit/test_hosted_tokens.py."""

    @pytest.fixture
    def study(self, own: Installation) -> Iterator[Scenario]:
        with own.client() as api:
            yield Scenario.create(api, is_external_study_url_secure=True)

    def page(self, own: Installation, study: Scenario) -> str:
        return f"{own.url}/participate/{study.study['id']}"

    def launch(self, own: Installation, study: Scenario, participant: str, session: str = LONG) -> str:
        """The URL that the service sends a participant to; another one each time, also within one second."""
        page = self.page(own, study)
        token = SERVICE.sign(SERVICE.claims(page, participant, session, jti=uuid4().hex))
        query = {"PROLIFIC_PID": participant, "STUDY_ID": "hosted-study", "SESSION_ID": session}
        return f"{page}?{urlencode({**query, 'prolific_token': token})}"

    @staticmethod
    def visitor(own: Installation) -> httpx.Client:
        headers = {"Origin": own.url, "Accept": "text/html"}
        return httpx.Client(trust_env=False, headers=headers, follow_redirects=True)

    def test_a_token_opens_once_and_reloads_use_the_cookie(self, own: Installation, study: Scenario) -> None:
        url = self.launch(own, study, "p")
        page = self.page(own, study)
        with self.visitor(own) as visitor, self.visitor(own) as thief:
            assert visitor.head(url).status_code in (200, 403)
            shown = visitor.get(url)
            assert shown.status_code == 200
            assert "prolific_token" not in str(shown.url)  # nor in the history, from then on
            assert visitor.get(url).status_code == 200
            stolen = thief.get(url)
            assert (stolen.status_code, "<form" in stolen.text) == (403, False)
            form = {"participant_id": "p", "session_id": LONG}
            assert thief.post(page, data=form).status_code == 403
            begun = visitor.post(page, data=form)
            assert begun.status_code == 200
            path = str(begun.url).rpartition("/")[0]
            assert visitor.get(url).url.path.startswith(f"{httpx.URL(path).path}/")
            assert thief.get(url).status_code == 403
            assert thief.post(page, data=form).status_code == 403
            assert thief.get(path).status_code == 401
            # another device of theirs comes by the service again
            with self.visitor(own) as phone:
                assert "Continue" in phone.get(self.launch(own, study, "p")).text
                assert str(phone.post(page, data=form).url).startswith(path)
            # a cookie of one participant is nothing to another
            assert thief.get(self.launch(own, study, "q", "another-session-1234")).status_code == 200
            assert thief.post(page, data=form).status_code == 403

    def test_by_the_api(self, own: Installation, study: Scenario) -> None:
        def token(participant: str, **other: Any) -> str:
            return SERVICE.sign(SERVICE.claims(self.page(own, study), participant, LONG, **other))

        assert code_of(begin(study, participant_id="p", session_id=LONG)) == NEEDED_LINK
        good = token("p")
        refused(begin(study, participant_id="q", prolific_token=good), 400, "participant_id")
        assert code_of(begin(study, participant_id="p", session_id="s", prolific_token=good)) == INVALID_LINK
        first = expect(begin(study, participant_id="p", session_id=LONG, prolific_token=good), 201)
        response = begin(study, participant_id="p", session_id=LONG, prolific_token=good)
        refused(response, 403)
        assert code_of(response) == USED_LINK
        expect(begin(study, first["token"], participant_id="p", session_id=LONG), 200)
        newer = begin(study, participant_id="p", prolific_token=token("p", jti="another"))
        assert expect(newer, 200)["submission_id"] == first["submission_id"]
        for forged in (
            HostedService().sign(SERVICE.claims(self.page(own, study), "r", LONG)),
            token("r", aud=self.page(own, study)[:-1]),
            token("r", iss="https://evil.example"),
        ):
            assert code_of(begin(study, participant_id="r", prolific_token=forged)) == INVALID_LINK
        old = token("r", exp=int(time.time()) - 120)
        assert code_of(begin(study, participant_id="r", prolific_token=old)) == EXPIRED_LINK
        refused(begin(study, participant_id="r", prolific_token="x" * 5000), 400, "prolific_token")

    @pytest.mark.parametrize("change", ["PROLIFIC_PID=q", "SESSION_ID=t", "STUDY_ID=x", "extra=1"])
    def test_a_url_that_was_changed(self, own: Installation, study: Scenario, change: str) -> None:
        url = self.launch(own, study, "p")
        name = change.partition("=")[0]
        changed = re.sub(rf"{name}=[^&]*", change, url) if name in url else f"{url}&{change}"
        with self.visitor(own) as visitor:
            assert visitor.get(changed).status_code == 403
            assert visitor.get(url).status_code == 200  # it was not used up by that

    def test_our_own_links_open_it_too(self, study: Scenario) -> None:
        (url,) = links(study, "p")
        expect(begin(study, participant_id="p", link=part(url)), 201)

    def test_erasure_removes_what_was_used(self, own: Installation, study: Scenario) -> None:
        with self.visitor(own) as visitor, connected(own) as database:
            visitor.get(self.launch(own, study, "p"))
            begun = visitor.post(self.page(own, study), data={"participant_id": "p", "session_id": LONG})
            submission_id = begun.url.path.split("/")[3]
            count = "SELECT count(*) FROM used_tickets WHERE submission_id = %s"
            assert database.execute(count, [submission_id]).fetchone() == (1,)
            expect(study.api.delete(f"/submissions/{submission_id}"), 204)
            assert database.execute(count, [submission_id]).fetchone() == (0,)

    def test_what_has_expired_is_forgotten(self, own: Installation, study: Scenario) -> None:
        with self.visitor(own) as visitor, connected(own) as database:
            visitor.get(self.launch(own, study, "never begins"))
            database.execute("UPDATE used_tickets SET expires_at = now() - interval '2 hours'")
            visitor.get(self.launch(own, study, "begins later"))
        assert asyncio.run(_sweep(own)) >= 1
        with connected(own) as database:
            assert database.execute(
                "SELECT count(*) FROM used_tickets WHERE expires_at < now()"
            ).fetchone() == (0,)


async def _sweep(own: Installation) -> int:
    with open_embedded(own.data_dir) as embedded:
        database = Database(embedded.url)
        await database.open()
        try:
            async with database.transaction() as connection:
                return await sweep_used(connection)
        finally:
            await database.close()
