"""The metrics of `/metrics` (Prometheus), besides those that are read from the database at each scrape.

The processes of one `fieldpack serve` share a folder of figures, whose place its supervisor puts into the
environment; so any of them answers for all.
"""

from __future__ import annotations

import os

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.multiprocess import MultiProcessCollector

__all__ = [
    "BYTES_SERVED",
    "CONNECTIONS_REFUSED",
    "DOWNLOADS",
    "FOLDER_VARIABLE",
    "LINK_ERRORS",
    "REQUESTS",
    "TURNED_AWAY",
    "UPLOADS",
    "UPLOAD_BYTES",
    "collect_processes",
]

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

REQUESTS = Histogram(
    "fieldpack_request_seconds",
    "Time to answer a request, the sending of its body included.",
    ["method", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60),
)
BYTES_SERVED = Counter("fieldpack_archive_bytes_served", "Bytes of archives sent.")
DOWNLOADS = Gauge(
    "fieldpack_downloads_in_flight", "Archive downloads under way.", multiprocess_mode="livesum"
)
UPLOADS = Gauge("fieldpack_uploads_in_flight", "Upload requests under way.", multiprocess_mode="livesum")
UPLOAD_BYTES = Counter("fieldpack_upload_bytes", "Bytes of uploads received.")
LINK_ERRORS = Counter("fieldpack_link_errors", "Download links refused, or downloads aborted.", ["reason"])
CONNECTIONS_REFUSED = Counter(
    "fieldpack_connections_refused",
    "Connections ended before a request reached the application: by status, or `address`, `silent`.",
    ["reason"],
)
TURNED_AWAY = Counter(
    "fieldpack_turned_away",
    "Requests refused because too many came: of participants `save` and `start`, of anybody `large`.",
    ["what"],
)


def collect_processes() -> CollectorRegistry:
    """The figures of all processes that share a folder of them, or of this one if it shares none."""
    if not os.environ.get(FOLDER_VARIABLE):
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # not typed there
    return registry
