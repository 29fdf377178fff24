"""The installation of the soak: API processes, workers, one PostgreSQL and one S3 server, all of one machine."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from tests.bucket import Bucket
from tests.installation import FIELDPACK, STOP_SECONDS, Installation, environment

from fieldpack.server.db.embedded.server import open_embedded

from .outside import Outside

__all__ = ["Cluster"]

PREFIX = "soak"


@dataclass
class WorkerNode:
    """`fieldpack worker` as its own process."""

    data_dir: Path
    settings: dict[str, str]
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.data_dir.parent / f"{self.data_dir.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*FIELDPACK, "worker", "--data-dir", str(self.data_dir)],
                env=environment(**self.settings),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(STOP_SECONDS)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


@dataclass
class Cluster:
    """Everything that runs, and the way to it from outside."""

    folder: Path
    nodes: int = 3
    apis: list[Installation] = field(default_factory=list)
    workers: list[WorkerNode] = field(default_factory=list)

    def start(self) -> Cluster:
        self.bucket = Bucket(self.folder / "bucket").start()
        self.database = open_embedded(self.folder / "database")
        for number in range(self.nodes):
            api = Installation(self.folder / f"api-{number + 1}", ["--no-worker"], self.settings)
            self.apis.append(api.start())
        self.outside = Outside([api.url for api in self.apis], self.apis[0].token)
        for number in range(self.nodes):
            worker = WorkerNode(self.folder / f"worker-{number + 1}", self.settings)
            worker.start()
            self.workers.append(worker)
        return self

    @property
    def settings(self) -> dict[str, str]:
        return {
            **self.bucket.environment,
            "FIELDPACK_DATABASE_URL": self.database.url,
            "FIELDPACK_STORAGE_URL": self.bucket.url(PREFIX),
            "FIELDPACK_LOG_FORMAT": "json",
        }

    def stop(self) -> None:
        if hasattr(self, "outside"):
            self.outside.close()
        for worker in self.workers:
            worker.stop()
        for api in self.apis:
            api.stop()
        if hasattr(self, "database"):
            self.database.close()
            self.database.wait_stopped()
        if hasattr(self, "bucket"):
            self.bucket.stop()

    def count_objects(self, prefix: str) -> int:
        """How many objects the bucket itself lists below a prefix."""
        from obstore.store import S3Store

        store = S3Store(
            self.bucket.name,
            endpoint=self.bucket.endpoint,
            access_key_id=self.bucket.environment["AWS_ACCESS_KEY_ID"],
            secret_access_key=self.bucket.environment["AWS_SECRET_ACCESS_KEY"],
            region=self.bucket.environment["AWS_REGION"],
            client_options={"allow_http": True},
        )
        return sum(len(page) for page in store.list(f"{PREFIX}/{prefix}"))

    # restarts

    def restarts(self, rng: random.Random) -> list[tuple[str, Callable[[], None]]]:
        """One restart of each process, in a random order; some are asked to end, others killed."""
        turns: list[tuple[str, Callable[[], None]]] = []
        for kind, nodes in (("api", self.apis), ("worker", self.workers)):
            for number, node in enumerate(nodes, 1):
                killed = rng.random() < 0.5
                name = f"{kind} {number} {'killed' if killed else 'restarted'}"
                turns.append((name, lambda node=node, killed=killed: _restart(node, killed)))  # type: ignore[misc]
        turns.append(("PostgreSQL restarted", self._restart_database))
        turns.append(("S3 server restarted", self._restart_bucket))
        rng.shuffle(turns)
        return turns

    def _restart_database(self) -> None:
        pid = int((self.folder / "database" / "postgres" / "data" / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGINT)  # PostgreSQL's fast shutdown: connections are cut, nothing is lost
        time.sleep(1)
        self.database.ensure_running()
        with psycopg.connect(self.database.url) as connection:
            connection.execute("SELECT 1")

    def _restart_bucket(self) -> None:
        self.bucket.stop()
        time.sleep(1)
        self.bucket.start()


def _restart(node: Installation | WorkerNode, killed: bool) -> None:
    if killed:
        node.kill()
    else:
        node.stop()
    node.start()
