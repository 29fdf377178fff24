"""Participants' cookies: their names, those of before, and how many a browser keeps."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from http.cookies import SimpleCookie
from uuid import UUID, uuid4

import httpx
import pytest

from tests.installation import Installation, installed
from tests.integration.rows import connected
from tests.scenario import SESSION, Participant, Scenario

HTML = {"Accept": "text/html"}
HTTPS = {**HTML, "X-Forwarded-Proto": "https", "Host": "study.example", "Origin": "https://study.example"}


def set_cookies(response: httpx.Response) -> dict[str, str]:
    """The cookies that an answer sets, by name; those that it clears are empty."""
    found: dict[str, str] = {}
    for line in response.headers.get_list("set-cookie"):
        for name, morsel in SimpleCookie(line).items():
            found[name] = "" if morsel["max-age"] == "0" else morsel.value
    return found


def look(server: Installation, path: str, cookies: dict[str, str]) -> httpx.Response:
    """A page, over https."""
    header = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
    return httpx.get(f"{server.url}{path}", headers=HTTPS | header, trust_env=False)


def names(study: str, submission: str) -> tuple[str, str]:
    return f"fieldpack_study_{UUID(study).hex}", f"fieldpack_{UUID(submission).hex}"


def hold(scenario: Scenario, participant: Participant) -> dict[str, str]:
    """What a browser held of a participant before the upgrade."""
    by_study, by_submission = names(scenario.study["id"], participant.submission_id)
    return {by_study: participant.submission_id, by_submission: participant.token}


def set_upgrade(server: Installation, ago: timedelta) -> None:
    """As if the upgrade had been then; read at start."""
    with connected(server) as database:
        database.execute("DELETE FROM settings WHERE name = 'upgraded_at'")
        database.execute(
            "INSERT INTO settings SELECT 'upgraded_at', convert_to((extract(epoch FROM now()) - %s)::text, 'UTF8')",
            [ago.total_seconds()],
        )
    server.stop()
    server.start()


@pytest.fixture(scope="module")
def upgraded() -> Iterator[tuple[Installation, Scenario, Participant, Participant]]:
    """An installation upgraded just now, a participant of before and one of after."""
    with installed() as server:
        with server.client() as api:
            scenario = Scenario.create(api)
            before = scenario.start("before")
        set_upgrade(server, timedelta(0))
        with server.client() as api:
            scenario.api = api
            yield server, scenario, before, scenario.start("after")


Upgraded = tuple[Installation, Scenario, Participant, Participant]


def test_who_began_before_the_upgrade_goes_on_and_gets_the_new_names(upgraded: Upgraded) -> None:
    server, scenario, before, _ = upgraded
    old = hold(scenario, before)
    link = f"/participate/{scenario.study['id']}?PROLIFIC_PID=before"
    followed = look(server, link, old)
    assert (followed.status_code, followed.headers["location"].partition("?")[0]) == (
        303,
        f"/participate/submissions/{before.submission_id}",
    )
    page = look(server, f"/participate/submissions/{before.submission_id}/1", old)
    assert page.status_code == 200
    new = set_cookies(page)
    by_study, by_submission = old
    assert new[f"__Host-{by_submission}"] == before.token
    assert new[f"__Host-{by_study}"].startswith(before.submission_id)
    assert (new[by_study], new[by_submission]) == ("", "")
    kept = {name: value for name, value in new.items() if value}
    assert look(server, link, kept).status_code == 303
    again = look(server, f"/participate/submissions/{before.submission_id}/1", kept)
    assert (again.status_code, set_cookies(again)) == (200, {})
    api = f"/api/v1/participate/submissions/{before.submission_id}"
    assert look(server, api, old).status_code == 200  # a page that was open all the while


def test_a_planted_key_of_after_the_upgrade_is_not_taken(upgraded: Upgraded) -> None:
    server, scenario, _, after = upgraded
    planted = hold(scenario, after)
    path = f"/participate/submissions/{after.submission_id}/1"
    assert look(server, path, planted).status_code == 401
    assert look(server, f"/participate/{scenario.study['id']}?PROLIFIC_PID=after", planted).status_code == 200
    assert look(server, path, {f"__Host-{name}": value for name, value in planted.items()}).status_code == 200


def test_a_planted_session_is_not_taken(upgraded: Upgraded) -> None:
    """Else somebody could have a researcher work in an account of theirs, and look on."""
    server, *_ = upgraded
    answer = httpx.post(f"{server.url}/sign-in", data={"token": server.token}, headers=HTTPS, trust_env=False)
    [(name, value)] = set_cookies(answer).items()
    assert name == "__Host-fieldpack_researcher"
    assert look(server, "/researcher", {name: value}).status_code == 200
    assert look(server, "/researcher", {"fieldpack_researcher": value}).status_code == 303


def test_the_new_name_wins(upgraded: Upgraded) -> None:
    server, scenario, before, after = upgraded
    mine = {f"__Host-{name}": value for name, value in hold(scenario, after).items()}
    planted = {**hold(scenario, before), names(scenario.study["id"], after.submission_id)[1]: "planted"}
    link = f"/participate/{scenario.study['id']}?PROLIFIC_PID=after"
    assert after.submission_id in look(server, link, planted | mine).headers["location"]
    page = look(server, f"/participate/submissions/{after.submission_id}/1", planted | mine)
    assert page.status_code == 200


def test_old_names_are_not_taken_where_there_was_no_upgrade(server: Installation, api: httpx.Client) -> None:
    scenario = Scenario.create(api)
    participant = scenario.start("ann")
    path = f"/participate/submissions/{participant.submission_id}/1"
    held = hold(scenario, participant)
    assert look(server, path, held).status_code == 401
    assert look(server, path, {f"__Host-{name}": value for name, value in held.items()}).status_code == 200


def test_old_names_are_not_taken_for_ever(upgraded: Upgraded) -> None:
    """Last of those with this installation, which it changes."""
    server, scenario, before, _ = upgraded
    path = f"/participate/submissions/{before.submission_id}/1"
    with connected(server) as database:
        database.execute("UPDATE participant_tokens SET created_at = now() - interval '1 year'")
    set_upgrade(server, timedelta(days=91))
    assert look(server, path, hold(scenario, before)).status_code == 401
    new = {f"__Host-{name}": value for name, value in hold(scenario, before).items()}
    assert look(server, path, new).status_code == 200


# how many


def test_past_twenty_studies_the_oldest_goes(server: Installation, api: httpx.Client) -> None:
    """One browser, as far as its cookies go, in more studies than it keeps."""
    scenarios = [Scenario.create(api) for _ in range(23)]
    form = {"participant_id": "ada", "session_id": SESSION}

    def begin(browser: httpx.Client, scenario: Scenario) -> str:
        started = browser.post(f"/participate/{scenario.study['id']}", data=form)
        assert started.status_code == 303
        return str(started.headers["location"])

    with httpx.Client(
        base_url=server.url, trust_env=False, headers={**HTML, "Origin": server.url}
    ) as browser:
        paths = [begin(browser, scenario) for scenario in scenarios]
        held = [name for name in browser.cookies if name.startswith("fieldpack_study_")]
        assert len(held) == 20
        assert len(browser.cookies) == 40
        assert len("; ".join(f"{name}={value}" for name, value in browser.cookies.items())) < 8000
        assert [browser.get(f"{path}/1").status_code for path in paths] == [401] * 3 + [200] * 20
        assert begin(browser, scenarios[0]) == paths[0]  # by link, as ever
        assert [browser.get(f"{path}/1").status_code for path in paths[:5]] == [200] + [401] * 3 + [200]


def start_with(server: Installation, scenario: Scenario, held: dict[str, str]) -> dict[str, str]:
    """What an answer sets and clears for a browser that holds these cookies already."""
    answer = httpx.post(
        f"{server.url}/participate/{scenario.study['id']}",
        data={"participant_id": str(uuid4()), "session_id": "s"},
        headers={
            "Origin": server.url,
            "Cookie": "; ".join(f"{name}={value}" for name, value in held.items()),
        },
        trust_env=False,
    )
    assert answer.status_code == 303
    return set_cookies(answer)


def test_the_oldest_is_told_by_time_then_by_order(server: Installation, api: httpx.Client) -> None:
    scenario = Scenario.create(api)
    now = int(time.time())
    studies = [(str(uuid4()), str(uuid4())) for _ in range(20)]
    times = ["", "", *(f".{now - 60 + number}" for number in range(18))]  # two of before have none
    held: dict[str, str] = {"other": "x", "fieldpack_researcher": "x"}
    for (study, submission), at in zip(studies, times, strict=True):
        by_study, by_submission = names(study, submission)
        held |= {by_study: submission + at, by_submission: "token"}
    cleared = {name for name, value in start_with(server, scenario, held).items() if not value}
    assert cleared == set(names(*studies[0]))
    refreshed = {**held, names(*studies[0])[0]: f"{studies[0][1]}.{now}"}
    cleared = {name for name, value in start_with(server, scenario, refreshed).items() if not value}
    assert cleared == set(names(*studies[1]))


def test_many_submissions_to_one_study_are_bounded_too(server: Installation, api: httpx.Client) -> None:
    """A tablet that many people use."""
    scenario = Scenario.create(api)
    held: dict[str, str] = {}
    for _ in range(40):
        changed = start_with(server, scenario, held)
        held = {name: value for name, value in {**held, **changed}.items() if value}
    assert len([name for name in held if "study" in name]) == 1
    assert len(held) <= 13


def test_nonsense_in_cookies_is_no_fault(server: Installation, api: httpx.Client) -> None:
    scenario = Scenario.create(api)
    held = {f"fieldpack_study_{number}": "%00.x" for number in range(30)} | {
        "fieldpack_study_": ".",
        "fieldpack_": "x",
    }
    changed = start_with(server, scenario, held)
    assert len(changed) <= 10
    by_study = f"fieldpack_study_{UUID(scenario.study['id']).hex}"
    for value in ("", ".", "x.1", str(uuid4()), f"{uuid4()}.{'9' * 99}"):
        page = httpx.get(
            f"{server.url}/participate/{scenario.study['id']}?PROLIFIC_PID=x",
            headers={"Cookie": f"{by_study}={value}"},
            trust_env=False,
        )
        assert page.status_code == 200
