"""`fieldpack hook`: webhooks, which tell a program of yours when something happens."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from fieldpack.cli.completion import SubscriptionId, complete_subscription
from fieldpack.cli.lazy import make_app
from fieldpack.cli.lists import cut, list_command
from fieldpack.cli.options import AnyWorkspace, AsJson, Limit, Offset, Workspace
from fieldpack.errors import UsageError

__all__ = ["register"]

_COLUMNS = ("id", "event_type", "target_url", "is_enabled", "is_confirmed", "notice")
_EVENT_COLUMNS = ("id", "datetime_created", "event_type", "resource_id", "status", "tries", "last")
_EXAMPLES = """\b
Examples:
  fieldpack hook create-secret -w WORKSPACE_ID
  fieldpack hook create -e submission.status.change -u https://example.org/hook -w WORKSPACE_ID
  fieldpack hook test SUBSCRIPTION_ID
  fieldpack hook events SUBSCRIPTION_ID --status FAILED
"""


app = make_app(help="Have events sent to a program of yours (webhooks).", epilog=_EXAMPLES)


def register(root: typer.Typer) -> None:
    """Add the group."""
    root.add_typer(app, name="hook")


@list_command(app, "event-types", ("event_type", "description"), empty="There is none.")
def list_event_types() -> list[dict[str, Any]]:
    """List what can be subscribed to."""
    from fieldpack.client import Client

    with Client() as client:
        return client.list_hook_event_types()


@list_command(
    app,
    "secrets",
    ("id", "workspace_id", "value"),
    empty="There is no secret yet; `fieldpack hook create-secret` makes one.",
)
def list_secrets(workspace: AnyWorkspace = None) -> list[dict[str, Any]]:
    """List the secrets that sign events."""
    from fieldpack.client import Client

    with Client() as client:
        return client.list_hook_secrets(workspace)


@app.command("create-secret")
def create_secret(
    workspace: Workspace,
    is_agreed: Annotated[
        bool, typer.Option("--delete-old-secret", help="Replace the one there is, and don't ask.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Make the secret that signs a workspace's events, in place of the one there is, after asking at a terminal."""
    from fieldpack.cli.output import print_json, print_text
    from fieldpack.client import Client

    with Client() as client:
        if not is_agreed and sys.stdin.isatty() and client.list_hook_secrets(workspace):
            question = (
                "Replace the secret there is? Receivers refuse what the new one signs until they have it."
            )
            typer.confirm(question, abort=True, err=True)
        made = client.create_hook_secret(workspace)
    if json:
        print_json(made)
    else:
        print_text(f"{made['value']}")


@list_command(app, "list", _COLUMNS, empty="There is no such subscription.")
def list_hooks(
    workspace: AnyWorkspace = None,
    enabled: Annotated[
        bool | None,
        typer.Option(
            "-e/", "--enabled/--no-enabled", help="List those that are enabled (the default), or the others."
        ),
    ] = None,
    disabled: Annotated[
        bool, typer.Option("-d", "--disabled", help="List those that are not enabled.")
    ] = False,
    limit: Limit = None,
    offset: Offset = 0,
) -> list[dict[str, Any]]:
    """List subscriptions."""
    from fieldpack.client import Client

    with Client() as client:
        with_disabled = disabled or enabled is False
        with_enabled = enabled or not with_disabled
        wanted = [state for state, is_wanted in ((True, with_enabled), (False, with_disabled)) if is_wanted]
        rows = [row for state in wanted for row in client.list_hooks(workspace, is_enabled=state)]
    return cut(rows, limit, offset)


@app.command("create")
def create_hook(
    event_type: Annotated[
        str, typer.Option("-e", "--event-type", help="What to be told of; `hook event-types` lists them.")
    ],
    target_url: Annotated[
        str, typer.Option("-u", "--url", "--target-url", help="Where events are sent; https.")
    ],
    workspace: Workspace,
    confirm: Annotated[
        bool, typer.Option("--confirm/--no-confirm", help="Confirm it at once, where the server allows that.")
    ] = True,
    json: AsJson = False,
) -> None:
    """Subscribe to events of a workspace.

    The workspace needs a secret first (`fieldpack hook create-secret`), which signs what is sent. Nothing is sent
    before the subscription is confirmed: a fieldpack server says in its answer what confirms it, and this command
    does so. The hosted service sends it to the target instead: give it to `fieldpack hook confirm` from there.
    """
    from fieldpack.cli.output import print_json, print_text
    from fieldpack.client import Client

    with Client() as client:
        made, secret = client.create_hook(event_type, target_url, workspace)
        if secret is not None and confirm:
            made = client.confirm_hook(str(made["id"]), secret)
    is_confirmed = secret is not None and confirm
    if json:
        print_json({**made, **({} if is_confirmed or secret is None else {"secret": secret})})
    elif is_confirmed:
        print_text(f"Subscribed and confirmed: {made['id']}.")
    else:
        print_text(
            f"Subscribed: {made['id']}. It gets nothing before `fieldpack hook confirm {made['id']} …`."
        )
        if secret is not None:
            print_text(f"What confirms it, and is not shown again: {secret}")


@app.command("confirm")
def confirm_hook(
    subscription_id: SubscriptionId,
    secret: Annotated[
        str, typer.Argument(metavar="SECRET", help="What came with it, or to the target, as X-Hook-Secret.")
    ],
    json: AsJson = False,
) -> None:
    """Confirm a subscription."""
    from fieldpack.cli.output import print_json, print_text
    from fieldpack.client import Client

    with Client() as client:
        made = client.confirm_hook(subscription_id, secret)
    if json:
        print_json(made)
    else:
        print_text(f"Confirmed: {subscription_id}.")


@app.command("update")
def update_hook(
    subscription_id: SubscriptionId,
    event_type: Annotated[str | None, typer.Option("-e", "--event-type", help="What to be told of.")] = None,
    target_url: Annotated[
        str | None, typer.Option("-u", "--url", "--target-url", help="Where events are sent.")
    ] = None,
    enable: Annotated[
        bool | None, typer.Option("--enable/--disable", help="Whether events are sent.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Change a subscription. Enabled again, it goes on with what waits."""
    from fieldpack.cli.output import print_json, print_text
    from fieldpack.client import Client

    if event_type is None and target_url is None and enable is None:
        raise UsageError("Give what to change: --event-type, --url, --enable or --disable.")
    with Client() as client:
        made = client.update_hook(
            subscription_id, event_type=event_type, target_url=target_url, is_enabled=enable
        )
    if json:
        print_json(made)
    else:
        state = "enabled" if made.get("is_enabled") else "not enabled"
        print_text(f"{made.get('event_type')} to {made.get('target_url')}, {state}.")


@app.command("delete")
def delete_hook(subscription_id: SubscriptionId) -> None:
    """Delete a subscription, and its events."""
    from fieldpack.cli.output import print_text
    from fieldpack.client import Client

    with Client() as client:
        client.delete_hook(subscription_id)
    print_text(f"Deleted {subscription_id}.")


def _summarise(row: Mapping[str, Any]) -> dict[str, Any]:
    """An event with what came of the last attempt, in a word or a sentence."""
    attempts = row.get("attempts") or []
    last = attempts[-1] if attempts else {}
    return {**row, "tries": len(attempts), "last": last.get("error") or last.get("status_code")}


@list_command(app, "events", _EVENT_COLUMNS, empty="There is no such event.", flatten=_summarise)
def list_events(
    subscription_id: Annotated[
        str | None,
        typer.Argument(
            metavar="[SUBSCRIPTION_ID]",
            help="Id of the subscription.",
            autocompletion=complete_subscription,
        ),
    ] = None,
    subscription: Annotated[
        str | None,
        typer.Option(
            "-s", "--subscription", help="The same, as an option.", autocompletion=complete_subscription
        ),
    ] = None,
    status: Annotated[
        list[str] | None,
        typer.Option("--status", help="Only those PENDING, SUCCEEDED or FAILED; repeatable."),
    ] = None,
    resource_id: Annotated[
        str | None, typer.Option("--resource-id", help="Only those about this study, submission or export.")
    ] = None,
    limit: Limit = None,
    offset: Offset = 0,
) -> list[dict[str, Any]]:
    """List the events of a subscription, newest first, and what became of them."""
    from fieldpack.client import Client

    wanted = subscription_id or subscription
    if wanted is None or (subscription_id and subscription):
        raise UsageError(
            "Say whose events, once: `fieldpack hook events SUBSCRIPTION_ID`, or -s SUBSCRIPTION_ID."
        )
    with Client() as client:
        rows = client.list_hook_events(wanted, statuses=status or (), resource_id=resource_id)
    return cut(rows, limit, offset)


@app.command("test")
def send_test_event(subscription_id: SubscriptionId, json: AsJson = False) -> None:
    """Have an event sent that nothing has caused, to try the receiver."""
    from fieldpack.cli.output import print_json, print_text
    from fieldpack.client import Client

    with Client() as client:
        made = client.send_test_event(subscription_id)
    if json:
        print_json(made)
    else:
        print_text(
            f"On its way: {made['id']}. `fieldpack hook events {subscription_id}` says what became of it."
        )


@app.command("resend")
def resend_event(
    subscription_id: SubscriptionId,
    event_id: Annotated[str, typer.Argument(metavar="EVENT_ID", help="Id of the event.")],
) -> None:
    """Have an event sent again, under its own id."""
    from fieldpack.cli.output import print_text
    from fieldpack.client import Client

    with Client() as client:
        client.resend_event(subscription_id, event_id)
    print_text(f"On its way again: {event_id}.")
