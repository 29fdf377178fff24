"""The columns that a row is made of: those of its type, so that a query and its row never differ."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

__all__ = ["columns_of"]


def columns_of(row: type[Any], table: str) -> str:
    """What a SELECT or RETURNING lists for `psycopg.rows.class_row(row)`, each column of the table named `table`.

    Named one by one, because `*` would give a process of an earlier version columns that it does not know.
    """
    return ", ".join(f"{table}.{field.name}" for field in fields(row))
