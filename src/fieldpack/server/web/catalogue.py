"""The texts of the pages: a gettext catalogue for each language, `locales/<language>/LC_MESSAGES/fieldpack.po`.

The id of a message is a key, which code and templates use. English is a catalogue like the others, and the one that
they are translated from; a language is one file. The files are read as they are, in a clone and in the wheel.

A text may have `{places}`. One with plural forms is chosen by its `{count}`. A file has the forms in the order of
CLDR's categories, as many as the language has; scripts get them by category, because browsers choose by that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from babel import Locale
from babel.messages import Message
from babel.messages.pofile import read_po
from babel.numbers import get_decimal_symbol, get_minus_sign_symbol

from fieldpack.server.web.preferences import preferred_languages

__all__ = ["CATALOGUES", "SOURCE", "Catalogue", "Text", "choose_language", "message", "plural_categories"]

Text = str | Mapping[str, str]
"""One text, or its plural forms by category."""

SOURCE = "en"
"""The language that the others are translated from."""

_CATEGORIES = ("zero", "one", "two", "few", "many", "other")
_PLACE = re.compile(r"\{(\w+)\}")


def message(key: str) -> str:
    """Return `key`. Marks the key of a text that is looked up elsewhere, so that `make messages` finds it."""
    return key


@cache
def _locale(language: str) -> Locale:
    return Locale.parse(language, sep="-")


def plural_categories(language: str) -> tuple[str, ...]:
    """The CLDR categories of a language, in the order in which its file has them."""
    return tuple(name for name in _CATEGORIES if name in {*_locale(language).plural_form.tags, "other"})


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The texts of one language.

    Attributes:
        language: its tag, such as `pt-BR`.
        texts: by key.
        script_keys: which of them scripts use.
    """

    language: str
    texts: Mapping[str, Text]
    script_keys: frozenset[str] = frozenset()

    @property
    def direction(self) -> str:
        """The direction of writing: `ltr` or `rtl`."""
        return _locale(self.language).text_direction

    def text(self, key: str, **values: object) -> str:
        """The text of `key`, with its places filled in; numbers are written as by `number`.

        Of several plural forms it is the one for `count`, and the one of `other` without a count.

        Raises:
            KeyError: there is no such key.
        """
        found = self.texts[key]
        if not isinstance(found, str):
            found = found.get(self.plural_category(values.get("count")), found["other"])
        return _PLACE.sub(lambda place: self._say(values.get(place[1], place[0])), found)

    def _say(self, value: object) -> str:
        return self.number(value) if isinstance(value, int | float) else str(value)

    def plural_category(self, count: object) -> str:
        """The CLDR category of a number in this language: `zero`, `one`, `two`, `few`, `many` or `other`.

        Followed: Unicode TR 35 part 3, Language Plural Rules, as `Intl.PluralRules` does in the browser.
        """
        if not isinstance(count, int | float):
            return "other"
        return _locale(self.language).plural_form(abs(count))

    def number(self, value: float) -> str:
        """A number with this language's decimal mark, without grouping, and with up to 20 decimals: 10000, 0,5."""
        if isinstance(value, int) and value >= 0:
            return str(value)
        digits = f"{Decimal(str(value)):.20f}".rstrip("0").removesuffix(".")
        marks = _locale(self.language)
        return digits.replace(".", get_decimal_symbol(marks)).replace("-", get_minus_sign_symbol(marks))

    def size(self, size_bytes: float) -> str:
        """A number of bytes as people read it, in powers of 1,000: 1.5 MB. `sizeText` of static/texts.js does the
        same."""
        if size_bytes < 999.5:
            return self.text("size.bytes", number=round(size_bytes))
        size = size_bytes / 1000
        if size < 999.5:
            return self.text("size.kilobytes", number=_short(size))
        size /= 1000
        if size < 999.5:
            return self.text("size.megabytes", number=_short(size))
        return self.text("size.gigabytes", number=_short(size / 1000))

    def for_browser(self) -> dict[str, Text]:
        """The texts that scripts use."""
        return {key: self.texts[key] for key in sorted(self.script_keys)}


def _short(size: float) -> float:
    return round(size) if size >= 99.95 else float(f"{size:.3g}")


def _read(language: str, file: Traversable) -> tuple[dict[str, Text], frozenset[str]]:
    """The texts of a file that are translated and not fuzzy, and the keys that its locations say scripts use.

    Raises:
        PoFileError: the file is not a catalogue.
    """
    with file.open("rb") as lines:
        found = read_po(lines, locale=_locale(language), abort_invalid=True)
    texts: dict[str, Text] = {}
    script_keys = set()
    for each in found:
        if each.id and not each.fuzzy:
            key, text = _text_of(each, plural_categories(language))
            if text:
                texts[key] = text
            if any(place.endswith(".js") for place, _ in each.locations):
                script_keys.add(key)
    return texts, frozenset(script_keys)


def _text_of(found: Message, categories: tuple[str, ...]) -> tuple[str, Text]:
    if isinstance(found.id, str):
        return found.id, str(found.string)
    forms = [str(form) for form in found.string or ()]
    return found.id[0], dict(zip(categories, forms, strict=True)) if all(forms) else ""


def _load() -> dict[str, Catalogue]:
    read = {}
    for folder in files(__package__).joinpath("locales").iterdir():
        file = folder.joinpath("LC_MESSAGES", "fieldpack.po")
        if file.is_file():
            language = str(Locale.parse(folder.name)).replace("_", "-")
            read[language] = _read(language, file)
    source, script_keys = read[SOURCE]
    # texts that a language lacks are English
    return {
        language: Catalogue(language, {**source, **texts}, script_keys)
        for language, (texts, _) in sorted(read.items())
    }


CATALOGUES = _load()
"""All there are, by tag."""

_BY_TAG: dict[str, Catalogue] = {
    **{tag.partition("-")[0].lower(): catalogue for tag, catalogue in reversed(CATALOGUES.items())},
    **{tag.lower(): catalogue for tag, catalogue in CATALOGUES.items()},
}


def choose_language(accept_language: str) -> Catalogue:
    """The catalogue that an `Accept-Language` header prefers, else English.

    Followed: RFC 4647 §3.4, Lookup. Where there is none of `pt` or `pt-PT`, that of `pt-BR` is closer than English.
    """
    for wanted in preferred_languages(accept_language):
        tag = wanted.lower()
        while tag:
            if tag in _BY_TAG:
                return _BY_TAG[tag]
            tag = tag.rpartition("-")[0]
    return CATALOGUES[SOURCE]
