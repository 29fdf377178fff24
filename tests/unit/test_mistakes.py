"""Settings, numbers and addresses that are wrong: one line of ours on standard error, and nothing made."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from fieldpack.cli import main
from fieldpack.cli.root import app

# what libraries say, which nobody should have to read
FOREIGN = re.compile(
    r"Input should|validation error|pydantic|0<=x|x>=|valid int|Traceback|This is a bug|Errno|psycopg|libpq|IPv6"
)
SECRET = "geheim"


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to run in, which stays empty."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert list(tmp_path.iterdir()) == []


def refused(capsys: pytest.CaptureFixture[str], arguments: list[str], code: int) -> str:
    """What is said to a command that can't be carried out."""
    assert main(arguments) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert len(shown.err.splitlines()) == 1
    assert not FOREIGN.search(shown.err), shown.err
    assert SECRET not in shown.err
    return shown.err


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("RATE_PER_ADDRESS", "abc", "must be a whole number; it is 'abc'"),
        ("RATE_PER_ADDRESS", "", "must be a whole number; it is ''"),
        ("RATE_PER_ADDRESS", "1.5", "must be a whole number; it is '1.5'"),
        ("RATE_PER_ADDRESS", "0", "must be at least 1; it is '0'"),
        ("RATE_PER_ADDRESS", "-1", "must be at least 1; it is '-1'"),
        ("WORKER_CONCURRENCY", "65", "must be at most 64; it is '65'"),
        ("EXPORT_MAX_AGE_DAYS", "x", "must be a number; it is 'x'"),
        ("EXPORT_MAX_AGE_DAYS", "nan", "must be a number, not an endless one; it is 'nan'"),
        ("ORPHAN_HOURS", "inf", "must be a number, not an endless one; it is 'inf'"),
        ("ORPHAN_HOURS", "0", "must be more than 0"),
        ("DELIVERY", "post", "must be 'stream' or 'store'; it is 'post'"),
        ("DELIVERY", "store", "`store` needs a bucket"),
        ("LOG_LEVEL", "loud", "must be 'debug', 'info', 'warning' or 'error'; it is 'loud'"),
        ("WORKER_QUEUES", "a", "must name some of exports, parts, maintenance"),
        ("PUBLIC_URL", "http://[", "must be an origin such as https://data.example.org"),
        ("PUBLIC_URL", "https://a.example/path", "must be an origin"),
        ("PUBLIC_URL", "data.example.org", "must be an origin"),
        ("PUBLIC_URL", f"https://me:{SECRET}@data.example.org", "must be an origin"),
        ("STORAGE_URL", "s3://[", "must be a URL that begins with file://"),
        ("STORAGE_URL", f"ftp://me:{SECRET}@x", "must be a URL that begins with file://"),
        ("STORAGE_LINK_ENDPOINT", "https://x.example", "means something only for `store`"),
        ("NO_SUCH", "1", "is not a setting of fieldpack"),
        (
            "DATABASE_URL",
            f"mysql://me:{SECRET}@x/y",
            "write it like postgresql://user:password@host:5432/name",
        ),
    ],
)
def test_settings(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(f"FIELDPACK_{name}", value)
    shown = refused(capsys, ["token", "list"], 1)
    assert said in shown
    assert name == "DATABASE_URL" or f"FIELDPACK_{name}" in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["serve", "--port", "99999"], "--port takes a whole number from 0 to 65535, not 99999."),
        (["serve", "--port", "-1"], "--port takes a whole number from 0 to 65535, not -1."),
        (["serve", "--port", "http"], "--port takes a whole number from 0 to 65535, not http."),
        (["serve", "--port", "80.5"], "--port takes a whole number from 0 to 65535, not 80.5."),
        (["serve", "--workers", "0"], "--workers takes a whole number from 1 to 64, not 0."),
        (["worker", "--concurrency", "x"], "--concurrency takes a whole number from 1 to 64, not x."),
        (["demo", "-n", "-1"], "--submissions takes a whole number of at least 1, not -1."),
        (["collection", "publish", "ID", "-p", "0"], "--participants takes a whole number of at least 1, not 0."),
        (["collection", "export", "ID", "--timeout", "soon"], "--timeout takes a number of at least 0, not soon."),
        (["convert", "a.zip", "--to", "doc", "-o", "x"], "--to takes one of csv, parquet, xlsx"),
    ],
)  # fmt: skip
def test_numbers_on_the_command_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert said in refused(capsys, arguments, 2)


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(
    ("command", "code"), [("--version", 0), ("collection check -", 2), ("study list", 1)]
)
def test_a_standard_stream_that_is_closed(closed: str, command: str, code: int) -> None:
    """Nobody can be told anything then; the code still says how it ended."""
    env = {**os.environ, "PROLIFIC_URL": "http://127.0.0.1:9", "PROLIFIC_TOKEN": "token"}
    line = f'exec "{sys.executable}" -m fieldpack {command} {closed}'
    done = subprocess.run(["sh", "-c", line], input=b"[]", capture_output=True, env=env, timeout=300)
    assert done.returncode == code, done
    assert not FOREIGN.search(done.stderr.decode().replace("[Errno 111]", "")), done.stderr


@pytest.mark.parametrize(
    "link",
    [
        "http://[:::]/x.zip",
        "http://x:abc/x.zip",
        f"https://me:{SECRET}@[:::]/x.zip?signature={SECRET}#{SECRET}",
        "http://a\x01b/x.zip",
        "http://x:99999/x.zip",
        "https://" + "a" * 70_000,
        "http://xn--/x.zip",
        "http://" + "a" * 64 + ".\xe9/x.zip",
    ],
    ids=lambda link: link[:20],
)
@pytest.mark.parametrize("command", ["inspect", "verify", "extract", "convert"])
def test_a_link_that_is_none(capsys: pytest.CaptureFixture[str], command: str, link: str) -> None:
    options = {"extract": ["-o", "out"], "convert": ["--to", "csv", "-o", "out.csv"]}.get(command, [])
    said = refused(capsys, [command, link, *options], 1)
    assert "is not a link that can be opened" in said
    assert len(said) < 1000


@pytest.mark.parametrize(
    "wrong", ["a" * 70_000, "../" * 30_000, "\xe9" * 30_000], ids=["long", "dots", "escaped"]
)
@pytest.mark.parametrize(
    "command",
    [
        "collection get",
        "collection responses",
        "study view",
        "submission get",
        "submission list -s",
        "hook events",
    ],
)
def test_an_id_that_makes_no_address(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str, wrong: str
) -> None:
    monkeypatch.setenv("PROLIFIC_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("PROLIFIC_TOKEN", "token")
    said = refused(capsys, [*command.split(), wrong], 2)
    assert len(said) < 1000


@pytest.mark.parametrize("url", ["http://a\x01b.example", "https://xn--", "https://" + "a" * 70_000])
def test_a_servers_address_that_is_none(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("PROLIFIC_URL", url)
    monkeypatch.setenv("PROLIFIC_TOKEN", "token")
    assert "PROLIFIC_URL" in refused(capsys, ["study", "list"], 1)


def answer_with_garbage(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            connection.recv(1000)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://me:geheim@127.0.0.1:{closed}/x", "nothing listens at 127.0.0.1:{closed}"),
        ("postgresql://me:geheim@nowhere.invalid/x", "there is no machine with the name nowhere.invalid"),
        ("postgresql://me:geheim@/x?host=/nowhere", "there is no socket /nowhere/.s.PGSQL.5432"),
        ("postgresql://me:geheim@127.0.0.1:{other}/x", "PostgreSQL at 127.0.0.1:{other} says: "),
    ],
)
@pytest.mark.parametrize("command", [["token", "list"], ["serve", "--port", "0"], ["worker"], ["sweep"]])
def test_a_database_that_cannot_be_reached(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
    url: str,
    said: str,
    command: list[str],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        threading.Thread(target=answer_with_garbage, args=(listener,), daemon=True).start()
        ports = {"closed": closed.getsockname()[1], "other": listener.getsockname()[1]}
        monkeypatch.setenv("FIELDPACK_DATABASE_URL", url.format(**ports))
        monkeypatch.setenv("FIELDPACK_DATA_DIR", str(tmp_path_factory.mktemp("data")))
        shown = refused(capsys, command, 1)
        assert f"The database can't be reached: {said.format(**ports)}" in shown
        listener.close()


WORKSPACE = "3f0c9a52-5f1e-4a0e-9f5b-1d6f0d6a7e11"
# every command that works on an installation, but those that may make one
ON_AN_INSTALLATION = [
    ["worker"],
    ["sweep"],
    ["sweep", "--dry-run"],
    ["status"],
    ["status", "--json"],
    ["jobs", "list"],
    ["jobs", "retry", "1"],
    ["operator", "list"],
    ["operator", "add", "a@example.org"],
    ["operator", "remove", "a@example.org"],
    ["keys", "list"],
    ["keys", "rotate"],
    ["keys", "rotate", "--now"],
    ["open"],
    ["open", "--print"],
    ["token", "list"],
    ["token", "revoke", "x"],
    ["token", "rotate", "x"],
    ["token", "create", "--name", "x"],
    ["workspace", "list"],
    ["workspace", "create", "--title", "x"],
    ["workspace", "features", WORKSPACE, "--collections", "off"],
    ["workspace", "members", "list", WORKSPACE],
    ["workspace", "members", "add", WORKSPACE, "a@example.org", "--role", "viewer"],
    ["workspace", "members", "role", WORKSPACE, "a@example.org", "viewer"],
    ["workspace", "members", "remove", WORKSPACE, "a@example.org"],
    ["workspace", "invite", WORKSPACE, "--role", "viewer"],
    ["workspace", "invitations", "list", WORKSPACE],
    ["workspace", "invitations", "revoke", WORKSPACE],
    ["audit", "list"],
    ["audit", "verify"],
    ["audit", "export"],
    ["audit", "export", "-o", "log.jsonl"],
    ["backup", "create", "backups"],
    ["backup", "backups"],
    ["import", "--list"],
    ["import", "--discard", WORKSPACE],
]
MAKING = (("serve",), ("demo",), ("restore",))


def walk(command: Any, context: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The commands that take `--data-dir`, each by its names."""
    if hasattr(command, "list_commands"):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            yield from walk(inner, typer.Context(inner, parent=context, info_name=name), (*path, name))
    elif any(parameter.name == "data_dir" for parameter in command.params):
        yield path


def test_every_command_on_an_installation_is_looked_at() -> None:
    program = typer.main.get_command(app)
    found = set(walk(program, typer.Context(program, info_name="fieldpack"))) - set(MAKING)
    missing = [
        path for path in found if not any(tuple(row[: len(path)]) == path for row in ON_AN_INSTALLATION)
    ]
    assert missing == []


@pytest.mark.parametrize("command", ON_AN_INSTALLATION, ids=" ".join)
def test_no_installation_by_accident(
    capsys: pytest.CaptureFixture[str], nowhere: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    shown = refused(capsys, command, 1)
    assert (
        f"There is no installation in {nowhere / 'fieldpack-data'}: run this where `fieldpack serve`" in shown
    )
    if "create" in command and command[0] != "backup":
        return
    wrong = nowhere / "wrong"
    assert str(wrong) in refused(capsys, [*command, "--data-dir", str(wrong)], 1)
    monkeypatch.setenv("FIELDPACK_DATA_DIR", str(wrong))
    assert str(wrong) in refused(capsys, command, 1)
