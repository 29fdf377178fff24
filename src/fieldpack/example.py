"""The example collection of the package."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

__all__ = ["find_example"]


def find_example() -> Path:
    """`examples/collection.yaml`, of the checkout or of the installed package, with its picture beside it."""
    checkout = Path(__file__).parents[2] / "examples" / "collection.yaml"
    return checkout if checkout.exists() else Path(str(files("fieldpack").joinpath("example.yaml")))
