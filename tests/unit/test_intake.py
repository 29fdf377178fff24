"""What a restore puts into storage: the bytes on record, whatever lies there already."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from fieldpack.server.backup.format import Entry
from fieldpack.server.backup.sources import Intake
from fieldpack.server.storage import blob_key
from fieldpack.server.storage.local import LocalStorage

RIGHT, WRONG = b"the photo", b"the phot0"
KEY = blob_key(str(uuid4()))
SHA256 = hashlib.sha256(RIGHT).hexdigest()


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[LocalStorage]:
    made = LocalStorage(tmp_path / "storage", tmp_path / "tmp")
    yield made
    made.close()


@pytest.mark.parametrize(
    ("there", "known", "kept"),
    [
        (RIGHT, SHA256, 1),
        (WRONG, SHA256, 0),  # of the right size
        (WRONG, "", 0),  # as in a stream, whose hashes come at its end
        (RIGHT, "", 0),
        (b"", SHA256, 0),
        (None, SHA256, 0),
    ],
)
def test_what_is_there_counts_if_its_bytes_do(
    there: bytes | None, known: str, kept: int, storage: LocalStorage, tmp_path: Path
) -> None:
    if there is not None:
        storage.put_blocking(KEY, there)
    present = {} if there is None else {KEY: len(there)}
    intake = Intake(storage, tmp_path, present, set())
    assert intake.take(Entry(known, len(RIGHT), KEY), [RIGHT])
    assert (intake.put, intake.kept) == (1 - kept, kept)
    assert storage.read_range_blocking(KEY, 0, len(RIGHT)) == RIGHT


def test_what_was_listed_and_went_is_put(storage: LocalStorage, tmp_path: Path) -> None:
    intake = Intake(storage, tmp_path, {KEY: len(RIGHT)}, set())
    assert intake.take(Entry(SHA256, len(RIGHT), KEY), [RIGHT])
    assert (intake.put, intake.kept) == (1, 0)


def test_wrong_bytes_and_those_of_somebody_erased_are_not_put(storage: LocalStorage, tmp_path: Path) -> None:
    erased = uuid4()
    intake = Intake(storage, tmp_path, {}, {erased})
    assert not intake.take(Entry(SHA256, len(RIGHT), KEY), [WRONG])
    assert intake.take(Entry(SHA256, len(RIGHT), KEY, erased), [RIGHT])
    assert (intake.put, list((tmp_path / "storage").rglob("*-*"))) == (0, [])
