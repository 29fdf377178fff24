"""A download gets its name when the disk has it, and keeps it."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldpack.client.download.partial import PartialFile
from tests.disk_order import watch_disk


@pytest.mark.parametrize("force", [False, True])
def test_the_data_then_the_name_then_the_folder(
    force: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path.resolve() / "a.zip"
    if force:
        target.write_bytes(b"old")
    with PartialFile(target) as part:
        part.write(memoryview(b"new"), 0)
        part.save()
        steps = watch_disk(monkeypatch)
        part.place(force=force)
    placed = steps.index(("place", str(target)))
    assert ("fsync", str(target) + ".part") in steps[:placed]
    assert ("fsync", str(target.parent)) in steps[placed:]
    assert target.read_bytes() == b"new"
    assert [path.name for path in target.parent.iterdir()] == ["a.zip"]


def test_what_appeared_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    target = tmp_path / "a.zip"
    with PartialFile(target) as part:
        part.write(memoryview(b"new"), 0)
        target.write_bytes(b"mine")
        with pytest.raises(Exception, match="appeared while it was being downloaded"):
            part.place(force=False)
    assert target.read_bytes() == b"mine"
    assert Path(f"{target}.part").read_bytes() == b"new"
