"""Which bytes a conditional or range request selects (RFC 9110 §13, §14)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from fieldpack.server.http.sending.ranges import Selected, select_range
from fieldpack.server.problems import RANGE_NOT_SATISFIABLE, Problem

ETAG = '"tag"'


@given(size=st.integers(1, 10_000), data=st.data())
def test_a_range_is_its_slice(size: int, data: st.DataObject) -> None:
    body = range(size)
    first = data.draw(st.integers(0, size - 1))
    last = data.draw(st.integers(first, size + 100))
    selected = select_range(Headers({"range": f"bytes={first}-{last}"}), size, ETAG)
    assert selected.status == 206
    assert body[selected.start : selected.stop] == body[first : last + 1]
    suffix = data.draw(st.integers(1, size + 100))
    selected = select_range(Headers({"range": f"bytes=-{suffix}"}), size, ETAG)
    assert body[selected.start : selected.stop] == body[max(size - suffix, 0) :]
    headers = selected.headers(ETAG)
    assert headers["Content-Length"] == str(selected.stop - selected.start)
    assert headers["Content-Range"] == f"bytes {selected.start}-{selected.stop - 1}/{size}"


@given(text=st.text(max_size=40), size=st.integers(0, 100))
def test_nothing_sent_is_a_crash(text: str, size: int) -> None:
    for header in (text, f"bytes={text}"):
        raw = [(b"range", header.encode("utf-8", "replace"))]
        selected: Selected | Problem
        try:
            selected = select_range(Headers(raw=raw), size, ETAG)
        except Problem as problem:
            selected = problem
        if isinstance(selected, Problem):
            assert selected.type is RANGE_NOT_SATISFIABLE
            assert selected.headers["Content-Range"] == f"bytes */{size}"
        else:
            assert 0 <= selected.start <= selected.stop <= size
            assert selected.status in (200, 206)
            assert selected.status == 206 or selected.length_bytes == size


@pytest.mark.parametrize("range_", ["bytes=0-", "bytes=-1", "bytes=0-0"])
def test_nothing_of_nothing_can_be_had(range_: str) -> None:
    with pytest.raises(Problem):
        select_range(Headers({"range": range_}), 0, ETAG)


def test_the_conditions() -> None:
    part = {"range": "bytes=0-1"}
    assert select_range(Headers({"if-none-match": ETAG, **part}), 10, ETAG).status == 304
    assert select_range(Headers({"if-none-match": f"W/{ETAG}"}), 10, ETAG).status == 304
    assert select_range(Headers({"if-none-match": '"other"', **part}), 10, ETAG).status == 206
    assert select_range(Headers({"if-range": ETAG, **part}), 10, ETAG).status == 206
    assert select_range(Headers({"if-range": f"W/{ETAG}", **part}), 10, ETAG).status == 200
    assert select_range(Headers(part), 10, ETAG, method="HEAD").status == 200
    assert "Content-Length" not in select_range(Headers({"if-none-match": "*"}), 10, ETAG).headers(ETAG)


@pytest.mark.parametrize("header", ["bytes=0 - 1", "bytes= 0-1", "bytes=0-1 ", "bytes=0-1,", "bytes=,0-1"])
def test_what_the_grammar_does_not_have_means_the_whole(header: str) -> None:
    assert select_range(Headers({"range": header}), 10, ETAG).status == 200


def test_headers_in_several_lines_are_one_list() -> None:
    ranges = [(b"range", b"bytes=0-1"), (b"range", b"bytes=4-5")]
    assert select_range(Headers(raw=ranges), 10, ETAG) == Selected(200, 0, 10, 10)
    tags = [(b"if-none-match", b'"other"'), (b"if-none-match", ETAG.encode())]
    assert select_range(Headers(raw=tags), 10, ETAG).status == 304
