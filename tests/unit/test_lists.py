"""Lists of the command line: each can be printed as JSON, CSV or a table, with the columns that are asked for."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from fieldpack.cli.lazy import make_app
from fieldpack.cli.lists import cut, list_command
from fieldpack.cli.output import print_csv, print_table
from tests.unit.test_docs import commands

ROWS: list[dict[str, Any]] = [
    {"id": "1", "internal_name": "=1+1", "places": 2, "of": ["a"]},
    {"id": "2", "internal_name": "b", "places": None, "of": []},
]


def test_every_list_has_the_options_of_lists() -> None:
    """What says that it lists, or is called so, takes all four ways; a new one can't forget them."""
    lists = {}
    for command, shown in commands().items():
        if command[-1] == "list" or "\n  List " in shown:
            lists[" ".join(command)] = shown
    assert len(lists) >= 18
    for name, shown in lists.items():
        missing = [option for option in ("--json", "--csv", "--table", "--fields") if option not in shown]
        assert not missing, name


def app_of(**options: Any) -> typer.Typer:
    app = make_app()
    app.callback()(lambda: None)

    @list_command(app, "list", ("id", "internal_name"), empty="There is nothing.", **options)
    def list_things(
        most: Annotated[int | None, typer.Option("-l", "--limit", help="At most so many.")] = None,
    ) -> list[dict[str, Any]]:
        """List things."""
        return cut(ROWS, most, 0)

    return app


def run(*arguments: str, **options: Any) -> Any:
    return CliRunner().invoke(app_of(**options), ["list", *arguments])


def test_the_ways_to_print() -> None:
    assert json.loads(run("--json").stdout) == ROWS
    assert json.loads(run("-j", "-l", "1").stdout) == ROWS[:1]
    assert run("-c").stdout == "id,internal_name\n1,'=1+1\n2,b\n"
    for option in ([], ["--table"], ["-t"], ["-n"], ["--non-interactive"]):
        assert run(*option).stdout.splitlines()[0] == "ID  INTERNAL NAME"
    assert run("-l", "0").stdout == "There is nothing.\n"
    assert run("--json", "--csv").exit_code != 0


@pytest.mark.parametrize("fields", ["places,ID", "Places,Id", " PLACES , id,"])
def test_columns_are_chosen_as_the_hosted_client_names_them(fields: str) -> None:
    assert run("--csv", "--fields", fields).stdout == "places,id\n2,1\n,2\n"
    assert run("-c", "-f", "InternalName").stdout == "internal_name\n'=1+1\nb\n"


def test_a_column_that_nobody_has_is_said() -> None:
    found = run("-c", "-f", "ID,TotalCost")
    assert found.stdout == "id,TotalCost\n1,\n2,\n"
    assert "there is no TotalCost here; there are id, internal_name, places, of" in found.stderr
    assert run("-c", "-f", "nothing", "-l", "0").stderr == ""


def test_tables_may_show_a_row_in_another_way() -> None:
    def flatten(row: Any) -> dict[str, Any]:
        return {**row, "id": f"<{row['id']}>"}

    assert run("-c", flatten=flatten).stdout.splitlines()[1].startswith("<1>")
    assert json.loads(run("--json", flatten=flatten).stdout) == ROWS
    assert json.loads(run("--json", in_json=len).stdout) == 2
    assert run("-c", in_csv=("id",)).stdout == "id\n1\n2\n"
    assert run("-t", in_csv=("id",)).stdout.startswith("ID  INTERNAL NAME")


def test_times_in_csv_are_written_as_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    at = datetime(2026, 11, 28, 4, 33, 29, 263571, tzinfo=timezone(timedelta(hours=1)))
    print_csv([{"at": at, "filter": {"from": at}}], ["at", "filter"])
    at_utc = "2026-11-28T03:33:29.263571Z"
    assert capsys.readouterr().out.splitlines()[1].startswith(f"{at_utc},")


def test_wide_characters_keep_columns_in_line(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"name": "問卷調查", "id": "x"}, {"name": "plain", "id": "y"}, {"name": "e\u0301", "id": "z"}]
    print_table(rows, ["name", "id"], empty="")
    said = capsys.readouterr().out
    assert said == "NAME      ID\n問卷調查  x\nplain     y\ne\u0301         z\n"
