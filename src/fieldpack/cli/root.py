"""The program `fieldpack`: its commands, and how it ends when one of them cannot do its work."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

import typer
from typer.exceptions import TyperException

from fieldpack.cli.lazy import LazyCommand, LazyGroup, make_app
from fieldpack.errors import FieldpackError, IgnoredParameterWarning, TemplateError, UsageError
from fieldpack.text import make_line, make_plain

__all__ = ["main"]

_ARCHIVE, _INSTALLATION = "fieldpack.cli.archive", "fieldpack.cli.installation"

_HELP = """Collect original data from participants, and bring it back as one archive.

PROLIFIC_TOKEN holds the API token and PROLIFIC_URL the server's address. Without them the server that runs
on this machine is used, with the token it keeps in its data folder (FIELDPACK_DATA_DIR, ./fieldpack-data).
"""
_EXAMPLES = """\b
Examples:
  fieldpack serve                              run a server on this machine
  fieldpack collection list                    see what it holds
  fieldpack collection export COLLECTION_ID    download the archive of a collection
  fieldpack inspect ARCHIVE.zip                see what is inside
  fieldpack convert ARCHIVE.zip --to csv -o answers.csv
  fieldpack --install-completion               complete commands and ids with the Tab key

`fieldpack COMMAND --help` says more about each.
"""


class _Root(LazyGroup):
    lazy: ClassVar[dict[str, LazyCommand]] = {
        "collection": LazyCommand(
            "fieldpack.cli.collections.commands", "Create, publish, export and erase collections."
        ),
        "hook": LazyCommand(
            "fieldpack.cli.webhooks.commands", "Have events sent to a program of yours (webhooks)."
        ),
        "study": LazyCommand("fieldpack.cli.studies.commands", "List, make and run studies."),
        "studies": LazyCommand("fieldpack.cli.studies.commands", "List studies."),
        "submission": LazyCommand("fieldpack.cli.studies.submissions", "List, review and erase submissions."),
        "project": LazyCommand("fieldpack.cli.studies.groups", "Group studies in projects."),
        "participant": LazyCommand(
            "fieldpack.cli.studies.groups", "Group participants, whom studies then admit or leave out."
        ),
        "whoami": LazyCommand("fieldpack.cli.studies.groups", "Show whose token is used."),
        "mcp": LazyCommand("fieldpack.cli.assistants", "Let an assistant look at collections (MCP).", "mcp"),
        "inspect": LazyCommand(_ARCHIVE, "Show what is inside an archive."),
        "verify": LazyCommand(_ARCHIVE, "Check an archive: structure, checksums, references."),
        "extract": LazyCommand(_ARCHIVE, "Unpack an archive, sorted by submission or instruction."),
        "convert": LazyCommand(_ARCHIVE, "Turn an archive into CSV, Parquet, XLSX, SPSS, Stata or media."),
        "serve": LazyCommand(
            f"{_INSTALLATION}.running", "Run the server: API, pages and export jobs.", "server"
        ),
        "worker": LazyCommand(
            f"{_INSTALLATION}.running", "Run export jobs for a server elsewhere.", "server"
        ),
        "demo": LazyCommand(f"{_INSTALLATION}.running", "Run a server filled with example data.", "server"),
        "backup": LazyCommand(
            f"{_INSTALLATION}.backup", "Copy an installation; check and list copies.", "server"
        ),
        "restore": LazyCommand(
            f"{_INSTALLATION}.backup", "Bring an installation back from a copy.", "server"
        ),
        "import": LazyCommand(
            f"{_INSTALLATION}.importing", "Move an archive in, as a new collection.", "server"
        ),
        "sweep": LazyCommand(f"{_INSTALLATION}.sweep", "Clear away what is no longer needed.", "server"),
        "status": LazyCommand(f"{_INSTALLATION}.status", "Say how the installation does.", "server"),
        "jobs": LazyCommand(
            f"{_INSTALLATION}.status", "List jobs that failed, and have them tried again.", "server"
        ),
        "operator": LazyCommand(
            f"{_INSTALLATION}.status", "Say who may look after the installation.", "server"
        ),
        "audit": LazyCommand(f"{_INSTALLATION}.audit", "List, verify and export the audit log.", "server"),
        "token": LazyCommand(
            "fieldpack.cli.accounts.tokens", "Create, list, rotate and revoke API tokens.", "server"
        ),
        "keys": LazyCommand(
            f"{_INSTALLATION}.keys", "List and change the keys that sign links and cookies.", "server"
        ),
        "open": LazyCommand(f"{_INSTALLATION}.opening", "Open the researcher's page, signed in.", "server"),
        "workspace": LazyCommand(
            "fieldpack.cli.accounts.workspaces", "Create and list workspaces; who is in them.", "server"
        ),
    }


class _Run:
    """What the options before the command set."""

    is_debugged = False


app = make_app(has_completion=True, cls=_Root, name="fieldpack", help=_HELP, epilog=_EXAMPLES)


def _print_version(wanted: bool) -> None:
    if wanted:
        import fieldpack

        typer.echo(f"fieldpack {fieldpack.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_print_version),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback when something fails.")] = False,
) -> None:
    _Run.is_debugged = debug


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 0, 1 for a failure, 2 for a usage error, 130 for Ctrl-C."""
    _Run.is_debugged = False
    _open_missing_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what a program put in its place may take any character
            with contextlib.suppress(ValueError):
                stream.reconfigure(errors="backslashreplace")
    given = list(sys.argv[1:] if args is None else args)
    command: Any = typer.main.get_command(app)
    try:
        with warnings.catch_warnings():
            _say_warnings()
            code = command.main(given or ["--help"], prog_name="fieldpack", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except BrokenPipeError:
        # the reader of our output has closed it; nothing must be flushed at exit either
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return _fail("Stopped.", 130)
    except Exception as error:
        if _Run.is_debugged:
            for line in traceback.format_exc().splitlines():
                print(make_plain(line), file=sys.stderr)
        return _report(error)


def _open_missing_streams() -> None:
    """Put the null device in the place of a standard stream that was closed by who started this, as by `>&-`."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = open(os.devnull, mode)  # noqa: SIM115  # for as long as the program runs
            if stream.fileno() <= 2:  # the place was free: programs that are started from here have it too
                os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)


def _say_warnings() -> None:
    """A warning of ours is one line for a person, once; others go where they would have gone."""
    show = warnings.showwarning
    said = set()

    def say(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if not issubclass(category, IgnoredParameterWarning):
            show(message, category, *place, **more)
        elif str(message) not in said:
            said.add(str(message))
            _fail(str(message), 0)

    warnings.simplefilter("always", IgnoredParameterWarning)
    warnings.showwarning = say


def _report(error: Exception) -> int:
    if "_FIELDPACK_COMPLETE" in os.environ:  # a shell asks what could come next, in the middle of a line
        return 1
    if isinstance(error, typer.Abort):
        return _fail("Stopped: nothing was changed.", 1)
    if isinstance(error, TyperException):
        context = getattr(error, "ctx", None)
        where = context.command_path if context is not None else "fieldpack"
        message = _explain(error) or error.format_message()
        sentence = message.rstrip(".?")
        ending = "?" if message.endswith("?") else "."
        return _fail(f"{sentence}{ending} See '{where} --help'.", error.exit_code)
    if isinstance(error, TemplateError):
        # as compilers do, so that editors can go to the line
        for problem in error.problems:
            _say(problem)
        return 2
    if isinstance(error, FieldpackError):
        return _fail(str(error), 2 if isinstance(error, UsageError) else 1)
    if isinstance(error, OSError):
        named = f"{error.filename}: " if error.filename else ""
        return _fail(f"{named}{error.strerror or error}", 1)
    return _fail(f"This is a bug: {type(error).__name__}: {error}. `fieldpack --debug …` shows where.", 1)


def _explain(error: Exception) -> str | None:
    """What an option that takes a number or one of some words takes; None for any other error."""
    parameter = getattr(error, "param", None)
    kind = getattr(parameter, "type", None)
    given = re.match(
        r"(.+) is not (?:in the range|a valid|one of) ", getattr(error, "message", ""), re.DOTALL
    )
    if parameter is None or kind is None or given is None:
        return None
    choices, least, most = (getattr(kind, name, None) for name in ("choices", "min", "max"))
    if choices is not None:
        wanted = f"one of {', '.join(map(str, choices))}"
    elif kind.name.startswith(("int", "float")):
        wanted = "a whole number" if kind.name.startswith("int") else "a number"
        if least is not None and most is not None:
            wanted += f" from {least} to {most}"
        elif least is not None or most is not None:
            wanted += f" of at {'least' if most is None else 'most'} {most if least is None else least}"
    else:
        return None
    name = (
        max(parameter.opts, key=len)
        if parameter.param_type_name == "option"
        else parameter.human_readable_name
    )
    return f"{name} takes {wanted}, not {given[1].strip(chr(39))}"


def _fail(message: str, code: int) -> int:
    """Say `message` on one line of standard error; give back `code`."""
    _say(f"fieldpack: {message}")
    return code


def _say(message: str) -> None:
    text = make_line(message)
    with contextlib.suppress(OSError, ValueError):
        print(text, file=sys.stderr)
