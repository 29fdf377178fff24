"""Where the embedded PostgreSQL is, and what it is started with: its own file of settings is left alone."""

from __future__ import annotations

import os
from pathlib import Path

from fieldpack.server.machine.cores import count_cores

__all__ = ["PORT", "SETTINGS", "UNSAFE_SETTINGS", "cluster_folder", "count_web_processes"]

PORT = 5432  # only a part of the socket's name: nothing listens on TCP

WEB_CONNECTIONS = 18  # of a web process: its pool, its notices, and a probe when the pool does not answer
OTHER_CONNECTIONS = (
    56  # a worker, commands beside the server, backups, and what PostgreSQL keeps for its owner
)
MOST_CONNECTIONS = max(200, OTHER_CONNECTIONS + WEB_CONNECTIONS * count_cores())

SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "shared_buffers": "128MB",
    "max_connections": str(MOST_CONNECTIONS),
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    # Old log goes: kept for reuse, it would hold erased answers until it is written over.
    "wal_recycle": "off",
    "wal_keep_size": "0",
    # Nobody follows it: so tables can be written anew without being written to it as well.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "timezone": "UTC",
    "jit": "off",
    # Not /dev/shm: it has 64 MB in containers, and systemd empties it when the user who started the server
    # logs out.
    "dynamic_shared_memory_type": "mmap",
    "logging_collector": "on",
    "log_directory": "../log",
    "log_filename": "postgresql-%u.log",  # by weekday, so a week is kept
    "log_truncate_on_rotation": "on",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
    "log_file_mode": "0600",
    "log_timezone": "UTC",
    # What participants wrote does not belong in a log: no DETAIL lines, no statements.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
}
UNSAFE_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def count_web_processes() -> int:
    """How many web processes the embedded PostgreSQL has connections for."""
    return (MOST_CONNECTIONS - OTHER_CONNECTIONS) // WEB_CONNECTIONS


def cluster_folder(data_dir: Path) -> Path:
    """PostgreSQL's own folder in fieldpack's data folder."""
    return Path(os.path.realpath(data_dir)) / "postgres" / "data"
