"""HTML and Markdown of researchers: what stays of it, and that little of it can't become much."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpack.server.values.html import TAGS, sanitise
from fieldpack.server.values.markup import MAX_NESTING, TooDeep

NAMES = (*sorted(TAGS), "svg", "select", "option", "rt", "form", "x-y")
PIECES = st.sampled_from(
    [
        *(f"<{name}>" for name in NAMES),
        *(f"</{name}>" for name in NAMES),
        *("<!--", "-->", "<!x>", "</", "<", "a", '"', "'", "<div title='", "<b dir=x", "<script>", "</script>"),
    ]
)  # fmt: skip


@given(before=st.lists(PIECES, max_size=2), unit=st.lists(PIECES, min_size=1, max_size=6))
def test_what_is_left_is_nested_no_deeper_than_is_allowed(before: list[str], unit: list[str]) -> None:
    """Whatever is repeated: what the sanitiser writes out, which closes all that it opens, says how deep it was."""
    text = "".join(unit)
    try:
        html = sanitise("".join(before) + text * (4_000 // len(text)))
    except TooDeep:
        return
    depth = deepest = 0
    for end, name in re.findall("<(/?)([a-z0-9]+)", html):
        if name not in ("br", "hr", "img"):
            depth += -1 if end else 1
            deepest = max(deepest, depth)
    assert deepest <= MAX_NESTING + 2  # and parts of a table that are implied


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("a < b & c &lt; d", "a &lt; b &amp; c &lt; d"),
        ("<P DIR=rtl>a<Br/>b</P >", '<p dir="rtl">a<br>b</p>'),
        ("<a href='https://a.example/?a=\"b\"' title=x>a</a>",
         '<a href="https://a.example/?a=&quot;b&quot;" title="x" rel="noopener noreferrer">a</a>'),
        ("<b>a<i>b</b>c</i>d", "<b>a<i>b</i></b><i>c</i>d"),
        ("<ul><li>a<li>b<ul><li>c</ul><li>d</ul>e", "<ul><li>a</li><li>b<ul><li>c</li></ul></li><li>d</li></ul>e"),
        ("<table><tr><td>a<td>b<tr><th>c</table>d",
         "<table><tbody><tr><td>a</td><td>b</td></tr><tr><th>c</th></tr></tbody></table>d"),
        ("a<script>b</b></script>c<style>d", "ac"),
        ("<section>a</section><font color=red>b</font><select><option>c</select>", "abc"),
        ("a<!-- b -->c<!--> d --><![CDATA[e]]>f<?g?>h", "ac d --&gt;fh"),
        ("a</>b</ c>d</p>e<p title='f", "abd<p></p>e"),
        ("<p>One<section>Two</section>", "<p>One</p>Two"),
        ("<b>a<p>b</b>c", "<b>a</b><p><b>b</b>c</p>"),
        ("a</", "a&lt;/"),
        ("<p title=a\u3000b>c</p\u00a0>d", '<p>cd</p>'),
    ],
)  # fmt: skip
def test_what_html_says_stays(written: str, kept: str) -> None:
    assert sanitise(written) == kept


SLOPPY = [
    "<table><tr><td><b>Head</td></tr>" + "<tr><td>a</td><td>b</td><td>c</td></tr>" * 100 + "</table>",
    "<table><tr><td><span>Head</td></tr>" + "<tr><td>a<td>b" * 100 + "</table>",
    "<table><tr><td><b><i>Head</b></i></td></tr>" + "<tr><td>a</td></tr>" * 300 + "</table>",
    "<p><b><i>x</b></i></p>" * 300,
    "<a href='https://a.example'><b>x</a></b>" * 300,
    "<h2>x</h3>" * 300,
    "<p>a<center>b</center>" * 300,
    "<ul><li><b>a<li>b</ul>" * 60,
]


@pytest.mark.parametrize("html", SLOPPY)
def test_what_people_write_is_not_deep(html: str) -> None:
    assert sanitise(html)


@pytest.mark.parametrize(
    "html",
    [
        "<p><a href='https://a.example/" + "y" * 2_000 + "'>" + "<p>x" * 4_000,
        "<b lang=i>" * 150 + "<p>x" * 4_000,
        "<td>" + "<u dir=" + "r" * 900 + ">" + "<div>x</div></p>" * 2_000,
    ],
)
def test_formatting_left_open_is_not_written_out_over_and_over(html: str) -> None:
    """Each paragraph opens again what the one before left open, with its attributes."""
    with contextlib.suppress(TooDeep):
        assert len(sanitise(html)) < 40 * len(html)


@pytest.mark.parametrize("name", ["title", "url"])
def test_references_are_written_out_no_more_than_is_sensible(name: str) -> None:
    """What is named once can be used a hundred thousand times: a small text would be hundreds of megabytes."""
    target = '/x "' + "t" * 8_000 + '"' if name == "title" else "https://a.example/" + "u" * 8_000
    with pytest.raises(ValueError, match="links"):
        sanitise(f"[a]: {target}\n\n" + "[a]" * 8_000, markdown=True)
    sensible = "[a]: https://a.example/guide 'The guide'\n\n" + "[a], as *said*. " * 2_000
    assert sanitise(sensible, markdown=True).count("https://a.example/guide") == 2_000
