"""The routes of projects, which group studies, and of participant groups, which are lists of participants."""

from __future__ import annotations

from collections.abc import Sequence

from fieldpack.client.routes import Json, Routes, path_segment

__all__ = ["GroupRoutes"]


class GroupRoutes(Routes):
    """Every route of projects and participant groups, a method each; see `Client`."""

    # Projects

    def list_projects(self, workspace_id: str) -> list[Json]:
        """The projects of a workspace."""
        return list(self._iter(f"/workspaces/{path_segment(workspace_id)}/projects/"))

    def get_project(self, project_id: str) -> Json:
        """One project."""
        return self._get(f"/projects/{path_segment(project_id)}/")

    def create_project(self, workspace_id: str, title: str, description: str = "") -> Json:
        """A new project of a workspace."""
        path = f"/workspaces/{path_segment(workspace_id)}/projects/"
        return self._send("POST", path, {"title": title, "description": description})

    def update_project(
        self, project_id: str, *, title: str | None = None, description: str | None = None
    ) -> Json:
        """Change what is given."""
        given = {"title": title, "description": description}
        body = {name: value for name, value in given.items() if value is not None}
        return self._send("PATCH", f"/projects/{path_segment(project_id)}/", body)

    def list_project_studies(self, project_id: str, *, ordering: str | None = None) -> list[Json]:
        """The studies of a project.

        Args:
            project_id: the project.
            ordering: the field to sort by, such as `-name`; newest first without it.
        """
        path = f"/projects/{path_segment(project_id)}/studies/"
        return list(self._iter(path, {"ordering": ordering} if ordering else None))

    # Participant groups

    def list_participant_groups(self, workspace_id: str | None = None) -> list[Json]:
        """The participant groups of a workspace, or of all of the researcher's."""
        return list(
            self._iter("/participant-groups/", {"workspace_id": workspace_id} if workspace_id else None)
        )

    def get_participant_group(self, group_id: str) -> Json:
        """One participant group."""
        return self._get(_group(group_id))

    def create_participant_group(
        self,
        workspace_id: str,
        name: str,
        *,
        description: str | None = None,
        participant_ids: Sequence[str] = (),
    ) -> Json:
        """A new participant group, with whoever is to be in it from the beginning."""
        body: Json = {"workspace_id": workspace_id, "name": name, "participant_ids": list(participant_ids)}
        body |= {"description": description} if description is not None else {}
        return self._send("POST", "/participant-groups/", body)

    def update_participant_group(
        self, group_id: str, *, name: str | None = None, description: str | None = None
    ) -> Json:
        """Change what is given."""
        given = {"name": name, "description": description}
        return self._send(
            "PATCH",
            _group(group_id),
            {name: value for name, value in given.items() if value is not None},
        )

    def delete_participant_group(self, group_id: str) -> None:
        """Delete a participant group."""
        self._transport.request("DELETE", _group(group_id))

    def list_group_participants(self, group_id: str) -> list[Json]:
        """Who is in a group: `{participant_id, datetime_created}`."""
        return list(self._iter(_group(group_id) + "participants/"))

    def add_group_participants(self, group_id: str, participant_ids: Sequence[str]) -> Json:
        """Add participants to a group; who is in it already stays as they are."""
        body = {"participant_ids": list(participant_ids)}
        return self._send("POST", _group(group_id) + "participants/", body)

    def remove_group_participants(self, group_id: str, participant_ids: Sequence[str]) -> Json:
        """Remove participants from a group."""
        body = {"participant_ids": list(participant_ids)}
        return self._send("DELETE", _group(group_id) + "participants/", body)


def _group(group_id: str) -> str:
    return f"/participant-groups/{path_segment(group_id)}/"
