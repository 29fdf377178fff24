"""Which pictures in docs/images show which pages, beside those of the workbench that `Filled.screens` leads to."""

from __future__ import annotations

PICTURED = {
    "/sign-in": ("sign-in", "sign-in-password"),
    "/sign-in/once": ("sign-in-once",),
    "/join": ("invitation",),
    "/researcher": ("researcher",),
    "/researcher/account": ("account",),
    "/researcher/account/second-factor": ("second-factor",),
    "/researcher/collections/{collection_id}/exports/{export_id}": ("export",),
    "/data-collection-tool/collections/{collection_id}": ("preview",),
    "/participate/{study_id}": (
        *("start", "already", "unpublished", "paused", "closed", "full", "unknown", "ask-id", "signed-link"),
        *("code", "with-code"),
    ),
    "/participate/submissions/{submission_id}": ("key-lost",),
    "/participate/submissions/{submission_id}/done": ("done",),
    "/participate/submissions/{submission_id}/return": ("leave", "returned"),
    "/participate/submissions/{submission_id}/later": ("later",),
    "/participate/submissions/{submission_id}/{step}": (
        *("questions", "missing", "files", "refused", "review"),
        *("uploading", "offline", "two-tabs", "late"),
    ),
}
"""By the route of a page: the names of its pictures, each taken on a desktop and on a phone."""

NO_PAGES = {
    "/",
    "/workbench/members",  # to the members of a workspace
    "/sign-in/provider",
    "/sign-in/provider/return",
    "/health/live",
    "/health/ready",
    "/metrics",
    "/static/{digest}/{name}",
    "/workbench/collections/{collection_id}/live",
    "/workbench/collections/{collection_id}/approved.csv",
    "/workbench/collections/{collection_id}/collection.yaml",
    "/workbench/collections/{collection_id}/files/{file_key}",
    "/workbench/collections/{collection_id}/files/{file_key}/pages/{page}",
    "/workbench/collections/{collection_id}/files/{file_key}/thumbnail",
    "/workbench/collections/{collection_id}/gallery/files",
    "/workbench/studies/{study_id}/qr/{kind}.svg",
    "/workbench/submissions/{submission_id}/answers",
}
"""What leads on to a page, or answers with a file or with data."""
