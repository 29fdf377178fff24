"""The routes of workspaces, collections and studies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, get_args

from fieldpack.client.routes import COLLECTIONS, Json, Routes, Shape, collection_path, path_segment
from fieldpack.errors import ApiError, UsageError

__all__ = ["ResourceRoutes"]

StudyAction = Literal["PUBLISH", "PAUSE", "START", "STOP", "SCHEDULE_PUBLISH", "CANCEL_PUBLISH"]
CollectionState = Literal["open", "paused", "ended", "draft"]
StudyState = Literal["published", "active", "completed", "scheduled"]

_OPTIONS: Shape = ([{}], None)
_ITEM: Shape = {"options": _OPTIONS, "unit_options": _OPTIONS}
_COLLECTION: Shape = {"collection_items": ([{"page_items": ([_ITEM], None)}], None)}
_STUDY: Shape = {"id": str, "total_available_places": (int, None), "unenforced": ([object], None)}
_METHOD = "AI_TASK_BUILDER_COLLECTION"


class ResourceRoutes(Routes):
    """Every route of people, workspaces, collections and studies, a method each; see `Client`."""

    # People and workspaces

    def get_me(self) -> Json:
        """The researcher whose token this is (`GET /users/me`)."""
        return self._get("/users/me")

    def list_workspaces(self) -> list[Json]:
        """The workspaces the researcher is a member of."""
        return list(self._iter("/workspaces/"))

    def get_workspace(self, workspace_id: str) -> Json:
        """One workspace."""
        return self._get(f"/workspaces/{path_segment(workspace_id)}/")

    def create_workspace(self, title: str, description: str = "") -> Json:
        """A new workspace with the researcher as its member."""
        return self._send("POST", "/workspaces/", {"title": title, "description": description})

    # Collections

    def upload_picture(self, workspace_id: str, picture: Path | bytes) -> Json:
        """Upload a picture for instructions (fieldpack only); return `{id, url}`, the same for the same picture.

        Args:
            workspace_id: whose collections will show it.
            picture: JPEG, PNG, WebP or GIF, a file or its bytes.

        Raises:
            OSError: the file can't be read.
        """
        data = picture if isinstance(picture, bytes) else picture.read_bytes()
        path = f"/workspaces/{path_segment(workspace_id)}/pictures"
        return self._call("POST", path, {"url": str}, content=data, repeatable=True)

    def list_collections(
        self,
        workspace_id: str,
        *,
        search: str | None = None,
        state: CollectionState | None = None,
        mine: bool = False,
        review: bool = False,
        archived: Literal["no", "yes", "all"] | None = None,
        sort: Literal["created", "activity"] | None = None,
    ) -> list[Json]:
        """The collections of a workspace, newest first; all but the workspace is known to fieldpack only.

        Args:
            workspace_id: the workspace.
            search: only those whose name or description holds this, in any case, or whose id it is.
            state: only those whose studies are open, paused, all ended, or drafts.
            mine: only those that the researcher made.
            review: only those with submissions that wait for a review.
            archived: `yes` for those that were put aside, `all` for both; without it those that were not.
            sort: `activity` for those first to which something happened last.
        """
        asked = {"workspace_id": workspace_id, "search": search, "state": state}
        asked |= {"mine": "yes" if mine else None, "review": "yes" if review else None}
        asked |= {"archived": archived, "sort": sort}
        return list(
            self._iter(COLLECTIONS, {name: text for name, text in asked.items() if text}, _COLLECTION)
        )

    def get_collection(self, collection_id: str) -> Json:
        """One collection with its pages and instructions."""
        return self._get(collection_path(collection_id), _COLLECTION)

    def create_collection(self, collection: Mapping[str, Any]) -> Json:
        """Create a collection: `workspace_id, name, collection_items, task_details, description`."""
        return self._send("POST", COLLECTIONS, collection, _COLLECTION)

    def update_collection(self, collection_id: str, collection: Mapping[str, Any]) -> Json:
        """Replace a collection: pages and items with an `id` are kept, those left out are retired."""
        return self._send("PUT", collection_path(collection_id) + "/", collection, _COLLECTION)

    def iter_responses(self, collection_id: str) -> Iterator[Json]:
        """One record per instruction answered, page by page."""
        return self._iter(collection_path(collection_id) + "/responses")

    def check_collection(self, collection_id: str, collection: Mapping[str, Any]) -> Json:
        """What `update_collection` would do to answers: `{effects, under_way}` (fieldpack only)."""
        shape = {"effects": [{"kind": str, "answers": int}], "under_way": int}
        return self._send("POST", f"{collection_path(collection_id)}/check", collection, shape)

    def archive_collection(self, collection_id: str, is_archived: bool = True) -> Json:
        """Put a collection aside, out of lists, or back into them (fieldpack only)."""
        action = "archive" if is_archived else "unarchive"
        return self._send("POST", f"{collection_path(collection_id)}/{action}", {})

    def duplicate_collection(self, collection_id: str, name: str | None = None) -> Json:
        """A new collection that asks the same, in the same workspace (fieldpack only)."""
        body = {"name": name} if name is not None else {}
        return self._send("POST", f"{collection_path(collection_id)}/duplicate", body)

    def delete_collection(self, collection_id: str, name: str) -> None:
        """Delete a collection that holds no submissions any more, with its studies and exports (fieldpack only).

        Args:
            collection_id: the collection.
            name: its name, so that it is the one that is meant.

        Raises:
            ApiError: 400 for another name, 409 while it holds submissions.
        """
        try:
            self._transport.request("DELETE", collection_path(collection_id), params={"name": name})
        except ApiError as error:
            if error.status not in (404, 410):  # the request is repeated when its answer was lost
                raise

    # Studies

    def list_studies(
        self,
        state: StudyState | str | None = None,
        *,
        search: str | None = None,
        collection_id: str | None = None,
        project_id: str | None = None,
        is_test: bool = False,
    ) -> list[Json]:
        """The researcher's studies, newest first.

        Args:
            state: only the `published`, `active`, `completed` or `scheduled` ones; or any other status, or several
                as `(paused|unpublished)`, as far as the server knows them.
            search: only those with this in their name.
            collection_id: only those on this collection (fieldpack only; the hosted service ignores it, which is
                warned of).
            project_id: only those of this project (fieldpack only, in the same way).
            is_test: the copies for trying studies instead (fieldpack only, in the same way).
        """
        asked: dict[str, str | int] = {}
        if state in get_args(StudyState):
            asked[str(state)] = 1
        elif state:
            asked["state"] = state
        asked |= {"search": search} if search else {}
        asked |= {"data_collection_id": collection_id} if collection_id else {}
        asked |= {"project": project_id} if project_id else {}
        asked |= {"test": 1} if is_test else {}
        return list(self._iter("/studies/", asked))

    def get_study(self, study_id: str) -> Json:
        """One study."""
        return self._get(f"/studies/{path_segment(study_id)}/", _STUDY)

    def create_study(self, study: Mapping[str, Any]) -> Json:
        """Create a study, unpublished."""
        return self._send("POST", "/studies/", study, _STUDY)

    def update_study(self, study_id: str, changes: Mapping[str, Any]) -> Json:
        """Change fields of a study."""
        return self._send("PATCH", f"/studies/{path_segment(study_id)}/", changes)

    def transition_study(self, study_id: str, action: StudyAction, *, publish_at: str | None = None) -> Json:
        """Publish, pause, start again or stop a study.

        Args:
            study_id: the study.
            action: what to do.
            publish_at: when, for `SCHEDULE_PUBLISH`: RFC 3339 with its offset.
        """
        body = {"action": action, **({"publish_at": publish_at} if publish_at else {})}
        return self._send("POST", f"/studies/{path_segment(study_id)}/transition/", body, _STUDY)

    def delete_study(self, study_id: str) -> None:
        """Delete a draft.

        Raises:
            ApiError: 409 when it is none.
        """
        self._transport.request("DELETE", f"/studies/{path_segment(study_id)}/")

    def clone_study(self, study_id: str, *, block_previous_participants: bool = True) -> Json:
        """A new draft as this study is, which leaves out who took part in this one unless told not to."""
        body = {"block_previous_participants": block_previous_participants}
        return self._send("POST", f"/studies/{path_segment(study_id)}/clone/", body, _STUDY)

    def test_study(self, study_id: str) -> Json:
        """A copy for trying a study, and a link to it: `{study_id, study_url}`."""
        return self._send("POST", f"/studies/{path_segment(study_id)}/test-study/", {})

    def erase_tests(self, study_id: str) -> int:
        """Erase all test submissions of a study (fieldpack only); how many there were."""
        erased: int = 0
        while True:
            path = f"/studies/{path_segment(study_id)}/test-study"
            answer = self._call("DELETE", path, {"erased": int, "left": int})
            erased += int(answer["erased"])
            if not answer["left"] or not answer["erased"]:
                return erased

    def get_study_cost(self, study_id: str) -> Json:
        """What a study costs: `{rewards, bonuses}`; on fieldpack nothing."""
        return self._get(f"/studies/{path_segment(study_id)}/cost/")

    def get_balance(self, workspace_id: str) -> Json:
        """What a workspace has to spend; on fieldpack nothing."""
        return self._get(f"/workspaces/{path_segment(workspace_id)}/balance/")

    def list_links(self, study_id: str) -> list[Json]:
        """A study's links that are the same for everybody (fieldpack only): `kind` (`recruiting`, `ask`, `own`), `url`,
        and `svg`, a QR code, where it can be scanned."""
        shape = {"results": [{"kind": str, "url": str, "svg": (str, None)}]}
        return list(self._get(f"/studies/{path_segment(study_id)}/links", shape)["results"])

    def make_links(
        self,
        study_id: str,
        participant_ids: Sequence[str],
        *,
        expires_at: datetime | None = None,
        once: bool = False,
    ) -> list[Json]:
        """Make a personal link for each participant (fieldpack only); `participant_id, url, expires_at, once` of each.

        Args:
            study_id: what they open.
            participant_ids: whom they are for, 10,000 at most.
            expires_at: until when they are good, with a time zone; without it 90 days.
            once: each opens once only.

        Raises:
            UsageError: the time has no zone.
        """
        body: Json = {"participant_ids": list(participant_ids), "once": once}
        if expires_at is not None:
            if expires_at.tzinfo is None:
                raise UsageError("expires_at needs a time zone, such as UTC.")
            body["expires_at"] = expires_at.isoformat()
        answer = self._send("POST", f"/studies/{path_segment(study_id)}/links", body, {"results": [{}]})
        links: list[Json] = answer["results"]
        return links

    def publish_collection(
        self, collection_id: str, places: int, *, draft: bool = False, **fields: Any
    ) -> Json:
        """Create a study of `places` participants on a collection and publish it unless `draft`.

        Args:
            collection_id: what participants answer.
            places: how many participants there may be.
            draft: leave it unpublished.
            fields: any other field of a study; `name` is the collection's own unless given.
        """
        if "name" not in fields:
            fields["name"] = self.get_collection(collection_id).get("name")
        required = {
            "total_available_places": places,
            "data_collection_method": _METHOD,
            "data_collection_id": collection_id,
        }
        study = self.create_study({**fields, **required})
        return study if draft else {**study, **self.transition_study(study["id"], "PUBLISH")}

    # Looking after an installation (fieldpack only), for its operators

    def get_installation(self) -> Json:
        """How the installation does: findings, versions, sizes, jobs."""
        return self._get("/installation")

    def list_failed_jobs(self) -> list[Json]:
        """Jobs that failed and are not tried again by themselves, newest first, and why."""
        return list(self._iter("/installation/jobs"))

    def retry_job(self, job: int) -> Json:
        """Have a failed job tried again."""
        return self._send("POST", f"/installation/jobs/{job}/retry", {})

    def list_failed_exports(self) -> list[Json]:
        """Exports that failed in the last 30 days, newest first, and why."""
        found: list[Json] = self._get("/installation/exports", {"results": [{}]})["results"]
        return found

    def list_sweeps(self) -> list[Json]:
        """Sweeps that were asked for, newest first."""
        found: list[Json] = self._get("/installation/sweeps", {"results": [{}]})["results"]
        return found

    def request_sweep(self, *, dry_run: bool) -> Json:
        """Have a worker remove what retention and interruptions left, or only say what that is."""
        return self._send("POST", "/installation/sweeps", {"dry_run": dry_run})

    def get_sweep(self, sweep_id: str) -> Json:
        """A sweep that was asked for."""
        return self._get(f"/installation/sweeps/{path_segment(sweep_id)}")
