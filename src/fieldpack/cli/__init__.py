"""The command line. `main` is the program's entry point."""

from fieldpack.cli.root import main

__all__ = ["main"]
