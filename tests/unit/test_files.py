"""Files that are there whole or not at all, and locks that end with who holds them."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from fieldpack.files import lock, rename_new, replace_file, sync_folder, try_lock, unlock, write_whole
from tests.disk_order import watch_disk


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "notes.json"
    write_whole(path, b"first")

    def fail_half_way() -> None:
        with replace_file(path, lasting=True) as draft:
            draft.write_bytes(b"sec")
            assert path.read_bytes() == b"first"
            raise ValueError("half-way")

    with pytest.raises(ValueError, match="half-way"):
        fail_half_way()
    assert path.read_bytes() == b"first"
    write_whole(path, b"second", lasting=True)
    assert path.read_bytes() == b"second"
    assert os.listdir(tmp_path) == ["notes.json"]


def test_what_is_to_last_is_on_the_disk_before_its_name_and_its_name_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path.resolve() / "key.pem"
    steps = watch_disk(monkeypatch)
    write_whole(path, b"key", lasting=True)
    (draft,) = (name for what, name in steps if what == "from")
    assert steps[:4] == [("fsync", draft), ("place", str(path)), ("from", draft), ("fsync", str(path.parent))]


def test_what_a_killed_process_left_is_written_over(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    with replace_file(path) as draft:
        name = draft.name
        draft.write_bytes(b"1")
    tmp_path.joinpath(name).write_bytes(b"left by a process of the same number")
    write_whole(path, b"2")
    assert path.read_bytes() == b"2"
    assert os.listdir(tmp_path) == ["table.csv"]


@pytest.mark.skipif(os.name == "nt", reason="modes are of POSIX")
def test_a_secret_is_never_seen_with_a_wider_mode(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(b"old")
    path.chmod(0o644)
    write_whole(path, b"secret", mode=0o600, lasting=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_long_names_leave_room_for_the_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 240 + ".csv")
    write_whole(path, b"1")
    assert path.read_bytes() == b"1"


def test_a_new_name_replaces_nothing(tmp_path: Path) -> None:
    (tmp_path / "draft").write_bytes(b"new")
    (tmp_path / "there").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        rename_new(tmp_path / "draft", tmp_path / "there")
    assert (tmp_path / "there").read_bytes() == b"old"
    sync_folder(tmp_path)


HOLD = """
import os, sys
from fieldpack.files import try_lock
fd = os.open(sys.argv[1], os.O_RDWR)
print(try_lock(fd, shared=sys.argv[2] == "shared"), flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(os.name == "nt", reason="locks can't be shared on Windows")
@pytest.mark.parametrize("shared", [False, True])
def test_a_lock_is_let_go_by_who_is_killed(tmp_path: Path, shared: bool) -> None:
    path = tmp_path / "lock"
    path.touch()
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path), "shared" if shared else "alone"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline().strip() == b"True"
    fd = os.open(path, os.O_RDWR)
    try:
        assert not try_lock(fd)
        assert not lock(fd)
        assert try_lock(fd, shared=True) == shared
        unlock(fd)
        holder.kill()
        holder.communicate()
        assert try_lock(fd)
    finally:
        os.close(fd)
