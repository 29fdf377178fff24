"""The download against a server that misbehaves: whole in the end, or a clear sentence and the part kept."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fieldpack.client.download.archive import download_archive
from fieldpack.client.download.partial import PartialFile, PartialInfo
from fieldpack.client.progress import Progress
from fieldpack.errors import DownloadError, ExportFailed
from tests.hostile_server import HostileServer, make_archive, serve_hostile

ARCHIVE = make_archive()
OTHER = make_archive(seed=2)
LARGE = make_archive(members=40, member_bytes=1_000_000)


@pytest.fixture
def server() -> Iterator[HostileServer]:
    with serve_hostile(ARCHIVE) as server:
        yield server


def bring(server: HostileServer, target: Path, **how: Any) -> Path:
    return download_archive(server.mint, target, **how)


def assert_only(folder: Path, *names: str) -> None:
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)


def test_it_brings_the_bytes_and_leaves_nothing_else(server: HostileServer, tmp_path: Path) -> None:
    seen: list[Progress] = []
    path = bring(server, tmp_path / "a.zip", on_progress=seen.append, size_bytes=len(ARCHIVE))
    assert path.read_bytes() == ARCHIVE
    assert_only(tmp_path, "a.zip")
    assert seen[-1] == Progress("downloading", len(ARCHIVE), len(ARCHIVE), 1.0)


@pytest.mark.parametrize("is_reset", [False, True])
@pytest.mark.parametrize("connections", [1, 3])
def test_it_survives_drops_at_random(tmp_path: Path, is_reset: bool, connections: int) -> None:
    chance = random.Random(5)
    archive = LARGE if connections > 1 else ARCHIVE
    step = len(archive) // 12
    with serve_hostile(archive, is_reset=is_reset, cut_after=lambda: chance.randint(1, 2 * step)) as server:
        path = bring(server, tmp_path / "a.zip", connections=connections)
        assert path.read_bytes() == archive
        assert len(server.asked("/download/")) > 5
        assert server.sent_bytes < 1.5 * len(archive)
        assert all(
            r.headers.get("if-range") == server.etag
            for r in server.asked("/download/")
            if "range" in r.headers
        )
    assert_only(tmp_path, "a.zip")


def test_large_archives_come_over_several_connections(tmp_path: Path) -> None:
    with serve_hostile(LARGE) as server:
        path = bring(server, tmp_path / "a.zip", connections=4)
        assert path.read_bytes() == LARGE
        assert len(server.asked("/download/")) == 2  # 40 MB are two parts of at least 16 MiB
    assert_only(tmp_path, "a.zip")


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_an_expired_link_is_asked_for_again(tmp_path: Path, status: int) -> None:
    with serve_hostile(ARCHIVE, link_bytes=len(ARCHIVE) // 4, expired_status=status) as server:
        path = bring(server, tmp_path / "a.zip")
        assert path.read_bytes() == ARCHIVE
        assert len({r.path for r in server.asked("/download/")}) >= 4


def test_links_that_never_open_end_with_the_servers_sentence(tmp_path: Path) -> None:
    with serve_hostile(ARCHIVE, link_bytes=0) as server:
        with pytest.raises(DownloadError, match="This link has expired: ask for the export again"):
            bring(server, tmp_path / "a.zip")
        assert len(server.asked("/download/")) == 4
    assert_only(tmp_path)


def test_a_failed_export_half_way_is_said(tmp_path: Path) -> None:
    with serve_hostile(ARCHIVE, link_bytes=len(ARCHIVE) // 2, expired_status=410) as server:
        links = iter([server.mint()])

        def get_link() -> str:
            for link in links:
                return link
            raise ExportFailed("A participant's data was erased.")

        with pytest.raises(ExportFailed, match="erased"):
            download_archive(get_link, tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()


@pytest.mark.parametrize("connections", [1, 3])
def test_a_changed_archive_starts_again(tmp_path: Path, connections: int) -> None:
    old, new = (
        (LARGE, make_archive(members=45, member_bytes=1_000_000, seed=9))
        if connections > 1
        else (ARCHIVE, OTHER)
    )
    cuts = iter([len(old) // 5])
    with serve_hostile(old, cut_after=lambda: next(cuts, None)) as server:

        def change(sent: int) -> None:
            if sent >= len(old) // 5:
                server.archive = new

        server.on_bytes = change
        path = bring(server, tmp_path / "a.zip", connections=connections)
        # Parts asked for before the change may all have been answered in full: then it is the old one, whole.
        assert path.read_bytes() in ((new,) if connections == 1 else (new, old))
    assert_only(tmp_path, "a.zip")


@pytest.mark.parametrize("connections", [1, 3])
def test_a_part_of_another_archive_is_told_by_its_etag(tmp_path: Path, connections: int) -> None:
    """Same length, right range, status 206: only the ETag says that it is no part of what was begun."""
    old, new = ARCHIVE, OTHER
    if connections > 1:
        old, new = LARGE, make_archive(members=40, member_bytes=1_000_000, seed=9)
    assert len(old) == len(new)
    cuts = iter([len(old) // 5])
    told: list[int] = []
    with serve_hostile(old, is_condition_blind=True, cut_after=lambda: next(cuts, None)) as server:

        def change(sent: int) -> None:
            if sent >= len(old) // 5:
                server.archive = new

        server.on_bytes = change
        path = bring(
            server,
            tmp_path / "a.zip",
            connections=connections,
            on_progress=lambda p: told.append(p.done_bytes),
        )
        assert path.read_bytes() in ((new,) if connections == 1 else (new, old))
        if connections == 1:  # nothing that came of the new one before it was told apart was kept
            begun_anew = next(at for at in range(1, len(told)) if told[at] < told[at - 1])
            assert max(told[:begun_anew]) <= len(old) // 5
    assert_only(tmp_path, "a.zip")


def test_a_server_that_ignores_ranges_is_asked_for_all_of_it(tmp_path: Path) -> None:
    cuts = iter([200_000, 300_000])
    with serve_hostile(ARCHIVE, is_range_blind=True, cut_after=lambda: next(cuts, None)) as server:
        assert bring(server, tmp_path / "a.zip").read_bytes() == ARCHIVE


def test_a_server_that_ignores_ranges_and_always_drops_is_given_up(tmp_path: Path) -> None:
    with (
        serve_hostile(ARCHIVE, is_range_blind=True, cut_after=lambda: 200_000) as server,
        pytest.raises(DownloadError, match="cannot be brought here in one piece"),
    ):
        bring(server, tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()


def test_without_length_or_etag_it_still_comes_whole(tmp_path: Path) -> None:
    cuts = iter([200_000])
    with serve_hostile(
        ARCHIVE, is_chunked=True, gives_etag=False, cut_after=lambda: next(cuts, None)
    ) as server:
        assert bring(server, tmp_path / "a.zip").read_bytes() == ARCHIVE


def test_busy_servers_are_waited_for(server: HostileServer, tmp_path: Path) -> None:
    server.busy = [503, 429, 502, 500]
    assert bring(server, tmp_path / "a.zip").read_bytes() == ARCHIVE


def test_a_server_gone_for_good_keeps_the_part_and_a_later_run_goes_on(tmp_path: Path) -> None:
    target, half = tmp_path / "a.zip", len(ARCHIVE) // 2
    served = iter([half])
    with serve_hostile(ARCHIVE, cut_after=lambda: next(served, 0)) as server:
        with pytest.raises(DownloadError, match="run it again to go on from") as caught:
            bring(server, target, tries=2)
        assert caught.value.part == tmp_path / "a.zip.part"
        assert (tmp_path / "a.zip.part").stat().st_size == half
        server.cut_after, server.sent_bytes = (lambda: None), 0
        assert bring(server, target).read_bytes() == ARCHIVE
        assert server.sent_bytes == len(ARCHIVE) - half
    assert_only(tmp_path, "a.zip")


def test_a_part_of_another_archive_is_not_joined(server: HostileServer, tmp_path: Path) -> None:
    served = iter([len(ARCHIVE) // 2])
    server.cut_after = lambda: next(served, 0)
    with pytest.raises(DownloadError):
        bring(server, tmp_path / "a.zip", tries=1)
    server.archive, server.cut_after = OTHER, lambda: None
    assert bring(server, tmp_path / "a.zip", size_bytes=len(OTHER)).read_bytes() == OTHER


def test_a_complete_part_of_another_archive_is_not_taken(server: HostileServer, tmp_path: Path) -> None:
    def put_in_the_way(sent: int) -> None:
        (tmp_path / "a.zip").write_bytes(b"mine")

    server.on_bytes = put_in_the_way
    with pytest.raises(DownloadError, match="appeared while"):
        bring(server, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == b"mine"
    assert (tmp_path / "a.zip.part").read_bytes() == ARCHIVE

    server.archive = OTHER
    assert bring(server, tmp_path / "a.zip", force=True).read_bytes() == OTHER


def test_a_complete_part_needs_no_second_download(server: HostileServer, tmp_path: Path) -> None:
    server.on_bytes = lambda sent: (tmp_path / "a.zip").touch()
    with pytest.raises(DownloadError, match="appeared while"):
        bring(server, tmp_path / "a.zip")
    server.on_bytes, server.sent_bytes = (lambda sent: None), 0
    assert bring(server, tmp_path / "a.zip", force=True).read_bytes() == ARCHIVE
    assert server.sent_bytes == 1


def test_damage_in_what_an_earlier_run_left_starts_again(server: HostileServer, tmp_path: Path) -> None:
    served = iter([len(ARCHIVE) // 2])
    server.cut_after = lambda: next(served, 0)
    with pytest.raises(DownloadError):
        bring(server, tmp_path / "a.zip", tries=1)
    with (tmp_path / "a.zip.part").open("r+b") as part:
        part.seek(200_000)
        part.write(b"\0" * 4096)
    server.cut_after = lambda: None
    assert bring(server, tmp_path / "a.zip").read_bytes() == ARCHIVE


@pytest.mark.parametrize("connections", [1, 2])
@pytest.mark.parametrize("descriptors", [False, True])
def test_damage_from_the_server_is_named(tmp_path: Path, connections: int, descriptors: bool) -> None:
    members = 40 if connections > 1 else 4
    damaged = bytearray(make_archive(members=members, member_bytes=1_000_000, descriptors=descriptors))
    damaged[2_500_000] ^= 1
    with (
        serve_hostile(bytes(damaged)) as server,
        pytest.raises(DownloadError, match=r"The member 'files/2.bin' is damaged: its CRC-32 is wrong"),
    ):
        bring(server, tmp_path / "a.zip", connections=connections)
    assert not (tmp_path / "a.zip").exists()


def test_data_descriptors_are_checked_too(tmp_path: Path) -> None:
    archive = make_archive(descriptors=True)
    with serve_hostile(archive) as server:
        assert bring(server, tmp_path / "a.zip").read_bytes() == archive


@pytest.mark.parametrize("cut", [1, 21, 30, 5000])
def test_an_archive_that_lacks_its_end_is_refused(tmp_path: Path, cut: int) -> None:
    with (
        serve_hostile(ARCHIVE[:-cut]) as server,
        pytest.raises(DownloadError, match="came damaged: It is not a whole ZIP"),
    ):
        bring(server, tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        (
            b'{"status": "generating"}',
            "application/json",
            "answered with application/json instead of an archive",
        ),
        (
            b"<html>Sign in</html>",
            "text/html; charset=utf-8",
            "answered with text/html instead of an archive",
        ),
        (b"<html>Sign in</html>", "application/zip", "is not a ZIP archive"),
        (b"", "application/zip", "is not a ZIP archive"),
    ],
)
def test_what_is_no_archive_is_not_saved(tmp_path: Path, body: bytes, kind: str, said: str) -> None:
    with serve_hostile(body, content_type=kind) as server, pytest.raises(DownloadError, match=said):
        bring(server, tmp_path / "a.zip")
    assert_only(tmp_path)


def test_a_length_that_is_not_the_exports_is_refused(server: HostileServer, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="nothing was saved"):
        bring(server, tmp_path / "a.zip", size_bytes=len(ARCHIVE) + 1)
    assert_only(tmp_path)


@pytest.mark.parametrize("extra", [1, 4096, 1 << 20, 100 << 20])
@pytest.mark.parametrize("gives_etag", [True, False])
def test_without_a_length_no_more_comes_than_the_export_has(
    tmp_path: Path, gives_etag: bool, extra: int
) -> None:
    """However much the server goes on sending: the export says how long its archive is."""
    sent = ARCHIVE + bytes(extra)
    longest: list[int] = []
    with serve_hostile(sent, is_chunked=True, gives_etag=gives_etag) as server:
        with pytest.raises(DownloadError, match=f"more than the {len(ARCHIVE):,} bytes"):
            bring(
                server,
                tmp_path / "a.zip",
                size_bytes=len(ARCHIVE),
                on_progress=lambda p: longest.append((tmp_path / "a.zip.part").stat().st_size),
            )
        assert len(server.asked("/download/")) == 1
    assert max(longest) <= len(ARCHIVE) + 1
    assert_only(tmp_path)


@pytest.mark.parametrize("less", [0, 1, 5000])
def test_without_a_length_what_comes_is_the_archive(tmp_path: Path, less: int) -> None:
    with serve_hostile(ARCHIVE[: len(ARCHIVE) - less], is_chunked=True) as server:
        if less:
            with pytest.raises(DownloadError, match="came damaged"):
                bring(server, tmp_path / "a.zip", size_bytes=len(ARCHIVE))
        else:
            assert bring(server, tmp_path / "a.zip", size_bytes=len(ARCHIVE)).read_bytes() == ARCHIVE


@pytest.mark.parametrize("is_said", ["by the link", "by the export", "by nobody"])
def test_room_is_looked_at_by_whatever_length_is_known(
    tmp_path: Path, is_said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = len(ARCHIVE) + (16 << 20) if is_said == "by nobody" else len(ARCHIVE) - 5000

    def free_bytes(self: PartialFile) -> int:
        return free - self.held_bytes()

    monkeypatch.setattr(PartialFile, "free_bytes", free_bytes)
    archive = ARCHIVE + bytes(8 << 20) if is_said == "by nobody" else ARCHIVE
    with serve_hostile(archive, is_chunked=is_said != "by the link") as server:
        with pytest.raises(DownloadError, match=r"too full.*make room"):
            bring(server, tmp_path / "a.zip", size_bytes=len(ARCHIVE) if is_said == "by the export" else None)
        if is_said != "by nobody":
            assert server.sent_bytes <= len(ARCHIVE)
    assert_only(tmp_path)


def test_it_never_overwrites_unasked_and_asks_nothing_first(server: HostileServer, tmp_path: Path) -> None:
    target = tmp_path / "a.zip"
    target.write_bytes(b"mine")
    with pytest.raises(DownloadError, match="--force"):
        bring(server, target)
    assert target.read_bytes() == b"mine"
    assert server.requests == []
    assert bring(server, target, force=True).read_bytes() == ARCHIVE


SPAN = {"position": 0, "end": 10}
SPANS: list[Any] = [5, [5], [{}], [SPAN, SPAN], [{"position": -1, "end": 4}]]
SOUND = {"source": {}, "etag": '"x"', "size_bytes": 10, "segments": [SPAN]}
UNSOUND: list[Any] = [
    None,
    5,
    [],
    {},
    "{ torn",
    *({**SOUND, "etag": etag} for etag in (5, ["x"], "W/x", "x", '"a\r\nX: y"', '"\u20ac"')),
    *({**SOUND, "size_bytes": size} for size in ("10", 5, -1, True, 10.5)),
    *({**SOUND, "source": source} for source in (5, [1], "x")),
    *({**SOUND, "segments": spans} for spans in SPANS),
    *({**SOUND, "segments": [{"position": at, "end": end}]} for at, end in (("0", 10), (8, 4), (0, None))),
    {**SOUND, "size_bytes": None, "segments": [{"position": 0, "end": None}]},
]


@pytest.mark.parametrize("notes", ["none", *UNSOUND], ids=str)
def test_a_part_that_no_download_left_is_kept(server: HostileServer, tmp_path: Path, notes: Any) -> None:
    part, beside = tmp_path / "a.zip.part", tmp_path / "a.zip.part.json"
    part.write_bytes(b"mine")
    if notes != "none":
        beside.write_text(notes if isinstance(notes, str) else json.dumps(notes))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(DownloadError, match=r"a\.zip\.part is there already.*--force"):
        bring(server, tmp_path / "a.zip")
    assert server.requests == []
    # it may appear while the export is made
    with pytest.raises(DownloadError, match="is there already"), PartialFile(tmp_path / "a.zip"):
        pass
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert bring(server, tmp_path / "a.zip", force=True).read_bytes() == ARCHIVE
    assert_only(tmp_path, "a.zip")


def test_notes_that_no_download_left_are_kept(server: HostileServer, tmp_path: Path) -> None:
    (tmp_path / "a.zip.part.json").write_text("mine")
    with pytest.raises(DownloadError, match=r"a\.zip\.part\.json is there already"):
        bring(server, tmp_path / "a.zip")
    with pytest.raises(DownloadError, match="is there already"), PartialFile(tmp_path / "a.zip"):
        pass
    assert_only(tmp_path, "a.zip.part.json")
    assert (tmp_path / "a.zip.part.json").read_text() == "mine"


def test_an_empty_part_of_somebody_else_is_used_and_not_removed(
    server: HostileServer, tmp_path: Path
) -> None:
    (tmp_path / "a.zip.part").touch()
    server.busy = [400]
    with pytest.raises(DownloadError):
        bring(server, tmp_path / "a.zip")
    assert_only(tmp_path, "a.zip.part")
    assert bring(server, tmp_path / "a.zip").read_bytes() == ARCHIVE


@pytest.mark.parametrize("gives_etag", [True, False])
def test_a_download_is_known_as_ours_from_its_first_byte(tmp_path: Path, gives_etag: bool) -> None:
    """As a process leaves it that is killed at any moment: the notes are there before the bytes are."""
    target = tmp_path / "a.zip"
    with serve_hostile(ARCHIVE, gives_etag=gives_etag) as server:
        real, seen = PartialFile.write, []

        def look(self: PartialFile, data: memoryview, position: int) -> int:
            seen.append(PartialInfo.find(self.info_path) is not None)
            return real(self, data, position)

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(PartialFile, "write", look)
            bring(server, target)
        assert seen
        assert all(seen)


def test_a_part_longer_than_its_archive_is_begun_anew(server: HostileServer, tmp_path: Path) -> None:
    served = iter([len(ARCHIVE) // 2])
    server.cut_after = lambda: next(served, 0)
    with pytest.raises(DownloadError):
        bring(server, tmp_path / "a.zip", tries=1)
    os.truncate(tmp_path / "a.zip.part", len(ARCHIVE) + 5)
    server.cut_after = lambda: None
    assert bring(server, tmp_path / "a.zip").read_bytes() == ARCHIVE


def test_only_files_are_replaced(server: HostileServer, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DownloadError, match="not a file that can be replaced"):
        bring(server, tmp_path / "pipe", force=True)
    (tmp_path / "a.zip").symlink_to(tmp_path / "nowhere")
    with pytest.raises(DownloadError, match="exists already"):
        bring(server, tmp_path / "a.zip")
    assert server.requests == []


def test_two_downloads_to_one_place_do_not_mix(server: HostileServer, tmp_path: Path) -> None:
    with PartialFile(tmp_path / "a.zip"), pytest.raises(DownloadError, match="Another process"):
        bring(server, tmp_path / "a.zip")
    assert bring(server, tmp_path / "a.zip").read_bytes() == ARCHIVE


def test_no_token_leaves_with_redirects(server: HostileServer, tmp_path: Path) -> None:
    with serve_hostile(ARCHIVE) as other:
        server.redirects_to = other.url
        assert bring(server, tmp_path / "a.zip").read_bytes() == ARCHIVE
        assert all("authorization" not in r.headers for r in server.requests + other.requests)


def test_only_web_links_are_opened(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(ARCHIVE)
    with pytest.raises(DownloadError, match="not a web address"):
        download_archive(lambda: (tmp_path / "secret").as_uri(), tmp_path / "a.zip")


def test_a_port_where_nothing_listens_is_said(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/a"
        with pytest.raises(DownloadError, match="cannot be reached"):
            download_archive(lambda: url, tmp_path / "a.zip", tries=1)
    assert_only(tmp_path)


def _bring_in_a_process(url: str, target: Path) -> None:
    download_archive(lambda: url, target)


def _noted_position(note: Path) -> int:
    """How far the download at `note` has come by its own account, in bytes."""
    try:
        return int(json.loads(note.read_bytes())["segments"][0]["position"])
    except (FileNotFoundError, IndexError):
        return 0


def test_a_killed_download_is_resumed(tmp_path: Path) -> None:
    note = tmp_path / "a.zip.part.json"
    with serve_hostile(LARGE) as server:
        # It notes once a second how far it has come, which is not often enough to count on when all goes fast.
        server.hold(len(LARGE) // 2, until=lambda: _noted_position(note) > len(LARGE) // 4)
        process = multiprocessing.get_context("spawn").Process(
            target=_bring_in_a_process, args=(server.mint(), tmp_path / "a.zip")
        )
        process.start()
        assert server.held.wait(120)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert_only(tmp_path, "a.zip.part", "a.zip.part.json")
        position = _noted_position(note)
        server.release()
        assert bring(server, tmp_path / "a.zip").read_bytes() == LARGE
        assert server.requests[-1].headers["range"].startswith(f"bytes={position}-")
    assert_only(tmp_path, "a.zip")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = sys.platform == "linux" and (
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)], capture_output=True, check=False
        ).returncode
        == 0
    )
    if not mounted:
        pytest.skip("needs `mount` and the right to mount a small tmpfs")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_too_small_is_said_before_the_bytes_are_brought(small_disk: Path) -> None:
    with serve_hostile(LARGE) as server, pytest.raises(DownloadError, match=r"too full.*make room"):
        bring(server, small_disk / "a.zip")
    assert_only(small_disk)


def test_a_disk_that_fills_up_keeps_the_part(small_disk: Path) -> None:
    archive = make_archive(members=14, member_bytes=1_000_000)
    with serve_hostile(archive) as server:

        def fill(sent: int) -> None:
            if sent > 10_000_000 and not (small_disk / "filler").exists():
                room = os.statvfs(small_disk)
                (small_disk / "filler").write_bytes(b"\0" * (room.f_bavail * room.f_frsize - 200_000))

        server.on_bytes = fill
        with pytest.raises(DownloadError, match=r"is full: make room .* is kept in .*a\.zip\.part"):
            bring(server, small_disk / "a.zip")
        assert (small_disk / "a.zip.part").stat().st_size > 500_000
        server.on_bytes = lambda sent: None
        (small_disk / "filler").unlink()
        assert bring(server, small_disk / "a.zip").read_bytes() == archive
    assert_only(small_disk, "a.zip")


def test_what_came_opens(server: HostileServer, tmp_path: Path) -> None:
    with zipfile.ZipFile(bring(server, tmp_path / "a.zip")) as archive:
        assert archive.testzip() is None
