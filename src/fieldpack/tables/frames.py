"""Arrow tables as the data frames of pandas and Polars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from fieldpack.errors import ConfigError, UsageError

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

__all__ = ["arrow_to_pandas", "arrow_to_polars", "convert_frame"]


def convert_frame(table: pyarrow.Table, frame: Literal["pandas", "polars", "arrow"]) -> Any:
    """The table as the library's own type."""
    if frame == "arrow":
        return table
    if frame == "pandas":
        return arrow_to_pandas(table)
    if frame == "polars":
        return arrow_to_polars(table)
    raise UsageError(f"frame is one of pandas, polars, arrow, not {frame!r}.")


def arrow_to_pandas(table: pyarrow.Table) -> pandas.DataFrame:
    """A `DataFrame`; lists become Python lists, and integers and booleans with gaps pandas' nullable
    types."""
    try:
        import pandas as pd
    except ImportError as error:
        raise ConfigError("This needs pandas: pip install 'fieldpack[pandas]'.") from error
    import pyarrow as pa

    nullable = {pa.bool_(): pd.BooleanDtype(), pa.int64(): pd.Int64Dtype()}
    columns: dict[str, Any] = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_list(column.type):
            lists: list[Any] = []
            for chunk in column.chunks:
                lists.extend(_make_lists(chunk))
            columns[name] = pd.Series(lists, dtype=object)
        else:
            mapper = nullable.get if column.null_count and column.type in nullable else None
            columns[name] = column.to_pandas(types_mapper=mapper)
    return pd.DataFrame(columns)


def _make_lists(chunk: Any) -> list[Any]:
    """Python lists that share their items: several times faster and smaller than `to_pylist` for strings."""
    import pyarrow.compute as pc

    values = chunk.flatten()
    encoded = values.dictionary_encode()
    lookup = encoded.dictionary.to_pylist()
    lookup.append(None)
    items = [lookup[i] for i in pc.fill_null(encoded.indices, len(lookup) - 1).to_pylist()]
    made: list[Any] = []
    at = 0
    for length in pc.list_value_length(chunk).to_pylist():
        if length is None:
            made.append(None)
        else:
            made.append(items[at : at + length])
            at += length
    return made


def arrow_to_polars(table: pyarrow.Table) -> polars.DataFrame:
    """A `polars.DataFrame`."""
    try:
        import polars as pl
    except ImportError as error:
        raise ConfigError("This needs Polars: pip install 'fieldpack[polars]'.") from error
    # Column by column: given a table whose columns are cut differently, from_arrow copies all of it several
    # times.
    return pl.DataFrame(
        {
            name: pl.Series(name, pl.from_arrow(column))
            for name, column in zip(table.column_names, table.columns, strict=True)
        }
    )
