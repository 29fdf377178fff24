"""One set of promises, held to by a folder and by a bucket."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from fieldpack.errors import (
    BlobDamaged,
    BlobMissing,
    ConfigError,
    StorageError,
    StorageFull,
    StorageUnavailable,
)
from fieldpack.server.config import Settings
from fieldpack.server.storage import Buffer, LocalStorage, RemoteStorage, Storage, blob_key, open_storage
from fieldpack.server.storage.local_files import UnfinishedFile
from tests.bucket import Bucket

T = TypeVar("T")
ID = "3f0c1d9e-7a51-4c7e-9a44-0d7c1f0a5b11"


def run(work: Awaitable[T]) -> T:
    async def wait() -> T:
        return await work

    return asyncio.run(wait())


@pytest.fixture(params=["local", "s3"])
def storage(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Storage]:
    settings = Settings(data_dir=tmp_path / "data")
    if request.param == "s3":
        bucket: Bucket = request.getfixturevalue("bucket")
        for name, value in bucket.environment.items():
            monkeypatch.setenv(name, value)
        settings = Settings(data_dir=tmp_path / "data", storage_url=bucket.url(tmp_path.name))
    opened = open_storage(settings)
    yield opened
    opened.close()


def count_descriptors() -> int:
    """How many files this process has open; 0 where nobody tells."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


async def read(storage: Storage, key: str, offset: int, length: int, size: int) -> bytes:
    pieces = []
    async with aclosing(storage.iter_range(key, offset, length, size_bytes=size)) as chunks:
        async for chunk in chunks:
            assert 0 < len(chunk) <= 512 * 1024
            pieces.append(bytes(chunk))
    return b"".join(pieces)


async def keys(storage: Storage, prefix: str) -> list[str]:
    return [entry.key async for page in storage.iter_objects(prefix) for entry in page]


def test_many_are_put_at_once(storage: Storage) -> None:
    objects = [(blob_key(f"{number:08x}{ID[8:]}"), os.urandom(number)) for number in range(300)]
    storage.put_many_blocking(objects)
    storage.put_many_blocking([])
    found = run(storage.read_many([(key, len(data)) for key, data in objects]))
    assert found == [data for _, data in objects]
    assert sorted(run(keys(storage, "blobs/"))) == sorted(key for key, _ in objects)


def test_of_many_that_do_not_fit_nothing_is_left_beside(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "storage", tmp_path / "tmp", spare_bytes=1 << 62)
    with pytest.raises(StorageFull):
        storage.put_many_blocking([(blob_key(f"{number:08x}{ID[8:]}"), b"x") for number in range(20)])
    assert [path for path in (tmp_path / "storage").rglob("*") if path.is_file()] == []
    storage.close()


def test_what_was_put_is_read_in_any_range(storage: Storage) -> None:
    data = os.urandom(3_000_001)

    async def work() -> None:
        key = blob_key(ID)
        assert key == f"blobs/3f/{ID}"
        await storage.put(key, data)
        assert await storage.size(key) == len(data)
        assert await storage.has(key, len(data))
        assert not await storage.has(key, 1)
        for start, end in [(0, len(data)), (0, 1), (262_143, 262_146), (2_999_990, 3_000_001), (5, 5)]:
            assert await read(storage, key, start, end - start, len(data)) == data[start:end]
            assert await storage.read_range(key, start, end - start) == data[start:end]
            assert storage.read_range_blocking(key, start, end - start) == data[start:end]

    run(work())


def test_a_whole_object_is_read_by_other_programs_through_a_descriptor(storage: Storage) -> None:
    data = os.urandom(1_500_001)

    async def work() -> None:
        key = blob_key(ID)
        await storage.put(key, data)
        before = count_descriptors()
        descriptor = await storage.open_whole(key, len(data))
        try:
            assert os.lseek(descriptor, 0, os.SEEK_CUR) == 0
            with os.fdopen(os.dup(descriptor), "rb") as file:
                assert file.read() == data
            await storage.delete([key])  # it stays readable for who has it open
            assert os.pread(descriptor, 10, 5) == data[5:15]
        finally:
            os.close(descriptor)
        assert count_descriptors() <= before + 1
        assert list(storage.scratch.iterdir()) == []  # a copy has no name, and goes with its descriptor
        with pytest.raises(BlobMissing):
            await storage.open_whole(key, len(data))
        await storage.put(key, data)
        with pytest.raises(BlobDamaged):
            await storage.open_whole(key, len(data) - 1)

    run(work())


def test_put_replaces_and_delete_is_idempotent(storage: Storage) -> None:
    async def work() -> None:
        await storage.put("uploads/x/1", b"one")
        await storage.put("uploads/x/1", b"two!")
        assert await storage.read_range("uploads/x/1", 0, 4) == b"two!"
        storage.put_blocking("uploads/x/2", b"")
        assert await storage.size("uploads/x/2") == 0
        await storage.delete(["uploads/x/1", "uploads/x/never"])
        storage.delete_blocking(["uploads/x/2", "uploads/x/2"])
        assert await keys(storage, "uploads/") == []
        await storage.delete_prefix("uploads/x/")

    run(work())


def test_missing_and_damaged_are_told_apart(storage: Storage) -> None:
    async def work() -> None:
        key = blob_key(ID)
        with pytest.raises(BlobMissing):
            await storage.size(key)
        with pytest.raises(BlobMissing):
            await storage.read_range(key, 0, 1)
        with pytest.raises(BlobMissing):
            await read(storage, key, 0, 5, 5)
        await storage.put(key, b"12345")
        with pytest.raises(BlobDamaged):
            await read(storage, key, 0, 6, 6)
        with pytest.raises(BlobDamaged):
            await storage.read_range(key, 3, 5)
        with pytest.raises(BlobDamaged):
            await storage.read_range(key, 8, 5)
        with pytest.raises(BlobDamaged):
            await read(storage, key, 8, 5, 20)
        with pytest.raises(BlobDamaged):
            storage.read_range_blocking(key, 3, 5)
        await storage.put(key, b"")
        with pytest.raises(BlobDamaged):
            await read(storage, key, 0, 6, 6)

    run(work())


def test_many_small_objects_at_once(storage: Storage) -> None:
    async def work() -> None:
        objects = {f"uploads/many/{number:03}": os.urandom(number) for number in range(0, 120)}
        for key, data in objects.items():
            await storage.put(key, data)
        wanted = [(key, len(data)) for key, data in objects.items()]
        assert await storage.read_many(wanted) == list(objects.values())
        with pytest.raises(BlobMissing):
            await storage.read_many([*wanted, ("uploads/many/never", 3)])
        with pytest.raises(BlobDamaged):
            await storage.read_many([*wanted[:-1], (wanted[-1][0], 7)])
        assert await keys(storage, "uploads/many/") == sorted(objects)
        await storage.delete_prefix("uploads/many/")
        assert await keys(storage, "uploads/") == []

    run(work())


def test_a_stream_is_stored_whole_or_not_at_all(storage: Storage) -> None:
    block = os.urandom(1 << 20)

    async def chunks(count: int, *, fail: bool = False) -> AsyncIterator[Buffer]:
        for _ in range(count):
            yield block
        if fail:
            raise RuntimeError("the sender gave up")

    async def work() -> None:
        await storage.put_stream("exports/a/b/c", chunks(20), size_hint=20 << 20)
        whole = await read(storage, "exports/a/b/c", 0, 20 << 20, 20 << 20)
        assert hashlib.sha256(whole).digest() == hashlib.sha256(block * 20).digest()
        with pytest.raises(RuntimeError, match="gave up"):
            await storage.put_stream("exports/a/b/d", chunks(20, fail=True), size_hint=20 << 20)
        with pytest.raises(BlobMissing):
            await storage.size("exports/a/b/d")
        await storage.put_stream("exports/a/b/e", chunks(0), size_hint=0)
        assert await storage.size("exports/a/b/e") == 0
        storage.delete_prefix_blocking("exports/a/")
        assert await keys(storage, "exports/") == []

    run(work())


def test_a_file_moves_in(storage: Storage, tmp_path: Path) -> None:
    data = os.urandom(9_000_000)
    path = storage.scratch / "made"
    path.write_bytes(data)
    storage.put_file_blocking("exports/x/y/index", path)
    assert not path.exists()
    assert run(read(storage, "exports/x/y/index", 0, len(data), len(data))) == data


def test_a_reader_may_leave_early(storage: Storage) -> None:
    async def work() -> None:
        await storage.put(blob_key(ID), bytes(12 << 20))
        before = count_descriptors()
        async with aclosing(storage.iter_range(blob_key(ID), 0, 12 << 20, size_bytes=12 << 20)) as chunks:
            async for _ in chunks:
                break
        if isinstance(storage, LocalStorage):
            assert count_descriptors() == before

    run(work())


def test_the_probe_and_signed_links(storage: Storage) -> None:
    async def work() -> None:
        await storage.probe()
        await storage.put("exports/s/t/u", b"signed")
        if not storage.can_sign:
            with pytest.raises(StorageError):
                await storage.sign("exports/s/t/u", 60)
            return
        link = await storage.sign("exports/s/t/u", 60)
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(link)).content == b"signed"
            assert (await client.get(link[:-4] + "0000")).status_code == 403

    run(work())


def test_a_listing_goes_to_the_end(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "storage", tmp_path / "tmp")
    folder = tmp_path / "storage" / "blobs" / "00"
    folder.mkdir(parents=True)
    for number in range(2500):
        (folder / f"{number:05}").touch()
    assert len(run(keys(storage, "blobs/"))) == 2500
    storage.close()


def test_keys_never_leave_the_folder(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "storage", tmp_path / "tmp")
    for key in ("../x", "blobs/../../x", "/etc/passwd", "blobs//x", ""):
        with pytest.raises(StorageError):
            storage.put_blocking(key, b"x")
    storage.close()


def test_files_are_for_the_server_alone(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "storage", tmp_path / "tmp")
    storage.put_blocking(blob_key(ID), b"private")
    path = tmp_path / "storage" / blob_key(ID)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert not list((tmp_path / "storage" / ".staging").iterdir())
    storage.close()


@contextmanager
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What is made durable or gets its name, in order: `data`, `name`, `folder NAME`, `make NAME`."""
    events: list[str] = []

    def sync(descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        events.append(f"folder {path.name}" if path.is_dir() else "data")

    def replace(source: Any, target: Any, **places: Any) -> None:
        real["replace"](source, target, **places)
        events.append("name")

    def mkdir(path: Any, mode: int = 0o777, **places: Any) -> None:
        real["mkdir"](path, mode, **places)
        events.append(f"make {Path(path).name}")

    real: dict[str, Any] = {"replace": os.replace, "mkdir": os.mkdir}
    with monkeypatch.context() as patched:
        for name, instead in (("fsync", sync), ("fdatasync", sync), ("replace", replace), ("mkdir", mkdir)):
            patched.setattr(os, name, instead)
        yield events


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc what a descriptor is of")
def test_data_is_durable_before_its_name_and_the_name_before_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = LocalStorage(tmp_path / "storage", tmp_path / "tmp")
    storage.put_blocking("exports/warm/up", b"")
    folders = ["make blobs", "folder storage", "make 3f", "folder blobs"]

    async def stream() -> AsyncIterator[Buffer]:
        yield b"x"

    with watched(monkeypatch) as events:
        storage.put_blocking(blob_key(ID), b"x")
    assert events == ["data", *folders, "name", "folder 3f"]
    with watched(monkeypatch) as events:
        run(storage.put_stream(blob_key(ID), stream(), size_hint=1))
    assert events == ["data", "name", "folder 3f"]
    with watched(monkeypatch) as events:
        storage.put_many_blocking([("exports/many/x", b"x"), ("exports/many/y", b"y")])
    assert events == ["data", "data", "make many", "folder exports", "name", "name", "folder many"]
    (tmp_path / "file").write_bytes(b"x")
    with watched(monkeypatch) as events:
        storage.put_file_blocking("exports/a/b/c", tmp_path / "file")
    assert events == ["data", "make a", "folder exports", "make b", "folder a", "name", "folder b"]

    async def write_part() -> None:
        part = await storage.open_unfinished("uploads/u/x", fresh=True)
        assert part is not None
        part.write(b"x", 0)
        part.sync()
        part.close()

    with watched(monkeypatch) as events:
        run(write_part())
    assert events == ["make uploads", "folder storage", "make u", "folder uploads", "folder u", "data"]
    storage.close()


def test_links_lead_to_the_root_and_nowhere_below_it(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    settings = Settings(data_dir=tmp_path / "data", storage_url=(tmp_path / "link" / "storage").as_uri())
    assert settings.storage_place == str((tmp_path / "elsewhere" / "storage").resolve())
    storage = open_storage(settings)
    assert isinstance(storage, LocalStorage)
    root = (tmp_path / "elsewhere" / "storage").resolve()
    assert storage.root == root
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / ID).write_bytes(b"secret")
    (outside / "folder").mkdir()
    (root / "blobs").mkdir()
    (root / "blobs" / "3f").symlink_to(outside)
    (root / "blobs" / "aa").mkdir()
    (root / "blobs" / "aa" / "file").symlink_to(outside / ID)
    (root / "exports").symlink_to(outside)
    size = 6

    def open_part(key: str, fresh: bool) -> Callable[[], object]:
        return lambda: run(storage.open_unfinished(key, fresh=fresh))

    calls: list[Callable[[], object]] = [
        open_part(blob_key(ID), False),
        open_part(blob_key(ID), True),
        open_part("exports/new/part", True),
        open_part("blobs/aa/file", False),
        lambda: storage.put_blocking("exports/x", b"x"),
        lambda: storage.put_blocking("exports/new/x", b"x"),
        lambda: run(storage.delete_prefix("exports/folder/")),
        lambda: run(storage.delete([f"exports/{ID}"])),
        lambda: run(keys(storage, "exports/")),
        lambda: run(keys(storage, "blobs/3f/")),
    ]
    for key in (blob_key(ID), f"exports/{ID}", "blobs/aa/file"):
        calls += [
            lambda key=key: run(read(storage, key, 0, size, size)),  # type: ignore[misc]
            lambda key=key: run(storage.read_range(key, 0, size)),  # type: ignore[misc]
            lambda key=key: run(storage.read_many([(key, size)])),  # type: ignore[misc]
            lambda key=key: run(storage.size(key)),  # type: ignore[misc]
        ]
        view = memoryview(bytearray(size))
        assert run(storage.fill_cached([(key, view, 0)])) == [0]
        assert bytes(view) == bytes(size)
        if storage.proofs is not None:
            assert storage.proofs.look(key) is None
    for number, call in enumerate(calls):
        with pytest.raises(StorageError, match="is a symbolic link, which storage does not follow"):
            call()
        assert sorted(path.name for path in outside.iterdir()) == [ID, "folder"], number
    assert (outside / ID).read_bytes() == b"secret"
    assert run(keys(storage, "blobs/")) == ["blobs/aa/file"]  # as what it is: a link that may be removed
    run(storage.delete(["blobs/aa/file"]))
    assert (outside / ID).exists()
    run(storage.put(blob_key("aa" + ID), b"still works"))
    storage.close()
    with pytest.raises(StorageError, match=r"exports is a symbolic link.*FIELDPACK_STORAGE_URL"):
        open_storage(settings)


def test_a_part_file_has_one_writer(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "storage", tmp_path / "tmp")

    async def work() -> None:
        with pytest.raises(BlobMissing):
            await storage.open_unfinished(blob_key(ID), fresh=False)
        first = await storage.open_unfinished(blob_key(ID), fresh=True)
        assert first is not None
        assert await storage.open_unfinished(blob_key(ID), fresh=True) is None
        first.write(b"hello world", 0)
        first.close()
        second = await storage.open_unfinished(blob_key(ID), fresh=False)
        assert second is not None
        second.write(b"!", 5)
        second.cut(6)
        second.sync()
        assert second.read(0, 100) == b"hello!"
        second.close()

    run(work())
    storage.close()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_said_so() -> None:
    part = UnfinishedFile("blobs/full", os.open("/dev/full", os.O_RDWR))
    with pytest.raises(StorageFull, match="disk"):
        part.write(b"x", 0)
    part.close()


def test_a_dead_bucket_is_a_passing_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setattr("fieldpack.server.storage.remote.RETRY", {"max_retries": 1})
    storage = RemoteStorage("s3://nowhere/x", tmp_path / "tmp")
    with pytest.raises(StorageUnavailable):
        run(storage.put("blobs/00/x", b"x"))
    with pytest.raises(StorageUnavailable):
        run(storage.probe())
    storage.close()


def test_wrong_credentials_are_no_passing_fault(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**bucket.environment, "AWS_SECRET_ACCESS_KEY": "wrong"}.items():
        monkeypatch.setenv(name, value)
    storage = RemoteStorage(bucket.url("x"), tmp_path / "tmp")
    with pytest.raises(StorageError, match="credentials") as caught:
        run(storage.put("blobs/00/x", b"x"))
    assert not isinstance(caught.value, StorageUnavailable)
    storage.close()


@pytest.mark.parametrize("url", ["file://host/share", "file:"])
def test_urls_that_are_none(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        open_storage(Settings(data_dir=tmp_path, storage_url=url))


def test_other_clouds_are_opened_by_their_urls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "a2V5")
    opened: list[Callable[[], Storage]] = [
        lambda: open_storage(Settings(data_dir=tmp_path, storage_url="az://container/prefix"))
    ]
    for make in opened:
        storage = make()
        assert storage.can_sign
        storage.close()
