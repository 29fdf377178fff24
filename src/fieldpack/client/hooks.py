"""The routes of webhooks: what is subscribed to, and what became of events."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from fieldpack.client.routes import Json, Routes, path_segment

__all__ = ["HookRoutes"]

_SUBSCRIPTIONS = "/hooks/subscriptions/"


def _path(subscription_id: str, *more: str) -> str:
    return _SUBSCRIPTIONS + "".join(f"{path_segment(part)}/" for part in (subscription_id, *more))


class HookRoutes(Routes):
    """Every route below `/hooks`, a method each; see `Client`."""

    def list_hook_event_types(self) -> list[Json]:
        """What can be subscribed to: `{event_type, description}`."""
        return list(self._iter("/hooks/event-types/"))

    def list_hook_secrets(self, workspace_id: str | None = None) -> list[Json]:
        """The secrets that sign events: `{id, value, workspace_id}`."""
        return list(self._iter("/hooks/secrets/", {"workspace_id": workspace_id} if workspace_id else None))

    def create_hook_secret(self, workspace_id: str) -> Json:
        """Make a secret, in place of the one the workspace has."""
        return self._send("POST", "/hooks/secrets/", {"workspace_id": workspace_id})

    def list_hooks(self, workspace_id: str | None = None, *, is_enabled: bool = True) -> list[Json]:
        """The subscriptions that are enabled, or those that are not."""
        asked: dict[str, str | int] = {"is_enabled": "true" if is_enabled else "false"}
        asked |= {"workspace_id": workspace_id} if workspace_id else {}
        return list(self._iter(_SUBSCRIPTIONS, asked))

    def get_hook(self, subscription_id: str) -> Json:
        """One subscription."""
        return self._get(_path(subscription_id))

    def create_hook(self, event_type: str, target_url: str, workspace_id: str) -> tuple[Json, str | None]:
        """Subscribe; nothing is sent before `confirm_hook`.

        Returns:
            The subscription, and the secret that confirms it; None where the service sends that to the target instead.
        """
        body = {"event_type": event_type, "target_url": target_url, "workspace_id": workspace_id}
        reply = self._transport.send("POST", _SUBSCRIPTIONS, body=body)
        made = reply.body[0] if isinstance(reply.body, list) and reply.body else reply.body
        return self._read(made, {"id": str}), reply.headers.get("X-Hook-Secret")

    def confirm_hook(self, subscription_id: str, secret: str) -> Json:
        """Confirm a subscription by the secret that came with it."""
        return self._send("POST", _path(subscription_id), {"secret": secret})

    def update_hook(
        self,
        subscription_id: str,
        *,
        event_type: str | None = None,
        target_url: str | None = None,
        is_enabled: bool | None = None,
    ) -> Json:
        """Change what is given."""
        given = {"event_type": event_type, "target_url": target_url, "is_enabled": is_enabled}
        body = {name: value for name, value in given.items() if value is not None}
        return self._send("PATCH", _path(subscription_id), body)

    def delete_hook(self, subscription_id: str) -> None:
        """Delete a subscription, and its events."""
        self._transport.request("DELETE", _path(subscription_id))

    def list_hook_events(
        self,
        subscription_id: str,
        *,
        statuses: Sequence[str] = (),
        resource_id: str | None = None,
    ) -> list[Json]:
        """The events of a subscription, newest first.

        Args:
            subscription_id: whose.
            statuses: only those that are `PENDING`, `SUCCEEDED` or `FAILED`.
            resource_id: only those about this study, submission or export.
        """
        asked: dict[str, str | int] = {"status": orjson.dumps(list(statuses)).decode()} if statuses else {}
        asked |= {"resource_id": resource_id} if resource_id else {}
        return list(self._iter(_path(subscription_id, "events"), asked, {"attempts": ([{}], None)}))

    def send_test_event(self, subscription_id: str) -> Json:
        """Have an event sent that nothing has caused (fieldpack only); return `{id}`."""
        return self._send("POST", _path(subscription_id, "test"), {})

    def resend_event(self, subscription_id: str, event_id: str) -> Json:
        """Have an event sent again, under its own id (fieldpack only)."""
        return self._send("POST", _path(subscription_id, "events", event_id, "resend"), {})
