"""SPSS `.sav`, by pyreadstat."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

from fieldpack.convert.labels import LabelLimit
from fieldpack.convert.output import Converted, require, write_converted
from fieldpack.convert.variables import DataSet, FormatLimits, build_data_set, name_data_set
from fieldpack.tables.wide import Column

if TYPE_CHECKING:
    from fieldpack.reading.reader import OpenArchive

__all__ = ["write_spss"]

# IBM SPSS Statistics, "Variable labels" (256 bytes), "Value labels" (120 bytes), "Variable type" (32,767 bytes)
_LIMITS = FormatLimits(LabelLimit(256), LabelLimit(120), "SPSS")
_TEXT = LabelLimit(32_767)
_DATA_SET_LABEL_CHARACTERS = 60
_LAST = dt.datetime(9999, 12, 31, 23, 59, 59, 999_000)


def write_spss(export: OpenArchive, columns: list[Column], path: Path) -> Converted:
    """Write one data set; see `variables.build_data_set`.

    Texts longer than 32,767 bytes, the most that SPSS holds, are cut, and a warning counts them.
    """
    pyreadstat = require("pyreadstat")
    require("pandas")
    data = build_data_set(columns, _LIMITS)
    _cut_texts(data)
    _cut_times(data)
    with write_converted(path) as draft:
        pyreadstat.write_sav(
            data.frame,
            str(draft),
            file_label=name_data_set(export, _DATA_SET_LABEL_CHARACTERS),
            column_labels=data.labels,
            variable_value_labels=data.value_labels,
            variable_measure=data.measures,
        )
    return Converted(path, len(data.frame), len(columns), data.warnings)


def _cut_times(data: DataSet) -> None:
    """Keep times off the last millisecond of 9999: read as the year 10000, it makes a whole file unreadable."""
    for name in data.frame.columns:
        if data.frame[name].dtype.kind == "M":
            data.frame[name] = data.frame[name].clip(upper=_LAST)


def _cut_texts(data: DataSet) -> None:
    for name in data.frame.columns:
        if data.frame[name].dtype != object:
            continue
        texts = data.frame[name]
        long = texts.map(lambda text: not _TEXT.fits(text))
        if long.any():
            data.frame[name] = texts.map(lambda text: _TEXT.cut(text, ""))
            count = int(long.sum())
            verb = "text is" if count == 1 else "texts are"
            data.warnings.append(
                f"{name}: {count:,} {verb} longer than the {_TEXT.most_bytes:,} bytes of SPSS and cut; "
                "csv, xlsx, dta and parquet hold them whole."
            )
