"""A row that was looked for is compared with None: one without columns is an empty tuple, which counts as false."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def find_judged(source: str) -> Iterator[int]:
    """Lines at which what `fetchone()` gives is taken for true or false."""
    for node in ast.walk(ast.parse(source)):
        judged: list[ast.expr] = []
        if isinstance(node, ast.If | ast.While | ast.IfExp | ast.Assert):
            judged = [node.test]
        elif isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And):  # with `or`, a default is given
            judged = node.values
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            judged = [node.operand]
        elif isinstance(node, ast.comprehension):
            judged = node.ifs
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "bool":
            judged = node.args
        for found in judged:
            value = found.value if isinstance(found, ast.NamedExpr | ast.Await) else found
            value = value.value if isinstance(value, ast.Await) else value
            called = value.func if isinstance(value, ast.Call) else None
            if isinstance(called, ast.Attribute) and called.attr == "fetchone":
                yield found.lineno


def test_none_is_judged_by_its_truth() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for folder in ("src", "tests", "benchmarks", "tools")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line in find_judged(path.read_text())
    ]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "while c.execute(q).fetchone(): pass",
        "if (row := await c.fetchone()): pass",
        "a = not c.fetchone()",
        "a = bool(await c.fetchone())",
        "a = {t for t in ts if c.fetchone()}",
        "a = c.fetchone() and b",
        "assert c.fetchone()",
    ],
)
def test_each_way_to_do_it_is_found(source: str) -> None:
    assert list(find_judged(f"async def f():\n {source}")) == [2]
