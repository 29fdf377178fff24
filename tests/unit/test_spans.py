"""How the table's form writes the span of time that it is narrowed to."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from hypothesis import example, given
from hypothesis import strategies as st

from fieldpack.reading.shapes import read_time
from fieldpack.server.web.workbench.table.conditions import show_before, show_since


@given(st.dates())
@example(datetime.min.date())
def test_a_day_is_written_so_that_it_is_read_again(day: date) -> None:
    at = datetime.fromisoformat(f"{day}T00:00:00+00:00")
    assert show_since(at) == str(day)
    if at > datetime.min.replace(tzinfo=UTC):
        assert read_time(show_before(at), "before") == at - timedelta(days=1)
    else:  # there is no day before
        assert read_time(show_before(at), "before") == at
