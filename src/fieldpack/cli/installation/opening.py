"""`fieldpack open`: the researcher's page in the browser, signed in."""

from __future__ import annotations

from typing import Annotated

import typer

from fieldpack.cli.options import DataDir

__all__ = ["register"]


def register(root: typer.Typer) -> None:
    """Add the command."""
    root.command("open")(open_page)


def open_page(
    researcher: Annotated[
        str | None, typer.Option(help="E-mail of the researcher to sign in, where there are several.")
    ] = None,
    is_printed: Annotated[bool, typer.Option("--print", help="Print the link; open no browser.")] = False,
    data_dir: DataDir = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON; open no browser.")] = False,
) -> None:
    """Open the researcher's page, signed in by a link that works once, within 15 minutes.

    The link is for whoever may read the data folder or the database, so it needs no token. Where there is no
    browser, the link is printed.
    """
    import webbrowser

    from fieldpack.cli.output import print_json, print_text
    from fieldpack.server.config import load_settings
    from fieldpack.server.run.signing_in import make_sign_in_link

    url = make_sign_in_link(load_settings(data_dir=data_dir), researcher)
    if json:
        print_json({"url": url})
    elif is_printed or not webbrowser.open(url):
        print_text(url)
    else:
        typer.echo("Opened in the browser.", err=True)
