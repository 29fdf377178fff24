"""Fixtures of the integration tests: a bucket."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.bucket import Bucket


@pytest.fixture(scope="session")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    """A running S3 server with one bucket."""
    made = Bucket(tmp_path_factory.mktemp("bucket")).start()
    try:
        yield made
    finally:
        made.stop()
