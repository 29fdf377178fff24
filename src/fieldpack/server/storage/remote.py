"""Blobs in a bucket (S3, Google Cloud Storage, Azure Blob Storage), through obstore."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import obstore
from obstore import exceptions
from obstore.store import from_url

from fieldpack.errors import BlobDamaged, BlobMissing, StorageError, StorageFull, StorageUnavailable
from fieldpack.server.storage.base import LONGEST_LINK_SECONDS, Buffer, Storage, StoredObject
from fieldpack.server.storage.multipart import Multipart

__all__ = ["RemoteStorage"]

MIB = 1 << 20
CHUNK_BYTES = 512 * 1024
FIRST_RANGE_BYTES = 1 * MIB
RANGE_BYTES = 4 * MIB
READ_AHEAD = 3
PART_BYTES = 8 * MIB
MAX_PARTS = 9000  # providers take 10,000; the size hint may be a little low
PARTS_AT_ONCE = 3
MANY_AT_ONCE = 16
DELETE_PAGE = 500
CLIENT_OPTIONS = {"connect_timeout": "5s", "timeout": "120s"}
RETRY = {"max_retries": 5, "retry_timeout": timedelta(seconds=20)}
ENDPOINTS = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    "gs": ("GOOGLE_BASE_URL", "STORAGE_EMULATOR_HOST"),
    "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
}
_FULL_WORDS = ("InsufficientStorage", "StorageFull", "QuotaExceeded", "status code: 507")

_SKEWED = "RequestTimeTooSkewed"


@contextmanager
def _translated(key: str, *, writing: bool = False) -> Iterator[None]:
    """Raise obstore's errors as those that `Storage` documents."""
    try:
        yield
    except FileNotFoundError as error:
        if writing:
            raise StorageError(f"The bucket does not exist: {_first_line(error)}") from error
        raise BlobMissing(f"{key} is not in storage.") from None
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
        if _SKEWED in str(error):
            raise _wrong_clock() from error
        raise StorageError(
            f"The bucket refused access: {_first_line(error)} Check its credentials."
        ) from error
    except exceptions.BaseError as error:
        text = str(error)
        if _SKEWED in text:
            raise _wrong_clock() from error
        if any(word in text for word in _FULL_WORDS):
            raise StorageFull(
                "The bucket that files are stored in is full: raise its quota and try again."
            ) from error
        raise StorageUnavailable(f"The bucket failed: {_first_line(error)}") from error


def _wrong_clock() -> StorageError:
    return StorageError("The bucket refused a request because this machine's clock is wrong. Set the clock.")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]


def _config(scheme: str) -> dict[str, Any]:
    """Settings besides those that obstore reads from the environment by itself."""
    endpoint = next((os.environ[name] for name in ENDPOINTS[scheme] if os.environ.get(name)), None)
    options: dict[str, Any] = dict(CLIENT_OPTIONS)
    if endpoint is not None and endpoint.startswith("http://"):
        options["allow_http"] = True
    found: dict[str, Any] = {"client_options": options, "retry_config": RETRY}
    if scheme == "s3":
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        found["config"] = {"region": region or "us-east-1"}
        if endpoint is not None:
            found["config"]["endpoint"] = endpoint
    return found


class RemoteStorage(Storage):
    """Objects below a prefix of one bucket.

    Args:
        url: `s3://bucket/prefix`, `gs://…` or `az://…`.
        scratch: folder for temporary files.
        assembles: archives are kept here as objects (`store` delivery), made of parts where the provider lets
            several processes send them.
        link_endpoint: where clients reach the bucket, if elsewhere than this process does.
    """

    can_sign = True

    def __init__(
        self, url: str, scratch: Path, *, assembles: bool = False, link_endpoint: str | None = None
    ) -> None:
        super().__init__(scratch)
        self.url = url
        self._multipart: Multipart | None = None
        if assembles and urlsplit(url).scheme == "s3":
            self._multipart = Multipart(url, link_endpoint)
        try:
            self._store = from_url(url, **_config(urlsplit(url).scheme))
        except (exceptions.BaseError, ValueError) as error:
            raise StorageError(f"storage_url: {url} can't be used: {_first_line(error)}") from error

    # reading

    async def iter_range(
        self, key: str, offset: int, length: int, *, size_bytes: int
    ) -> AsyncGenerator[Buffer]:
        end = offset + length
        expected = size_bytes if length == size_bytes else None
        ahead: deque[asyncio.Task[Buffer]] = deque()
        step = FIRST_RANGE_BYTES
        try:
            while offset < end or ahead:
                while offset < end and len(ahead) < READ_AHEAD:
                    wanted = min(step, end - offset)
                    ahead.append(asyncio.create_task(self._get(key, offset, wanted, expected)))
                    offset += wanted
                    step = RANGE_BYTES
                view = memoryview(await ahead.popleft())
                for start in range(0, len(view), CHUNK_BYTES):
                    yield view[start : start + CHUNK_BYTES]
        finally:
            for task in ahead:
                task.cancel()
            await asyncio.gather(*ahead, return_exceptions=True)

    async def _get(self, key: str, offset: int, length: int, size_bytes: int | None = None) -> Buffer:
        """These bytes of an object, which has to be of `size_bytes` if that is given."""
        data: Buffer
        try:
            with _translated(key):
                found = await obstore.get_async(
                    self._store, key, options={"range": (offset, offset + length)}
                )
                size, data = found.meta["size"], memoryview(await found.bytes_async())
        except StorageUnavailable:
            size = await self.size(key)
            if size > offset:
                raise
            data = b""  # the bucket refuses a range beyond the end
        if size_bytes is not None and size != size_bytes:
            raise BlobDamaged(f"{key} has {size:,} bytes instead of the {size_bytes:,} on record.")
        if len(data) != length:
            raise BlobDamaged(f"{key} ends at byte {offset + len(data)}, before {offset + length}.")
        return data

    async def read_range(self, key: str, offset: int, length: int) -> bytes:
        if length == 0:
            return b""
        return bytes(await self._get(key, offset, length))

    def read_range_blocking(self, key: str, offset: int, length: int) -> bytes:
        if length == 0:
            return b""
        with _translated(key):
            data = bytes(obstore.get_range(self._store, key, start=offset, length=length))
        if len(data) != length:
            raise BlobDamaged(f"{key} ends at byte {offset + len(data)}, before {offset + length}.")
        return data

    async def read_many(self, objects: Sequence[tuple[str, int]]) -> list[bytes]:
        slots = asyncio.Semaphore(MANY_AT_ONCE)

        async def read(key: str, size_bytes: int) -> bytes:
            async with slots:
                with _translated(key):
                    result = await obstore.get_async(self._store, key)
                    if result.meta["size"] != size_bytes:
                        raise BlobDamaged(f"{key} does not have the {size_bytes:,} bytes on record.")
                    return bytes(await result.bytes_async())

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(read(*entry)) for entry in objects]
        except ExceptionGroup as errors:  # the first that failed; the others were cancelled
            raise errors.exceptions[0] from None
        return [task.result() for task in tasks]

    async def size(self, key: str) -> int:
        with _translated(key):
            found: int = (await obstore.head_async(self._store, key))["size"]
        return found

    async def iter_objects(self, prefix: str) -> AsyncIterator[list[StoredObject]]:
        with _translated(prefix):
            async for page in obstore.list(self._store, prefix.rstrip("/"), chunk_size=1000):
                yield [StoredObject(entry["path"], entry["size"], entry["last_modified"]) for entry in page]

    # writing

    async def put(self, key: str, data: Buffer) -> None:
        with _translated(key, writing=True):
            await obstore.put_async(self._store, key, data, use_multipart=False)

    def put_blocking(self, key: str, data: Buffer) -> None:
        with _translated(key, writing=True):
            obstore.put(self._store, key, data, use_multipart=False)

    async def put_stream(self, key: str, chunks: AsyncIterator[Buffer], *, size_hint: int) -> None:
        if size_hint == 0:
            await self.put(key, b"".join([bytes(chunk) async for chunk in chunks]))
            return
        with _translated(key, writing=True):
            await obstore.put_async(
                self._store,
                key,
                chunks,
                use_multipart=True,
                chunk_size=_part_bytes(size_hint),
                max_concurrency=PARTS_AT_ONCE,
            )

    def put_file_blocking(self, key: str, path: Path) -> None:
        with _translated(key, writing=True):
            try:
                obstore.put(
                    self._store,
                    key,
                    path,
                    chunk_size=_part_bytes(path.stat().st_size),
                    max_concurrency=PARTS_AT_ONCE,
                )
            finally:
                path.unlink(missing_ok=True)

    async def delete(self, keys: Iterable[str]) -> None:
        wanted = list(keys)
        for start in range(0, len(wanted), DELETE_PAGE):
            await self._delete(wanted[start : start + DELETE_PAGE])

    async def _delete(self, keys: list[str]) -> None:
        try:
            with _translated(keys[0]):
                await obstore.delete_async(self._store, keys)
        except BlobMissing:  # GCS and Azure say so of one that is gone: take them one by one
            for key in keys:
                try:
                    with _translated(key):
                        await obstore.delete_async(self._store, key)
                except BlobMissing:
                    continue

    async def delete_prefix(self, prefix: str) -> None:
        if self._multipart is not None and prefix.startswith("exports/"):
            await self.run(self._multipart.abort_prefix, prefix)
        async for page in self.iter_objects(prefix):
            await self.delete(entry.key for entry in page)

    def delete_blocking(self, keys: Iterable[str]) -> None:
        for key in keys:
            try:
                with _translated(key):
                    obstore.delete(self._store, key)
            except BlobMissing:
                continue

    def delete_prefix_blocking(self, prefix: str) -> None:
        if self._multipart is not None and prefix.startswith("exports/"):
            self._multipart.abort_prefix(prefix)
        with _translated(prefix):
            for page in obstore.list(self._store, prefix.rstrip("/"), chunk_size=1000):
                self.delete_blocking(entry["path"] for entry in page)

    # the rest

    async def sign(self, key: str, seconds: int) -> str:
        with _translated(key):
            lifetime = timedelta(seconds=seconds)
            signed: str = await obstore.sign_async(self._store, "GET", key, lifetime)  # type: ignore[call-overload]  # not of every store
        return signed

    async def sign_for(self, key: str, seconds: int) -> tuple[str, int]:
        if self._multipart is None:
            return await super().sign_for(key, seconds)
        return await self.run(self._multipart.sign, key, min(seconds, LONGEST_LINK_SECONDS))

    def open_multipart(self) -> Multipart | None:
        return self._multipart

    async def probe(self) -> None:
        with _translated("The bucket"):
            await obstore.list_with_delimiter_async(self._store, "blobs/00")


def _part_bytes(size_bytes: int) -> int:
    """Parts big enough that they stay within what providers count to."""
    return max(PART_BYTES, -(-size_bytes // MAX_PARTS))
