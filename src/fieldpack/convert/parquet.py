"""Parquet: lists, categories and times as they are, and each column's question in its metadata."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from fieldpack.convert.output import Converted, write_converted
from fieldpack.tables.wide import Column

__all__ = ["write_parquet"]


def write_parquet(columns: list[Column], path: Path) -> Converted:
    """Write a Parquet file, zstd-compressed. A field's metadata has `instruction_id`, `question`, `type`."""
    fields = []
    for column in columns:
        item = column.instruction
        metadata = (
            None if item is None else {"instruction_id": item.id, "question": item.title, "type": item.type}
        )
        fields.append(pa.field(column.name, column.data.type, metadata=metadata))
    table = pa.table([column.data for column in columns], schema=pa.schema(fields))
    with write_converted(path) as draft:
        pyarrow.parquet.write_table(table, draft, compression="zstd")
    return Converted(path, table.num_rows, table.num_columns)
