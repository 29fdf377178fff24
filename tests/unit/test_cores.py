"""Processors that a container is given are those that count."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fieldpack.errors import ConfigError
from fieldpack.server.config import load_settings
from fieldpack.server.db.parameters import SETTINGS, count_web_processes
from fieldpack.server.machine.cores import MOST_WEB_PROCESSES, choose_web_processes, count_cores
from fieldpack.server.run.serve import serving


@pytest.mark.parametrize(
    ("quota", "found"),
    [("150000 100000", 2), ("100000 100000", 1), ("5000 100000", 1), ("max 100000", 8), ("", 8)],
)
def test_no_more_than_a_container_gets(
    quota: str, found: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    file = tmp_path / "cpu.max"
    file.write_text(quota)
    assert count_cores(file) == found


def test_the_default_fits_the_embedded_database() -> None:
    assert 1 <= choose_web_processes() <= min(MOST_WEB_PROCESSES, count_web_processes())
    assert int(SETTINGS["max_connections"]) >= 200


def test_more_than_the_embedded_database_takes_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path / "data")
    with (
        pytest.raises(ConfigError, match="--workers"),
        serving(
            settings,
            host="127.0.0.1",
            port=0,
            tls=False,
            worker=False,
            web=count_web_processes() + 1,
        ),
    ):
        pass
    assert not (tmp_path / "data").exists()
