"""The arithmetic of stored archives: ranges of parts, checksums of pieces, links and their credentials."""

from __future__ import annotations

import zlib
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from botocore.credentials import Credentials, RefreshableCredentials
from hypothesis import given
from hypothesis import strategies as st

from fieldpack.errors import ConfigError
from fieldpack.server.exports.build.checksums import combine_crc32
from fieldpack.server.exports.build.parts import MIB, MOST_PARTS, plan_parts
from fieldpack.server.storage.multipart import Multipart, _seconds_left


@given(pieces=st.lists(st.binary(max_size=300), max_size=8))
def test_the_checksum_of_pieces_is_that_of_the_whole(pieces: list[bytes]) -> None:
    assert combine_crc32((zlib.crc32(piece), len(piece)) for piece in pieces) == zlib.crc32(b"".join(pieces))


def test_the_checksum_of_large_pieces() -> None:
    data = bytes(range(256)) * 40_000
    cut = 5 * MIB + 17
    pieces = [(zlib.crc32(data[:cut]), cut), (zlib.crc32(data[cut:]), len(data) - cut)]
    assert combine_crc32(pieces) == zlib.crc32(data)


@given(size=st.integers(1, 1 << 45), part_mb=st.integers(5, 5000))
def test_parts_cover_an_archive_within_what_providers_take(size: int, part_mb: int) -> None:
    ranges = plan_parts(size, part_mb * MIB)
    assert ranges[0][0] == 0
    assert ranges[-1][1] == size
    assert all(one[1] == two[0] for one, two in pairwise(ranges))
    assert len(ranges) <= MOST_PARTS
    lengths = {stop - start for start, stop in ranges[:-1]}
    assert len(lengths) <= 1
    assert all(length >= part_mb * MIB for length in lengths)


def refreshable(seconds: float) -> Any:
    """Temporary credentials that end in so many seconds and can't be renewed."""
    expires_at = datetime.now(UTC) + timedelta(seconds=seconds)
    metadata = {"access_key": "a", "secret_key": "b", "token": "c", "expiry_time": expires_at.isoformat()}
    return RefreshableCredentials.create_from_metadata(
        metadata, refresh_using=lambda: metadata, method="test", advisory_timeout=0, mandatory_timeout=0
    )


def test_links_end_no_later_than_the_credentials_that_signed_them() -> None:
    assert _seconds_left(Credentials("a", "b"), 86400) == 86400
    assert _seconds_left(refreshable(100_000), 86400) == 86400
    assert 3590 <= _seconds_left(refreshable(3600), 86400) <= 3600


def test_temporary_keys_of_unknown_end_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "x")
    with pytest.raises(ConfigError, match="AWS_CREDENTIAL_EXPIRATION"):
        Multipart("s3://bucket/prefix")
