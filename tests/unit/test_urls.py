"""URLs that people write: what may stand on a page, and what the sanitiser and the schemas make of the rest."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from fieldpack.server.collections.schemas import Image
from fieldpack.server.studies.schemas import StudyFields
from fieldpack.server.values.html import sanitise
from fieldpack.server.values.urls import is_own_path, is_plain_url, is_web_url

PLAIN = [
    "https://example.org",
    "HTTPS://Example.org/Ä?q=a b&c=//d#e:f",
    "http://example.org:8080/a//b",
    "http://[2001:db8::1]:80/",
    "https://例え.jp/写真.png",
    "mailto:someone@example.org",
    "tel:+44123",
    "/path//with?q=https://x",
    "#part",
    "?q=1:2",
    "a/b:c",
    "./a:b",
    "../a",
]
OBSCURE = [
    "",
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "\\/evil.example",
    "http:\\\\evil.example",
    "https:/\\evil.example",
    "https:evil.example",
    "https:/evil.example",
    "https:///evil.example",
    "https://\\evil.example",
    "https://good.example\\@evil.example",
    "https://good.example@evil.example",
    "https://good.example:1@evil.example",
    "https://good.example:99999/",
    "https://good.example:x/",
    "https://",
    "https://?x",
    " //evil.example",
    "\t//evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "\x01//evil.example",
    "\u00a0//evil.example",
    "\u200b//evil.example",
    "java\tscript:x()",
    "java\nscript:x()",
    "JavaScript:x()",
    "\x01javascript:x()",
    "javascript\u200b:x()",
    "java script:x()",
    "data:text/html,x",
    "vbscript:x",
    "blob:https://example.org/x",
    "file:///etc/passwd",
    "ftp://example.org",
    "x:y",
    "1:y",
    "https://exa\u202emple.org",
    "https://exa mple.org",
    "https://exam%70le.org",
    "https://[:::]/",
    "https://[1.2.3.4]/",
    "https://[::1.2.3]/",
    "https://[1:2:3:4:5:6:7:8:9]/",
    "https://[.]:1/",
    "https://example.org:\u0661/",
]


@given(st.from_regex(r"https?://(\[[0-9a-fA-F:.]{1,12}\]|[\w.:-]{1,6})(:\d{1,6})?[/?#]?", fullmatch=True))
@example("https://[:::]/")
def test_who_may_write_a_url_is_understood(url: str) -> None:
    """What is taken for a URL has a host and a port for whoever takes it apart, who would raise otherwise."""
    if is_web_url(url):
        parts = urlsplit(url)
        assert parts.hostname
        assert parts.port is None or 0 <= parts.port < 65536


@pytest.mark.parametrize("url", PLAIN)
def test_what_says_where_it_leads_stays(url: str) -> None:
    assert is_plain_url(url)
    assert re.search(r'(href|src)="', sanitise(f'<a href="{url}">x</a>'))
    assert "src=" in sanitise(f'<img src="{url}" alt="x">')


@pytest.mark.parametrize("url", OBSCURE)
def test_what_hides_where_it_leads_goes(url: str) -> None:
    assert not is_plain_url(url)
    assert not is_web_url(url)
    written = url.replace("\t", "&#9;").replace("\n", "&#10;").replace("\x01", "&#1;")
    kept = url.strip(" ")
    for html in (f'<a href="{url}">x</a>', f'<a href="{written}">x</a>', f'<img src="{written}" alt="x">'):
        assert not re.search("href|src", sanitise(html)) or is_plain_url(kept)
    with pytest.raises(ValidationError):
        Image.model_validate({"type": "image", "url": url, "alt_text": "x"})
    if url:  # empty counts as not given
        with pytest.raises(ValidationError):
            StudyFields.model_validate({"completion_url": url})


@pytest.mark.parametrize(
    "markdown",
    ["[x](//evil.example)", "[x](/\\evil.example)", "![x](//evil.example/a.png)", "[x]: //evil.example\n\n[x]",
     "<a href='\\\\evil.example'>x</a>", "[x](java&Tab;script:x)", "[x](<java&#9;script:x>)"],
)  # fmt: skip
def test_markdown_is_held_to_the_same(markdown: str) -> None:
    for url in re.findall(r'(?:href|src)="([^"]*)"', sanitise(markdown, markdown=True)):
        assert is_plain_url(url)
        assert not url.startswith("//")


def test_spaces_around_a_plain_url_are_no_reason_to_drop_it() -> None:
    assert 'href="https://example.org/"' in sanitise('<a href=" https://example.org/ ">x</a>')


@pytest.mark.parametrize("path", ["/", "/researcher?a=//b", "/a b", "/ä"])
def test_own_paths(path: str) -> None:
    assert is_own_path(path)


@pytest.mark.parametrize(
    "path", ["", "a", "//a", "/\\a", "/\t/a", "\\a", " /a", "https://a", "/a\r\nb", "#a"]
)
def test_other_paths(path: str) -> None:
    assert not is_own_path(path)


SCHEMES = st.sampled_from(["", "http:", "https:", "HTTPS:", "javascript:", "mailto:", "data:", "x:"])
NOISE = st.text(st.sampled_from("\\/\t\n\r\x00\x01\x1f \u00a0\u200b\u2028@:?#.%aZ9"), max_size=6)


@given(NOISE, SCHEMES, NOISE, st.sampled_from(["", "evil.example", "a@evil.example/x"]))
@example("/", "", "/", "evil.example")
def test_whatever_is_kept_has_a_scheme_we_allow_or_none(
    before: str, scheme: str, noise: str, rest: str
) -> None:
    """What browsers read it as, in their own steps: cut off both ends, drop tabs and line ends, turn slashes."""
    url = before + scheme + noise + rest
    if not is_plain_url(url):
        return
    read = re.sub("[\t\n\r]", "", url.strip("".join(map(chr, range(33))))).replace("\\", "/")
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):", read)
    if found is None:
        assert not read.startswith("//")
    elif found[1].lower() in ("http", "https"):
        assert re.match(r"https?://[\w.-]+(:\d*)?(?=[/?#]|$)", read, re.IGNORECASE)
    else:
        assert found[1].lower() in ("mailto", "tel")
