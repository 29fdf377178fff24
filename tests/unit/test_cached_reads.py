"""What a download reads on the event loop itself: reused buffers, and objects that the page cache holds."""

from __future__ import annotations

import asyncio
import ctypes
import mmap
import os
import sys
import time
import zlib
from pathlib import Path

import pytest

from fieldpack.server.storage.buffers import Buffers
from fieldpack.server.storage.local import LocalStorage


def test_a_buffer_is_not_lent_again_while_somebody_has_a_view_of_it() -> None:
    buffers = Buffers(8, kept=2)
    held = []
    for number in range(5):  # more than are kept
        view = buffers.lend()
        view[:] = bytes([number]) * 8
        held.append(view[2:6])
        del view
    assert [bytes(view) for view in held] == [bytes([number]) * 4 for number in range(5)]


def test_a_buffer_that_nobody_holds_is_used_again_and_keeps_its_size() -> None:
    buffers = Buffers(8, kept=4)
    places = set()
    for _ in range(20):
        view = buffers.lend()
        assert len(view) == 8
        places.add(id(view.obj))
        del view
    assert len(places) <= 4


@pytest.mark.parametrize("size_bytes", [1, 4096, 600_000])
def test_a_buffer_begins_where_a_page_of_memory_does(size_bytes: int) -> None:
    buffers = Buffers(size_bytes)
    for _ in range(5):
        view = buffers.lend()
        assert ctypes.addressof(ctypes.c_char.from_buffer(view)) % mmap.PAGESIZE == 0
        assert len(view) == size_bytes


@pytest.mark.skipif(not hasattr(os, "RWF_NOWAIT"), reason="reads that do not wait need Linux")
def test_only_whole_objects_that_are_right_are_filled(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "storage", tmp_path / "tmp")
    contents = {
        "blobs/aa/right": b"r" * 1000,
        "blobs/aa/short": b"s" * 999,
        "blobs/aa/long": b"l" * 1001,
        "blobs/aa/other": b"o" * 1000,
    }
    for key, data in contents.items():
        storage.put_blocking(key, data)
        assert storage.read_range_blocking(key, 0, len(data)) == data  # in the page cache now
    buffer = memoryview(bytearray(5000))
    crc32 = zlib.crc32(contents["blobs/aa/right"])
    wanted = [
        (f"blobs/aa/{name}", buffer[number * 1000 : number * 1000 + 1000], crc32)
        for number, name in enumerate(["short", "right", "gone", "long", "other"])
    ]
    try:
        assert asyncio.run(storage.fill_cached(wanted)) == [0, 2, 3, 4]
        assert bytes(wanted[1][1]) == contents["blobs/aa/right"]
    finally:
        storage.close()


def test_a_slow_disk_sends_files_to_threads_for_a_while(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "storage", tmp_path / "tmp")
    storage.put_blocking("blobs/aa/x", b"x")
    storage._in_threads_until = float("inf")
    try:
        wanted = [("blobs/aa/x", memoryview(bytearray(1)), zlib.crc32(b"x"))]
        assert asyncio.run(storage.fill_cached(wanted)) == [0]
    finally:
        storage.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what one thread had read")
def test_a_busy_machine_is_no_slow_disk(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "storage", tmp_path / "tmp")
    try:
        with storage._timed():
            time.sleep(0.05)  # as when others hold the interpreter
        assert time.monotonic() >= storage._in_threads_until
    finally:
        storage.close()
