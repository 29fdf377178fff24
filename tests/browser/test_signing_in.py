"""Signing in as people do: passkeys by Chromium's own authenticator, an app's code, and pages on every screen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyotp
import pytest
from playwright.sync_api import BrowserContext, CDPSession, Page, expect

from fieldpack.server.accounts.permissions.roles import Role
from tests.browser.conftest import Contexts
from tests.browser.visitor import PHONE, fits, violations
from tests.installation import Installation, installed
from tests.integration.rows import connected, insert_researcher
from tests.integration.test_invitations import code_of, invite, new_email
from tests.integration.test_signing_in import PASSWORD, by_link, make_researcher
from tests.scenario import Scenario


@pytest.fixture(scope="module")
def own() -> Iterator[Installation]:
    """An installation where people have passwords and passkeys, by a name that browsers allow passkeys for."""
    with installed() as installation:
        yield installation


def at(server: Installation, path: str) -> str:
    """A page of the server. Passkeys are for names and not for addresses."""
    return f"http://localhost:{server.port}{path}"


def sign_in_by_link(server: Installation, context: BrowserContext, email: str) -> Page:
    """A page that is signed in."""
    browser = by_link(server, email)
    context.add_cookies([
        {"name": name, "value": value, "url": at(server, "/")} for name, value in browser.cookies.items()
    ])  # fmt: skip
    page = context.new_page()
    page.goto(at(server, "/researcher/account"))
    return page


def add_authenticator(page: Page, *, verifies: bool = True) -> tuple[CDPSession, str]:
    """Chromium's virtual authenticator, which holds passkeys and says yes."""
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    options: dict[str, Any] = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": verifies,
        "automaticPresenceSimulation": True,
    }
    made = session.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    return session, made["authenticatorId"]


def test_a_passkey_is_made_signs_in_and_is_removed(own: Installation, visitors: Contexts) -> None:
    email = make_researcher(own)
    page = sign_in_by_link(own, visitors(), email)
    session, authenticator = add_authenticator(page)
    page.get_by_label("A name for it").fill("My laptop")
    page.get_by_role("button", name="Add a passkey").click()
    expect(page.locator("#passkeys .entry-name")).to_have_text("My laptop")
    kept = session.send("WebAuthn.getCredentials", {"authenticatorId": authenticator})["credentials"]
    assert len(kept) == 1
    assert kept[0]["isResidentCredential"]
    page.get_by_role("button", name="Sign out").first.click()
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.wait_for_url("**/researcher")
    page.goto(at(own, "/researcher/account"))
    expect(page.locator("#sessions")).to_contain_text("Signed in with a passkey")
    expect(page.locator(".meta")).to_contain_text(email)
    page.get_by_role("button", name="Remove the passkey My laptop").click()
    expect(page.locator("#passkeys .entry-name")).to_have_count(0)
    page.get_by_role("button", name="Sign out").first.click()
    page.goto(at(own, "/sign-in"))
    button = page.get_by_role("button", name="Sign in with a passkey")
    if button.count():  # others have one
        button.click()
        expect(page.locator("main")).to_contain_text("not known here")
    with connected(own) as database:
        entries = database.execute(
            """
            SELECT e.action, e.details->>'step' FROM audit_entries e JOIN audit_subjects s ON s.id = e.actor_id
            JOIN researchers r ON r.id = s.researcher_id WHERE r.email = %s ORDER BY e.id
            """,
            [email],
        ).fetchall()
    assert entries == [
        ("session.begin", "link"),
        ("credential.update", "passkey added"),
        ("session.end", None),
        ("session.begin", "passkey"),
        ("credential.update", "passkey removed"),
        ("session.end", None),
    ]


def test_an_authenticator_that_does_not_know_its_user_makes_none(
    own: Installation, visitors: Contexts
) -> None:
    page = sign_in_by_link(own, visitors(), make_researcher(own))
    add_authenticator(page, verifies=False)
    page.get_by_role("button", name="Add a passkey").click()
    expect(page.locator(".passkey-failed")).to_be_visible()
    expect(page.locator("#passkeys .entry-name")).to_have_count(0)


def test_an_answer_of_a_passkey_works_once(own: Installation, visitors: Contexts) -> None:
    page = sign_in_by_link(own, visitors(), make_researcher(own))
    add_authenticator(page)
    page.get_by_role("button", name="Add a passkey").click()
    expect(page.locator("#passkeys .entry-name")).to_have_count(1)
    sent: list[str] = []
    page.on(
        "request",
        lambda request: (
            sent.append(request.post_data or "") if request.url.endswith("/sign-in/passkey") else None
        ),
    )
    page.get_by_role("button", name="Sign out").first.click()
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.wait_for_url("**/researcher")
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": at(own, "")}
    again = page.request.post(at(own, "/sign-in/passkey"), data=sent[0], headers=headers, max_redirects=0)
    assert again.status == 403
    elsewhere = page.request.post(
        at(own, "/researcher/account/passkeys"), data=sent[0], headers=headers, max_redirects=0
    )
    assert elsewhere.status == 400


def test_without_scripts_no_button_for_passkeys_is_shown(own: Installation, visitors: Contexts) -> None:
    page = sign_in_by_link(own, visitors(java_script_enabled=False), make_researcher(own))
    expect(page.get_by_role("button", name="Add a passkey")).to_be_hidden()
    expect(page.locator("#passkeys")).to_contain_text("needs scripts")


def test_a_password_and_an_app_without_scripts(own: Installation, visitors: Contexts) -> None:
    email = make_researcher(own)
    page = sign_in_by_link(own, visitors(java_script_enabled=False), email)
    page.get_by_label("New password").fill(PASSWORD)
    page.get_by_label("The same once more").fill(PASSWORD)
    page.get_by_role("button", name="Set a password").click()
    page.get_by_role("link", name="Set up a second factor").click()
    uri = page.get_by_role("link", name="Open it in an app").get_attribute("href")
    assert uri is not None
    app = pyotp.parse_uri(uri)
    assert isinstance(app, pyotp.TOTP)
    page.get_by_label("Code", exact=True).fill(app.now())
    page.get_by_role("button", name="Turn on").click()
    codes = page.locator(".recovery li").all_inner_texts()
    assert len(codes) == 10
    page.get_by_role("link", name="I have kept them").click()
    page.get_by_role("button", name="Sign out").first.click()
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_label("Code of your app").fill(codes[0])
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url("**/researcher")


def test_an_invitation_without_scripts(own: Installation, visitors: Contexts) -> None:
    page = visitors(java_script_enabled=False).new_page()
    page.goto(at(own, f"/join?code={code_of(invite(own)['url'])}"))
    page.get_by_label("Your name").fill("Bo Li")
    page.get_by_label("E-mail address").fill(new_email())
    page.get_by_role("button", name="Accept").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Your account")


@pytest.mark.parametrize("options", [{}, {**PHONE, "color_scheme": "dark"}], ids=["desktop", "phone, dark"])
def test_the_pages_are_for_everybody(own: Installation, visitors: Contexts, options: dict[str, Any]) -> None:
    """By axe, and without anything that sticks out."""
    email = make_researcher(own)
    page = sign_in_by_link(own, visitors(**options), email)
    page.get_by_label("New password").fill(PASSWORD)
    page.get_by_label("The same once more").fill(PASSWORD)
    page.get_by_role("button", name="Set a password").click()
    with own.client() as api:
        collection = Scenario.create(api).collection
    with connected(own) as database:
        database.execute(
            "INSERT INTO memberships (workspace_id, researcher_id, role)"
            " SELECT %s, id, 'owner' FROM researchers WHERE email = %s",
            [collection["workspace_id"], email],
        )
    insert_researcher(own, collection_roles={collection["id"]: Role.VIEWER})
    for path in (
        f"/workbench/workspaces/{collection['workspace_id']}/members",
        f"/researcher/workspaces/{collection['workspace_id']}/invitations",
        "/researcher/account",
        "/researcher/account/second-factor",
        "/sign-in",
        f"/join?code={code_of(invite(own)['url'])}",
    ):
        page.goto(at(own, path))
        assert violations(page) == []
        assert fits(page), path
