"""The catalogues of the pages brought up to what the pages use: `python tools/messages.py [--check] [LANGUAGE …]`.

Messages come from the templates, modules and scripts of `server/web`, by their keys. What is new is added without a
text, what nothing uses goes. The texts of English are written by hand into its file, and so are its plural forms: a
message has them when its entry there has `msgid_plural`. Every other file shows the English text above each of its own
(`#.`); where that has changed since, the message becomes fuzzy, until somebody has read it again and removes the flag.

A LANGUAGE that has no file yet gets one. `--check` writes nothing, and fails where a file is not as it should be.
"""

from __future__ import annotations

import ast
import io
import re
import sys
from collections.abc import Iterator
from gettext import c2py
from pathlib import Path

from babel import Locale
from babel.messages import Catalog, Message
from babel.messages.pofile import read_po, write_po
from babel.plural import to_gettext
from jinja2.ext import babel_extract

from fieldpack.server.web.catalogue import SOURCE, plural_categories

WEB = Path(__file__).parents[1] / "src" / "fieldpack" / "server" / "web"
MODULE_CALLS = ("text", "message")
TEMPLATE_CALLS = ("t", "t_time")
_SCRIPT_CALL = re.compile(r'(?<![\w.$])(?<!function )t\((?:"([^"]*)"(?=[,)]))?')
_PLACE = re.compile(r"\{\w+\}")
_FORM_SEPARATOR = " | "

Extracted = dict[str, set[str]]
"""Keys, and the files that use them."""


def extract(web: Path = WEB) -> Extracted:
    """The keys that the pages use.

    Raises:
        ValueError: a text is looked up by a key that is put together, so that nobody can tell which.
    """
    found: Extracted = {}
    ways = {"**/*.py": _in_module, "templates/*.html": _in_template, "static/*.js": _in_script}
    for pattern, read in ways.items():
        for path in sorted(web.glob(pattern)):
            file = path.relative_to(web).as_posix()
            for line, key in read(path.read_text(encoding="utf-8")):
                if key is None:
                    raise ValueError(f"{file}:{line}: write the key of a text as one string.")
                found.setdefault(key, set()).add(file)
    return found


Found = Iterator[tuple[int, str | None]]
"""Lines, and the keys on them; None for one that is not written out."""


def _in_module(code: str) -> Found:
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call) and node.args:
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            key = node.args[0]
            if name in MODULE_CALLS and isinstance(key, ast.Constant):
                yield node.lineno, str(key.value)
            elif name == "message" or (
                name in MODULE_CALLS and not isinstance(key, ast.Name | ast.Subscript)
            ):
                yield node.lineno, None


def _in_template(html: str) -> Found:
    for line, _, key, _ in babel_extract(io.BytesIO(html.encode()), TEMPLATE_CALLS, [], {"silent": "false"}):
        first = key if isinstance(key, str | None) else key[0]
        yield line, first


def _in_script(code: str) -> Found:
    for call in _SCRIPT_CALL.finditer(code):
        yield code.count("\n", 0, call.start()) + 1, call[1]


def file_of(language: str, web: Path = WEB) -> Path:
    """Where a language's catalogue is."""
    return web / "locales" / language / "LC_MESSAGES" / "fieldpack.po"


def list_languages(web: Path = WEB) -> list[str]:
    """Those that have a catalogue, English first."""
    found = {path.parts[-3] for path in (web / "locales").glob("*/LC_MESSAGES/fieldpack.po")}
    return [SOURCE, *sorted(found - {SOURCE})]


def header_of(locale: Locale) -> str:
    """How the file of a language begins when it is new."""
    fields = (
        f"Language: {locale}",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: 8bit",
        f"Plural-Forms: {plural_forms(locale)}",
    )
    name = locale.get_display_name("en")
    return "\n".join(
        [
            f"# The texts of fieldpack's pages in {name}.",
            'msgid ""',
            'msgstr ""',
            *(f'"{each}\\n"' for each in fields),
            "",
            "",
        ]
    )


def plural_forms(locale: Locale) -> str:
    """The header `Plural-Forms` of a language: the rule of CLDR, which the pages go by."""
    rule = str(to_gettext(locale.plural_form))
    return re.sub(r"\b[ce]\b", "0", rule)  # exponents, which gettext's rules don't know and counts don't have


def update(language: str, used: Extracted, web: Path = WEB) -> str:
    """What the file of a language should be: its own texts for the messages that are used."""
    locale = Locale.parse(language)
    path = file_of(language, web)
    text = path.read_text(encoding="utf-8") if path.exists() else header_of(locale)
    old, source = (
        _parse(text, locale),
        _parse(file_of(SOURCE, web).read_text(encoding="utf-8"), Locale(SOURCE)),
    )
    new = Catalog(locale)
    new.mime_headers = old.mime_headers
    for key in sorted(used):
        english, before = source.get(key), old.get(key)
        is_plural = english is not None and bool(english.pluralizable)
        comments = [] if language == SOURCE or english is None else [say(english)]
        same = before is not None and bool(before.pluralizable) == is_plural
        string = (
            before.string if before is not None and same else ("",) * old.num_plurals if is_plural else ""
        )
        flags = set(before.flags) if before is not None else set()
        if (
            before is not None
            and any(forms_of(before))
            and " ".join(before.auto_comments) != " ".join(comments)
        ):
            flags.add("fuzzy")
        new.add(
            (key, key) if is_plural else key,
            string,
            locations=[(file, 0) for file in sorted(used[key])],
            flags=flags,
            auto_comments=comments,
            user_comments=before.user_comments if before is not None else [],
        )
    body = io.BytesIO()
    write_po(body, new, width=0, omit_header=True, include_lineno=False)
    header = text.partition("\n\n")[0]
    return f"{header}\n\n{body.getvalue().decode().rstrip()}\n"


def _parse(text: str, locale: Locale) -> Catalog:
    return read_po(io.BytesIO(text.encode()), locale=locale, abort_invalid=True)


def _is_rule_of(locale: Locale, catalog: Catalog) -> bool:
    """Whether a file's Plural-Forms choose the forms that the pages do, which go by CLDR."""
    categories = plural_categories(str(locale).replace("_", "-"))
    chosen = c2py(catalog.plural_expr)
    return catalog.num_plurals == len(categories) and all(
        categories[chosen(number)] == locale.plural_form(number) for number in (*range(1001), 1_000_000)
    )


def forms_of(found: Message) -> tuple[str, ...]:
    """The text of a message, or all its plural forms."""
    return (found.string,) if isinstance(found.string, str) else tuple(found.string or ())


def say(found: Message) -> str:
    """The English of a message in one line."""
    return _FORM_SEPARATOR.join(forms_of(found))


def find_faults(web: Path = WEB) -> Iterator[str]:
    """What is wrong with the catalogues, each in a sentence."""
    used = extract(web)
    source = _parse(file_of(SOURCE, web).read_text(encoding="utf-8"), Locale(SOURCE))
    by_text: dict[tuple[str, ...], str] = {}
    for language in list_languages(web):
        path, locale = file_of(language, web), Locale.parse(language)
        text = path.read_text(encoding="utf-8")
        catalog = _parse(text, locale)
        if text != update(language, used, web):
            yield f"{language}: the file is not up to the pages; run `make messages`."
        if not _is_rule_of(locale, catalog):
            yield f"{language}: Plural-Forms must choose as CLDR does: {plural_forms(locale)}"
        for found in catalog:
            if not found.id:
                continue
            key = found.id if isinstance(found.id, str) else found.id[0]
            if key not in used:
                yield f"{language}: {key} is used by nothing."
            if not all(forms_of(found)):
                yield f"{language}: {key} has no text."
            elif found.fuzzy:
                yield f"{language}: {key} has to be read again: its English has changed."
            else:
                yield from _find_misplaced(language, key, found, source.get(key))
            if (
                language == SOURCE
                and all(forms_of(found))
                and by_text.setdefault(forms_of(found), key) != key
            ):
                yield f"{language}: {key} says the same as {by_text[forms_of(found)]}."
        for key in sorted(used):
            if catalog.get(key) is None:
                yield f"{language}: {key} is missing; it is used in {', '.join(sorted(used[key]))}."


def _find_misplaced(language: str, key: str, found: Message, english: Message | None) -> Iterator[str]:
    """Places that a text has and its English lacks, or the other way; a plural form may do without its number."""
    wanted = {place for form in forms_of(english) for place in _PLACE.findall(form)} if english else set()
    for form in forms_of(found):
        places = set(_PLACE.findall(form))
        optional = {"{count}"} if found.pluralizable else set()
        if not wanted - optional <= places <= wanted:
            yield f"{language}: {key} should have the places {' '.join(sorted(wanted)) or 'none'}: {form}"


def main(arguments: list[str]) -> int:
    """Write the catalogues anew, or with `--check` say what is wrong with them."""
    if arguments[:1] == ["--check"]:
        faults = list(find_faults())
        print("\n".join(faults) or "The catalogues are complete.")
        return bool(faults)
    used = extract()
    # English first: the others show its texts
    for language in dict.fromkeys([*list_languages(), *arguments]):
        path, text = file_of(language), update(language, used)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
