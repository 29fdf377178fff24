"""The pages' catalogues: complete in every language, and whatever is missing or stale in one is found."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from babel import Locale
from tools.messages import WEB, extract, file_of, find_faults, header_of, list_languages, update

from fieldpack.server.web.catalogue import CATALOGUES, Catalogue, choose_language
from fieldpack.server.web.preferences import preferred_languages

ENGLISH = """
#: page.py templates/page.html
msgid "greeting"
msgstr "Hello {name}"

#: static/page.js
msgid "left"
msgid_plural "left"
msgstr[0] "{count} left of {total}"
msgstr[1] "{count} left of {total}"
"""
GERMAN = """
#. Hello {name}
#: page.py templates/page.html
msgid "greeting"
msgstr "Guten Tag, {name}"

#. {count} left of {total} | {count} left of {total}
#: static/page.js
msgid "left"
msgid_plural "left"
msgstr[0] "noch {count} von {total}"
msgstr[1] "noch {count} von {total}"
"""
PAGES = {
    "page.py": 'KEYS = [message("greeting")]\nwords.text(KEYS[0], name="Ada")\n',
    "templates/page.html": "{% if caller %}{{ t('greeting', name=caller.name) }}{% endif %}\n",
    "static/page.js": 'say(`${t("left", { count, total: 3 })}`);\n',
}


@pytest.fixture
def web(tmp_path: Path) -> Path:
    """Pages of three texts, with complete catalogues."""
    for name, code in PAGES.items():
        write(tmp_path / name, code)
    for language, texts in {"en": ENGLISH, "de": GERMAN}.items():
        write(file_of(language, tmp_path), header_of(Locale(language)).rstrip("\n") + "\n" + texts)
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_the_catalogues_are_complete() -> None:
    assert list(find_faults()) == []


def test_every_catalogue_is_served() -> None:
    assert list(CATALOGUES) == sorted(language.replace("_", "-") for language in list_languages())


def test_scripts_have_all_their_texts() -> None:
    wanted = {key for key, files in extract().items() if any(file.endswith(".js") for file in files)}
    assert wanted
    for catalogue in CATALOGUES.values():
        assert set(catalogue.for_browser()) == wanted


def test_complete_pages_have_no_fault(web: Path) -> None:
    assert list(find_faults(web)) == []


def in_english(old: str, new: str) -> Callable[[Path], None]:
    return lambda web: change(file_of("en", web), old, new)


def in_german(old: str, new: str) -> Callable[[Path], None]:
    return lambda web: change(file_of("de", web), old, new)


def in_page(file: str, code: str) -> Callable[[Path], None]:
    return lambda web: write(web / file, code)


@pytest.mark.parametrize(
    ("do", "fault"),
    [
        (in_page("templates/more.html", "{{ t('more') }}"), "en: more is missing"),
        (in_page("more.py", "words.text('more')"), "de: more is missing"),
        (in_page("static/more.js", 'say(t("left", { a: t("more") }))'), "de: more is missing"),
        (in_page("static/page.js", ""), "de: left is used by nothing"),
        (in_page("static/more.js", 't("greeting")'), "en: the file is not up to the pages"),
        (in_german("Guten Tag, {name}", ""), "de: greeting has no text"),
        (in_german("noch {count} von {total}", ""), "de: left has no text"),
        (in_german('"\n\n#. {count}', '"\n\n#, fuzzy\n#. {count}'), "de: left has to be read again"),
        (in_english("Hello {name}", "Welcome {name}"), "de: the file is not up to the pages"),
        (in_german("Tag, {name}", "Tag, {nam}"), "de: greeting should have the places {name}"),
        (in_german("Tag, {name}", "Tag"), "de: greeting should have the places {name}"),
        (in_german("von {total}", "von {count}"), "de: left should have the places {count} {total}"),
        (in_german("? 0 : 1", "? 1 : 0"), "de: Plural-Forms must choose as CLDR does"),
        (in_english("Hello {name}", ""), "en: greeting has no text"),
        (in_english('msgid "greeting"', 'msgid "hail"'), "en: hail is used by nothing"),
    ],
)
def test_a_fault_is_found(web: Path, do: Callable[[Path], None], fault: str) -> None:
    do(web)
    assert any(each.startswith(fault) for each in find_faults(web)), list(find_faults(web))


def test_what_says_the_same_is_one_message(web: Path) -> None:
    write(web / "static" / "more.js", 't("hail")')
    change(file_of("en", web), 'msgid "greeting"', 'msgid "hail"\nmsgstr "Hello {name}"\n\nmsgid "greeting"')
    bring_up(web)
    assert list(find_faults(web)) == ["en: hail says the same as greeting.", "de: hail has no text."]


@pytest.mark.parametrize(
    ("file", "code"),
    [
        ("more.py", "words.text(f'problem.{reason}')"),
        ("more.py", "words.text('a' if wrong else 'b')"),
        ("more.py", "message(key)"),
        ("templates/more.html", "{{ t('state.' ~ state) }}"),
        ("static/more.js", "say(t(`state.${state}`))"),
        ("static/more.js", 'say(t(wrong ? "a" : "b"))'),
    ],
)
def test_a_key_is_written_out(web: Path, file: str, code: str) -> None:
    write(web / file, f"\n{code}")
    with pytest.raises(ValueError, match=rf"^{file}:2: "):
        extract(web)


def bring_up(web: Path) -> None:
    used = extract(web)
    for language in list_languages(web):
        write(file_of(language, web), update(language, used, web))


def test_changed_english_makes_its_translations_fuzzy(web: Path) -> None:
    change(file_of("en", web), "Hello {name}", "Welcome {name}")
    bring_up(web)
    assert list(find_faults(web)) == ["de: greeting has to be read again: its English has changed."]
    assert "Welcome {name}\n#: page.py templates/page.html\n#, fuzzy\n" in file_of("de", web).read_text()
    bring_up(web)  # which alone doesn't make it right
    change(file_of("de", web), "#, fuzzy\n", "")
    assert list(find_faults(web)) == []


def test_new_messages_wait_for_their_texts_and_old_ones_go(web: Path) -> None:
    write(web / "static" / "page.js", 't("right")')
    bring_up(web)
    assert list(find_faults(web)) == ["en: right has no text.", "de: right has no text."]


def test_a_language_is_one_file(web: Path) -> None:
    write(file_of("pl", web), update("pl", extract(web), web))
    assert list(find_faults(web)) == ["pl: greeting has no text.", "pl: left has no text."]
    begun = file_of("pl", web).read_text()
    assert begun.startswith("# The texts of fieldpack's pages in Polish.\n")
    assert begun.count("msgstr[3]") == 1


@pytest.mark.parametrize(
    ("accept_language", "preferred"),
    [
        ("", []),
        ("de", ["de"]),
        ("de-CH, de;q=0.9, en;q=0.8", ["de-CH", "de", "en"]),
        ("en;q=0.5,de", ["de", "en"]),
        ("de;q=0, en", ["en"]),
        ("de;q=two, en", ["en"]),
        ("*", ["*"]),
        (", ,;", []),
        (",".join(f"x{number}" for number in range(1000)), [f"x{number}" for number in range(10)]),
    ],
)
def test_preferred_languages(accept_language: str, preferred: list[str]) -> None:
    assert preferred_languages(accept_language) == preferred


@pytest.mark.parametrize(
    ("accept_language", "language"),
    [
        ("", "en"),
        ("tlh", "en"),
        ("*", "en"),
        ("not a header;;", "en"),
        ("EN-us", "en"),
        ("tlh, en-GB;q=0.1", "en"),
        ("de", "de"),
        ("DE-ch-1996", "de"),
        ("fr, de;q=0.5, en;q=0.1", "de"),
        ("de;q=0.4, en;q=0.6", "en"),
        ("de;q=0, *", "en"),
    ],
)
def test_the_language_that_is_wanted_most(accept_language: str, language: str) -> None:
    assert choose_language(accept_language).language == language


@pytest.mark.parametrize(
    ("language", "direction"), [("en", "ltr"), ("ar", "rtl"), ("he", "rtl"), ("pt-BR", "ltr")]
)
def test_the_direction_of_writing(language: str, direction: str) -> None:
    assert Catalogue(language, {}).direction == direction


def test_numbers_have_the_decimal_mark_of_their_language() -> None:
    catalogue = Catalogue("de", {"bound": "ab {bound}"})
    assert catalogue.text("bound", bound=0.5) == "ab 0,5"
    assert catalogue.text("bound", bound=10_000.0) == "ab 10000"
    assert catalogue.text("bound", bound="0.5") == "ab 0.5"


def test_templates_have_no_words_of_their_own() -> None:
    code = re.compile(r"\{% block body_class %\}\w*|\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
    for template in sorted((WEB / "templates").glob("*.html")):
        html = code.sub("", template.read_text(encoding="utf-8"))
        labels = re.findall(r'(?:aria-label|title|alt|placeholder)="([^"]*)"', html)
        said = " ".join([re.sub(r'[\w-]+="[^"]*"|<[^>]*>', " ", html), *labels])
        assert re.findall(r"[^\W\d_]{2,}", said) == [], template.name
