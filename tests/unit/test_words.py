"""Every public function says what it does, and words that have one meaning (docs/architecture.md) keep it."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "fieldpack"

BANNED = re.compile(r"portion|segment|piece|utils?\b|helper|manager", re.IGNORECASE)
"""Synonyms of span, part, chunk and batch, and names that say nothing."""
FOREIGN = {
    # the formats and protocols that these follow say segment
    "path_segment",  # of a URL (RFC 3986)
    "_make_segment",  # of a JPEG
    "segments",  # of an Ogg page
    "_SEGMENT",  # of Matroska
    "helper_text",  # a field of the API
    "job_manager",  # of a procrastinate App
}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Every module but migrations, by its path below the package."""
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        if "/migrations/" not in name:
            yield name, ast.parse(path.read_text(encoding="utf-8"))


class Classes:
    """The classes of the package, by name: what they are derived from, and which methods they document."""

    def __init__(self) -> None:
        self.bases: dict[str, list[str]] = {}
        self.documented: dict[str, set[str]] = {}
        self.protocols: dict[str, set[str]] = {}
        for module, tree in modules():
            for node in tree.body:
                if isinstance(node, ast.ClassDef):
                    bases = [ast.unparse(base).partition("[")[0] for base in node.bases]
                    documented = {
                        inner.name
                        for inner in node.body
                        if isinstance(inner, Function) and ast.get_docstring(inner)
                    }
                    self.bases.setdefault(node.name, []).extend(bases)
                    self.documented.setdefault(node.name, set()).update(documented)
                    if "Protocol" in bases:
                        self.protocols.setdefault(module, set()).update(documented)

    def inherits(self, name: str, method: str) -> bool:
        """Whether a base has a method's docstring: one of ours, or a library's, which documents its own methods."""
        for base in self.bases.get(name, []):
            if base not in self.bases:
                if base not in ("ABC", "Protocol", "NamedTuple", "Exception", "BaseSettings", "TypedDict"):
                    return True
            elif method in self.documented[base] or self.inherits(base, method):
                return True
        return False


def public_functions(module: str, tree: ast.Module, classes: Classes) -> Iterator[tuple[str, Function]]:
    """Functions and methods without an underscore that say for themselves what they do.

    Those of private classes, and methods that a base class or a protocol of the module documents, need not.
    """
    for node in tree.body:
        if isinstance(node, Function) and not node.name.startswith("_"):
            yield node.name, node
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for inner in node.body:
                if (
                    isinstance(inner, Function)
                    and not inner.name.startswith("_")
                    and not classes.inherits(node.name, inner.name)
                    and inner.name not in classes.protocols.get(module, ())
                ):
                    yield f"{node.name}.{inner.name}", inner


def test_every_public_function_has_a_docstring() -> None:
    classes = Classes()
    missing = [
        f"{module}: {name}"
        for module, tree in modules()
        for name, node in public_functions(module, tree, classes)
        if not ast.get_docstring(node)
    ]
    assert missing == []


def names_of(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name
            case ast.arg():
                yield node.arg
            case ast.Name(ctx=ast.Store()):
                yield node.id
            case ast.Attribute(ctx=ast.Store()):
                yield node.attr
            case _:
                pass


def test_words_with_one_meaning_have_no_synonyms() -> None:
    found = {
        f"{module}: {name}"
        for module, tree in modules()
        for name in (*names_of(tree), Path(module).stem)
        if BANNED.search(name) and name not in FOREIGN
    }
    assert found == set()


# what there may be one of; `say_count` says it right
COUNTED = re.compile(
    r" (?:old |more )?(?:answers|backups|exports|files|items|options|pages|participants|places|questions|studies"
    r"|submissions|tokens|transactions|uploads|workspaces)\b"
)


def counts_said(tree: ast.Module) -> Iterator[str]:
    """Counts in f-strings that a plural follows, whatever the count is; not those that never change."""
    for text in ast.walk(tree):
        if not isinstance(text, ast.JoinedStr):
            continue
        for value, after in itertools.pairwise(text.values):
            if not isinstance(value, ast.FormattedValue) or not isinstance(after, ast.Constant):
                continue
            is_len = isinstance(value.value, ast.Call) and ast.unparse(value.value.func) == "len"
            is_grouped = value.format_spec is not None and ast.unparse(value.format_spec) == "f','"
            is_fixed = ast.unparse(value.value).isupper()
            if (is_len or is_grouped) and not is_fixed and COUNTED.match(str(after.value)):
                yield ast.unparse(value.value) + str(after.value)


def test_counts_are_said_in_the_right_number() -> None:
    found = [f"{module}: {said}" for module, tree in modules() for said in counts_said(tree)]
    assert found == []
