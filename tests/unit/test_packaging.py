"""What is imported is declared, and the package without extras stays light."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# parts of a declared package that are distributed under a name of their own
PART_OF = {
    "starlette": "fastapi",
    "psycopg-pool": "psycopg",
    "certifi": "httpx",
    "markupsafe": "jinja2",
    "numpy": "pandas",
    "mcp-types": "mcp",
    "pydantic-core": "pydantic",
}
HEAVY = (
    "pandas",
    "polars",
    "pyarrow",
    "fastapi",
    "psycopg",
    "sqlalchemy",
    "openpyxl",
    "pyreadstat",
    "PIL",
    "babel",
    "mcp",
    "pydantic",
)


def declared(*extras: str) -> set[str]:
    """Names of the packages that an installation with these extras asks for."""
    wanted = list(PROJECT["dependencies"])
    for extra in extras:
        wanted += PROJECT["optional-dependencies"][extra]
    return {re.split(r"[\[><=;~! ]", requirement)[0].lower() for requirement in wanted}


def imported(folder: Path) -> set[str]:
    """Distributions that the modules below `folder` import, at the top or in functions."""
    names: set[str] = set()
    for module in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.Import):
                names.update(alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                names.add(node.module.split(".")[0])
    distributions = packages_distributions()
    third_party = names - set(sys.stdlib_module_names) - {"fieldpack"}
    return {distributions[name][0].lower().replace("_", "-") for name in third_party}


@pytest.mark.parametrize(
    ("part", "extras"),
    [
        ("server", ("server", "store", "films", "pandas")),
        ("client", ()),
        ("pictures", ()),
        ("assistants", ("mcp",)),
        ("cli", ("server",)),
        ("archive", ("pandas", "polars", "convert", "server")),
    ],
)
def test_imports_are_declared(part: str, extras: tuple[str, ...]) -> None:
    found = {PART_OF.get(name, name) for name in imported(ROOT / "src" / "fieldpack" / part)}
    assert found <= declared(*extras)


def test_the_core_is_light() -> None:
    script = (
        "import sys, fieldpack, fieldpack.cli, fieldpack.client.sync, fieldpack.export;"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_wheel_has_all_that_the_pages_need(tmp_path: Path) -> None:
    """Every file beside the modules: templates, scripts and the catalogues of all languages."""
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    packed = set(zipfile.ZipFile(wheel).namelist())
    web = ROOT / "src" / "fieldpack" / "server" / "web"
    wanted = {
        path.relative_to(ROOT / "src").as_posix()
        for pattern in ("templates/*.html", "static/*", "locales/*/LC_MESSAGES/*.po")
        for path in web.glob(pattern)
    }
    assert {path.rpartition(".")[2] for path in wanted} >= {"html", "js", "css", "po"}
    assert wanted <= packed
