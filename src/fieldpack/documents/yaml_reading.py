"""Reading YAML into the nodes of `documents`.

Of YAML 1.2 (https://yaml.org/spec/1.2.2) this is the core schema (§10.3.2), and merge keys; tags that make other
objects are refused, whatever version a file claims to be of.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.reader import ReaderError

from fieldpack.documents.nodes import (
    LONGEST_NUMBER,
    MOST_LEVELS,
    Allowance,
    DocumentError,
    Mapping,
    Node,
    Scalar,
    Sequence,
)
from fieldpack.documents.yaml_scanner import BoundedScanner

__all__ = ["read_yaml"]

# YAML 1.2.2 §10.3.2, in its order
_NULL = re.compile(r"null|Null|NULL|~|")
_TRUE, _FALSE = re.compile(r"true|True|TRUE"), re.compile(r"false|False|FALSE")
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NO_NUMBER = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")

_TAG = "tag:yaml.org,2002:"
_KEPT_TAGS = {_TAG + name: name for name in ("str", "int", "float", "bool", "null", "map", "seq")}


def read_yaml(text: str) -> Node | None:
    """The nodes of a YAML document; None when it is empty.

    Raises:
        DocumentError: it is not YAML, has several documents or too many values, or uses what has no meaning here.
    """
    parser = YAML(typ="safe", pure=True)
    parser.Scanner = BoundedScanner
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an anchor may be used again, YAML 1.2.2 §7.1
            return _Composer(parser.parse(text)).compose()
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise DocumentError(
            f"the character U+{error.character:04X} cannot stand in YAML: remove it, or write it as an escape "
            "in double quotes.",
            line,
        ) from error
    except MarkedYAMLError as error:
        raise _say_what_is_wrong(error, text) from error
    except YAMLError as error:
        raise DocumentError(f"this is not YAML: {error}.") from error


class _Composer:
    """Makes nodes of the parser's events; without recursion, so that nesting can't exhaust the stack."""

    def __init__(self, events: Iterator[Any]) -> None:
        self._events = events

    def compose(self) -> Node | None:
        root: Node | None = None
        open_: list[Sequence | Mapping] = []
        keys: list[Scalar | None] = []
        anchors: dict[str, Node] = {}
        allowance = Allowance()
        documents = 0
        for event in self._events:
            kind = type(event).__name__
            line = event.start_mark.line + 1
            if kind == "DocumentStartEvent":
                documents += 1
                if documents > 1:
                    raise DocumentError("a second document starts here: a file holds one.", line)
                continue
            if kind in ("SequenceEndEvent", "MappingEndEvent"):
                open_.pop()
                keys.pop()
                continue
            if kind == "AliasEvent":
                if event.anchor not in anchors:
                    raise DocumentError(
                        f"*{event.anchor} stands for what &{event.anchor} marks earlier, and nothing is marked so: "
                        "put text that starts with * in quotes.",
                        line,
                    )
                node: Node = anchors[event.anchor]
            elif kind == "ScalarEvent":
                node = _make_scalar(event, line)
            elif kind in ("SequenceStartEvent", "MappingStartEvent"):
                wanted = "seq" if kind == "SequenceStartEvent" else "map"
                if event.tag is not None and _KEPT_TAGS.get(str(event.tag)) != wanted:
                    raise _refuse_tag(event.tag, line)
                node = Sequence(line, []) if wanted == "seq" else Mapping(line, [])
            else:
                continue  # the stream's start and end, the document's end
            if getattr(event, "anchor", None) and kind != "AliasEvent":
                anchors[event.anchor] = node
            if not open_:
                root = node
            elif isinstance(parent := open_[-1], Sequence):
                parent.items.append(node)
            elif (key := keys[-1]) is None:
                if not isinstance(node, Scalar):
                    raise DocumentError("the name of a field is one word, no list or object.", line)
                keys[-1] = Scalar(line, node.text, node.text)
                continue
            else:
                parent.entries.append((key, node))
                keys[-1] = None
            allowance.take(1, line)  # while it is made: making what is too much would take minutes
            if kind in ("SequenceStartEvent", "MappingStartEvent"):
                assert not isinstance(node, Scalar)
                open_.append(node)
                keys.append(None)
                if len(open_) > MOST_LEVELS:
                    raise DocumentError(f"this is nested more than {MOST_LEVELS} levels deep.", line)
        return root


def _make_scalar(event: Any, line: int) -> Scalar:
    text: str = event.value
    wanted = None
    if event.tag is not None and event.tag != "!":
        wanted = _KEPT_TAGS.get(str(event.tag))
        if wanted in (None, "map", "seq"):
            raise _refuse_tag(event.tag, line)
    if wanted == "str" or (wanted is None and (event.style is not None or event.tag == "!")):
        return Scalar(line, text, text)
    value = _read_plain(text)
    found = {bool: "bool", int: "int", float: "float", type(None): "null"}.get(type(value), "str")
    if wanted is not None and wanted != found and (wanted, found) != ("float", "int"):
        raise DocumentError(f"!!{wanted} stands before {text!r}, which is none.", line)
    return Scalar(line, text, value, is_null=value is None)


def _read_plain(text: str) -> Any:
    """A word without quotes, by the core schema."""
    if _NULL.fullmatch(text):
        return None
    if _TRUE.fullmatch(text):
        return True
    if _FALSE.fullmatch(text):
        return False
    if _NO_NUMBER.fullmatch(text) or (len(text) > LONGEST_NUMBER and _FLOAT.fullmatch(text)):
        return math.nan  # refused where no text is wanted
    if len(text) > LONGEST_NUMBER:
        return text
    if _INTEGER.fullmatch(text):
        if text.startswith("0o"):
            return int(text[2:], 8)
        return int(text[2:], 16) if text.startswith("0x") else int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def _refuse_tag(tag: object, line: int) -> DocumentError:
    name = str(tag)
    shown = "!!" + name.removeprefix(_TAG) if name.startswith(_TAG) else name
    return DocumentError(
        f"the tag {shown} has no meaning here: remove it, or put text that starts with ! in quotes.", line
    )


def _say_what_is_wrong(error: MarkedYAMLError, text: str) -> DocumentError:
    """The parser's error, in words for a person who writes YAML by hand."""
    problem = error.problem or ""
    mark, start = error.problem_mark, error.context_mark
    line = mark.line + 1 if mark is not None else None
    opened = start.line + 1 if start is not None else line
    if "'\\t'" in problem:
        return DocumentError("there is a tab: YAML is indented with spaces only.", line)
    if found := re.search(r"found character '(.)' that cannot start", problem):
        return DocumentError(f"text that starts with {found[1]} must be in quotes.", line)
    if "mapping values are not allowed" in problem:
        return DocumentError(
            "there is a colon where no field can start: put text with a colon in quotes, or check the indentation.",
            line,
        )
    if "sequence entries are not allowed" in problem or "mapping keys are not allowed" in problem:
        return DocumentError(
            "a list starts on a line of its own: put text that starts with - in quotes.", line
        )
    if "could not find expected ':'" in problem:
        return DocumentError(
            "a field needs a colon after its name; text of several lines is indented.", opened
        )
    if "unexpected end of stream" in problem:
        return DocumentError("the quotation mark that opens here is never closed.", opened)
    if "unexpected document separator" in problem:
        return DocumentError("the quotation mark that opens here is not closed.", opened)
    if found := re.search(r"expected ',' or '(.)'", problem):
        kind = "list" if found[1] == "]" else "object"
        return DocumentError(
            f"the {kind} that opens in line {opened} needs a comma here, or a closing {found[1]} before.",
            line,
        )
    if "unknown escape character" in problem:
        return DocumentError(
            "a backslash in double quotes is written \\\\; single quotes take it as it is.", line
        )
    if (
        "expected <block end>" in problem
        or "did not find expected" in problem
        or "expected the node" in problem
        or "document start" in problem
    ):
        return DocumentError(
            "this does not belong here: check the indentation of this line and the one before, brackets and quotes "
            "(a quotation mark within quotes is written twice).",
            line,
        )
    if "expected a comment or a line break" in problem:
        return DocumentError("text after | or > starts on the next line.", line)
    return DocumentError(f"this is not YAML: {problem or error.context or error}.", line)
