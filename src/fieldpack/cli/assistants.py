"""`fieldpack mcp`: lets an assistant look at collections, and review and export where that is allowed."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

__all__ = ["register"]

_EXAMPLES = """\b
An assistant starts it, by its configuration (docs/assistants.md has those of some):
  {"mcpServers": {"fieldpack": {"command": "fieldpack", "args": ["mcp"],
   "env": {"PROLIFIC_URL": "https://collect.example.org", "PROLIFIC_TOKEN": "…"}}}}

\b
Give it a token of its own, with no more of a role than it needs:
  fieldpack token create --name assistant --role viewer
"""


def register(root: typer.Typer) -> None:
    """Add the command."""
    root.command("mcp", epilog=_EXAMPLES)(serve_assistant)


def serve_assistant(
    allow_writes: Annotated[
        bool,
        typer.Option(
            "--allow-writes", help="Also let it approve, reject, ask for returns and request exports."
        ),
    ] = False,
) -> None:
    """Serve an assistant over the Model Context Protocol, on standard input and output.

    It sees what the token may see (PROLIFIC_TOKEN, else the one that the local server keeps), and changes nothing
    unless it is allowed to.
    """
    from fieldpack.assistants.server import serve

    if sys.stdin.isatty():
        from fieldpack.cli.output import print_note

        print_note(
            "waiting for an assistant on standard input; it is meant to start this itself. Ctrl-C ends it."
        )
    serve(allow_writes=allow_writes)
