"""The house keeps its order: imports run one way, SQL lives in one kind of file, modules are nouns."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass, is_dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Any, Literal, NamedTuple, NewType, TypedDict, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import pytest
from psycopg import AsyncCursor
from tools.layers import find_faults, is_strange

import fieldpack
from fieldpack import errors

PACKAGE = Path(fieldpack.__file__).parent
MODULES = {
    "fieldpack." + ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
RESOURCES = ("accounts", "collections", "studies", "submissions", "uploads", "exports", "web")


@functools.cache
def tree_of(path: Path) -> ast.Module:
    """A module, parsed once for all rules."""
    return ast.parse(path.read_text(encoding="utf-8"))


def imports_of(name: str) -> Iterator[str]:
    """Modules that a module imports, absolute, also within functions; not those for type checkers only."""
    tree = tree_of(MODULES[name])
    package = name.split(".") if MODULES[name].name == "__init__.py" else name.split(".")[:-1]
    if MODULES[name].name == "__init__.py":
        package = package[:-1]
    nodes: list[ast.AST] = list(tree.body)
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            full = ".".join([*base, *([node.module] if node.module else [])])
            yield full
            yield from (f"{full}.{alias.name}" for alias in node.names if f"{full}.{alias.name}" in MODULES)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            nodes += node.orelse
        else:
            nodes += ast.iter_child_nodes(node)


def within(name: str, *folders: str) -> bool:
    return any(name == f"fieldpack.{folder}" or name.startswith(f"fieldpack.{folder}.") for folder in folders)


def ours(names: Iterator[str]) -> set[str]:
    return {name for name in names if name == "fieldpack" or name.startswith("fieldpack.")}


def test_the_layers_hold() -> None:
    assert find_faults() == []


def test_routes_are_for_the_application_and_their_own_resource() -> None:
    routes = "fieldpack.server.submissions.participant_routes"
    assert is_strange("fieldpack.server.web.participants.pages", routes)
    assert is_strange("fieldpack.server.uploads.service", routes)
    assert not is_strange("fieldpack.server.app", routes)
    assert not is_strange("fieldpack.server.submissions.routes", routes)


def test_the_package_is_light_to_import() -> None:
    """What `pip install fieldpack` brings is enough, and tables are not loaded before they are wanted."""
    program = (
        "import sys, fieldpack, fieldpack.client, fieldpack.export, fieldpack.cli;"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    heavy = {"pandas", "polars", "pyarrow", "numpy", "openpyxl", "pyreadstat", "duckdb", "fastapi", "psycopg",
             "pydantic", "obstore", "uvicorn", "procrastinate"}  # fmt: skip
    assert set(done.stdout.split()) & heavy == set()


LAYERS = ("queries", "service", "routes")


def has_sql(name: str) -> bool:
    """Whether a module may hold SQL: `queries`, and the statements that change a state, `transitions`."""
    last = name.rpartition(".")[2]
    return last in ("queries", "transitions") or last.endswith("_queries")


def layer_of(name: str) -> int | None:
    """Height of a server module among routes → service → queries, by the end of its name."""
    if not within(name, "server"):
        return None
    if has_sql(name):
        return 0
    last = name.rpartition(".")[2]
    return next(
        (height for height, layer in enumerate(LAYERS) if last == layer or last.endswith(f"_{layer}")), None
    )


def test_in_the_server_imports_run_from_routes_down_to_queries() -> None:
    for name in MODULES:
        height = layer_of(name)
        if height is None:
            continue
        for imported in ours(imports_of(name)):
            below = layer_of(imported)
            assert below is None or below <= height, f"{name} imports {imported}"
            if LAYERS[height] == "queries":
                assert not re.search(r"\.(routing|app|middleware)$", imported), f"{name} imports {imported}"


def test_services_know_no_http() -> None:
    for name in MODULES:
        if within(name, "server") and (has_sql(name) or name.rpartition(".")[2] in ("service", "lifecycle")):
            for imported in imports_of(name):
                assert imported.partition(".")[0] not in ("fastapi", "starlette"), (
                    f"{name} imports {imported}"
                )


def test_what_resources_stand_on_imports_none() -> None:
    """The database, the storage and the queue: a service can enqueue without a circle."""
    for name in MODULES:
        if within(name, "server.jobs", "server.db", "server.storage", "server.problems", "server.config"):
            for imported in ours(imports_of(name)):
                resources = [f"server.{resource}" for resource in RESOURCES]
                assert not within(imported, *resources), f"{name} imports {imported}"


STATEMENT = re.compile(
    r"\b(SELECT\s.+\sFROM\s|INSERT\s+INTO\s|UPDATE\s+\w+\s+SET\s|DELETE\s+FROM\s|CREATE\s+(TABLE|INDEX)\s|COPY\s*\()",
    re.DOTALL,
)


def texts_of(tree: ast.AST) -> Iterator[str]:
    """String constants, but docstrings."""
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def test_sql_is_in_queries_only() -> None:
    for name, path in MODULES.items():
        if has_sql(name) or within(name, "server.db", "server.jobs"):
            continue  # jobs: the one statement that defers a job, in the queue's own words
        for text in texts_of(tree_of(path)):
            assert not STATEMENT.search(text), f"{name} has SQL: {text[:80]!r}"


STATES = re.compile(r"UPDATE\s+exports\b(?:(?!\bWHERE\b).)*?\b(?:status|build)\s*=", re.DOTALL)


def test_exports_change_state_in_one_module() -> None:
    """What changes `status` or `build` of an export stands together: none forgets to notify, or to clear away."""
    found = {
        name
        for name, path in MODULES.items()
        if not within(name, "server.db")
        for text in texts_of(tree_of(path))
        if STATES.search(text)
    }
    assert found == {"fieldpack.server.exports.transitions"}


def test_one_module_has_every_error() -> None:
    """Its list, its drawing and the documentation agree with what there is, and nobody else makes a public one."""
    for name in MODULES:
        if not name.endswith("__main__") and "versions" not in name and "migrations.env" not in name:
            importlib.import_module(name.removesuffix(".__init__"))
    there = {"FieldpackError", "IgnoredParameterWarning"}
    kinds = [errors.FieldpackError]
    while kinds:
        for kind in kinds.pop().__subclasses__():
            kinds.append(kind)
            if kind.__module__.startswith("fieldpack") and not kind.__name__.startswith("_"):
                assert kind.__module__ == "fieldpack.errors", kind
                there.add(kind.__name__)
    assert there == set(errors.__all__)
    assert errors.__doc__ is not None
    drawn = {}
    above: list[str] = []
    for line in errors.__doc__.splitlines():
        found = re.match(r"    ((?:[│ ]   )*(?:[├└]── )?)(\w+)\s", line)
        if found:
            above = [*above[: len(found[1]) // 4], found[2]]
            drawn[found[2]] = above[-2] if len(above) > 1 else "Exception"
    drawn["IgnoredParameterWarning"] = "UserWarning"
    assert drawn == {name: getattr(errors, name).__mro__[1].__name__ for name in errors.__all__}
    documented = (PACKAGE.parents[1] / "docs" / "cli.md").read_text(encoding="utf-8")
    section = documented[documented.index("Errors are those of `fieldpack.errors`") :]
    assert there - {"FieldpackError"} <= set(re.findall(r"`(\w+)`", section))


def test_types_are_passed_over_for_a_reason() -> None:
    """Where mypy is told to look away, the line says why."""
    for name, path in MODULES.items():
        for line in path.read_text(encoding="utf-8").splitlines():
            if "type: ignore" in line:
                assert re.search(r"# type: ignore\[[\w, -]+\]  # \S.{6,}", line), f"{name}: {line.strip()}"


STATE = re.compile(r"^(?:dict|set|list|OrderedDict|deque|Weak\w+|defaultdict)\b")
MEMOS = {
    "fieldpack.archive.zipstructs._dates",  # of days, the same in every process
}


def test_state_belongs_to_the_context() -> None:
    """No module of ours holds what changes while a process runs: it is a part of `Context.caches`."""
    found = set()
    for name, path in MODULES.items():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
                continue
            value = node.value
            is_empty = (isinstance(value, ast.Dict) and not value.keys) or (
                isinstance(value, ast.List) and not value.elts
            )
            if is_empty or (isinstance(value, ast.Call) and STATE.match(ast.unparse(value.func))):
                target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                found.add(f"{name}.{ast.unparse(target)}")
        assert not re.search(r"^\s+global ", path.read_text(encoding="utf-8"), re.MULTILINE), name
    assert found <= MEMOS


FILES = re.compile(
    r"\b(os\.(replace|fsync|fdatasync)|shutil\.move|fcntl|msvcrt)\b|\.replace\((path|target)\)"
)
ITS_OWN = {
    "fieldpack.files",
    "fieldpack.server.db.embedded.keeper",
}  # a script, which imports nothing of ours


def test_files_are_made_to_last_in_one_room() -> None:
    """Whole-file writes, flushes to disk and locks are `fieldpack.files`: none forgets the folder, or the errors."""
    holders = {name for name, path in MODULES.items() if FILES.search(path.read_text(encoding="utf-8"))}
    assert holders == ITS_OWN


ONE_PLACE = {
    "queries.ask_save(": "submissions.answering.saving",  # for the API's route and the page's form
    """'"started_at":"'""": "exports.line_queries",  # a line of responses.jsonl
    "or returned; its answers and files": "uploads.service",  # what may change no more
}


def test_a_rule_is_in_one_place() -> None:
    """What several rooms need is asked of the one that has it."""
    sources = {
        name: path.read_text(encoding="utf-8") for name, path in MODULES.items() if "versions" not in name
    }
    for text, place in ONE_PLACE.items():
        assert [name for name, source in sources.items() if text in source] == [f"fieldpack.server.{place}"]


FREE = {
    "audit.queries.find_and_insert",  # a row of the class that is asked for
    "collections.queries.get_version",  # JSON as a researcher wrote it
    "exports.build.job_queries.iter_files",  # batches of millions, see docs/decisions.md
    "exports.build.job_queries.iter_lines",  # how many lines a batch of text has, and the text
    "exports.build.job_queries.iter_corrections",  # the same
}
JSON = {
    "audit.queries.insert_entries(details)",
    "collections.queries.keep_version(body)",
    "exports.build.job_queries.select_exported(filter)",
    "exports.queries.find_generating(filter)",
    "exports.queries.find_recent(filter)",
    "exports.queries.insert_export(filter)",
    "hooks.queries.insert_event(payload)",
    "operations.administration_queries.finish_sweep(result)",
    "studies.queries.set_fields(fields)",
    "submissions.answering.queries.ask_save(values)",
    "submissions.answering.queries.replace_answers(values)",
    "submissions.queries.set_reviewed(review)",
    "submissions.review.queries.insert_decision(review)",
}
SCALARS = (bool, int, float, str, bytes, Decimal, UUID, date, datetime, timedelta, type(None))
MANY = (
    list,
    set,
    frozenset,
    Sequence,
    Iterable,
    Iterator,
    AsyncIterator,
    Generator,
    AsyncGenerator,
    AsyncCursor,
)


def iter_queries() -> Iterator[tuple[str, Callable[..., object]]]:
    """Public functions of the modules that have SQL, by their names in `fieldpack.server`."""
    for name in MODULES:
        if has_sql(name):
            module = importlib.import_module(name)
            for found in vars(module).values():
                if (
                    inspect.isfunction(found)
                    and found.__module__ == name
                    and not found.__name__.startswith("_")
                ):
                    yield f"{name.removeprefix('fieldpack.server.')}.{found.__name__}", found


def loose_in(kind: Any, *, is_field: bool = False) -> list[str]:
    """What in a type has fields that nobody checks: bare tuples and mappings by whatever name, `Any`, `object`.

    A mapping by id is an index, and its values are looked at. A list beside an int is a list and its count. In a field
    of a row `dict[str, Any]` is JSON of a researcher or participant.
    """
    origin, inner = get_origin(kind), get_args(kind)
    if kind in SCALARS or origin is Literal:
        return []
    if isinstance(kind, type) and is_dataclass(kind) and kind.__dataclass_params__.frozen:  # type: ignore[attr-defined]  # not in typeshed
        return [
            f"{kind.__name__}.{name}: {fault}"
            for name, each in get_type_hints(kind).items()
            for fault in loose_in(each, is_field=True)
        ]
    if isinstance(kind, type) and issubclass(kind, Enum):
        return []
    if isinstance(kind, NewType):
        return loose_in(kind.__supertype__, is_field=is_field)
    if origin in (Union, UnionType) or origin in MANY:
        return [fault for each in inner for fault in loose_in(each, is_field=is_field)]
    if origin is dict and (inner[0] is UUID or inner[1] is int):
        return loose_in(inner[1])
    if is_field and kind == dict[str, Any]:
        return []
    if is_field and origin is dict and inner[0] is str:
        return loose_in(inner[1], is_field=True)
    if origin is tuple and len(inner) == 2 and get_origin(inner[0]) is list and inner[1] is int:
        return loose_in(inner[0])
    return [str(kind)]


class _Pair(NamedTuple):
    first: int


class _Named(TypedDict):
    first: int


@dataclass
class _Open:
    first: int


@dataclass(frozen=True)
class _Nested:
    pairs: list[tuple[int, str]]


@pytest.mark.parametrize(
    "kind",
    [
        _Pair,
        list[_Named],
        _Open | None,
        _Nested,
        dict[str, Any],
        list[dict[str, object]],
        dict[UUID, tuple[int, str]],
        tuple[int, str] | None,
        Mapping[str, str],
        AsyncIterator[Any],
    ],
)
def test_a_row_by_another_name_is_found(kind: Any) -> None:
    assert loose_in(kind)


def test_rows_are_types() -> None:
    """What leaves a `queries` module is a scalar or a frozen dataclass, alone or many: no mapping, no bare tuple."""
    for name, query in iter_queries():
        if name not in FREE:
            assert loose_in(get_type_hints(query)["return"]) == [], name


def test_rows_are_types_on_their_way_in() -> None:
    """What is written is named one by one, or is a frozen dataclass; a mapping is JSON."""
    found = {
        f"{name}({parameter})"
        for name, query in iter_queries()
        for parameter, kind in get_type_hints(query).items()
        if parameter not in ("return", "connection")
        and re.search(r"(dict|Mapping)\[.*\b(Any|object)\]", str(kind))
    }
    assert found == JSON


LOCKING = re.compile(r"FOR (NO KEY )?(UPDATE|SHARE)|\bpg_(try_)?advisory_|LOCK TABLE")


def test_queries_say_which_locks_they_take() -> None:
    for name, query in iter_queries():
        said = inspect.getdoc(query) or ""
        if LOCKING.search(inspect.getsource(query).replace(said, "")):
            assert re.search(r"\b[Ll]ock", said), name


def test_modules_are_nouns() -> None:
    for name in MODULES:
        for part in name.split("."):
            assert part not in ("utils", "util", "helpers", "helper", "manager", "misc", "common"), name


def test_every_module_says_what_it_is_for() -> None:
    for name, path in MODULES.items():
        empty = not path.read_text(encoding="utf-8").strip()
        assert empty or ast.get_docstring(tree_of(path)), name
