"""Stata `.dta`, release 118, by pandas."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fieldpack.convert.labels import LabelLimit
from fieldpack.convert.output import Converted, require, write_converted
from fieldpack.convert.variables import FormatLimits, build_data_set, name_data_set
from fieldpack.tables.wide import Column

if TYPE_CHECKING:
    from fieldpack.reading.reader import OpenArchive

__all__ = ["choose_release", "write_stata"]

# Stata, "[R] Limits": 80 characters for a variable's label, 32,000 bytes for a value's. "[P] File formats .dta":
# 118 is UTF-8 with `str#` up to 2,045 bytes and `strL` beyond, 119 the same with more than 32,767 variables.
_LIMITS = FormatLimits(LabelLimit(80 * 4, 80), LabelLimit(32_000), "Stata")
_RELEASE_118_VARIABLES = 32_767
_DATA_SET_LABEL_CHARACTERS = 80


def write_stata(export: OpenArchive, columns: list[Column], path: Path) -> Converted:
    """Write one data set; see `variables.build_data_set`. A text over 2,045 bytes makes its variable `strL`."""
    require("pandas")
    from pandas.io.stata import StataWriterUTF8

    data = build_data_set(columns, _LIMITS)
    times = {name: "tc" for name in data.frame.columns if data.frame[name].dtype.kind == "M"}
    with write_converted(path) as draft:
        StataWriterUTF8(
            draft,
            data.frame,
            convert_dates=times,
            write_index=False,
            data_label=name_data_set(export, _DATA_SET_LABEL_CHARACTERS),
            variable_labels=data.labels,
            value_labels=data.value_labels,
            version=choose_release(len(columns)),
        ).write_file()
    return Converted(path, len(data.frame), len(columns), data.warnings)


def choose_release(variables: int) -> int:
    """The release of the format: 118, which Stata 14 and newer read, unless there are too many variables for it."""
    return 118 if variables <= _RELEASE_118_VARIABLES else 119
