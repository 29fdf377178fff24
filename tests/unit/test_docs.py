"""The documentation keeps up with the code: routes, refusals, settings and commands are all in it."""

from __future__ import annotations

import functools
import re
import warnings
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
from benchmarks.__main__ import BENCHMARKS

from fieldpack.archive.members import FILES, LEADING
from fieldpack.cli import main
from fieldpack.filetypes import EXTENSIONS, TYPES
from fieldpack.filetypes.manner import explain_extension
from fieldpack.server.app import create_app
from fieldpack.server.config import PREFIX, Settings
from fieldpack.server.problems import REGISTRY

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@functools.cache
def routes() -> list[str]:
    """Every route of the application, pages included, as `METHOD /path`."""
    app = create_app(Settings(), "postgresql://nowhere")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        described = app.openapi()["paths"]
    return [f"{method.upper()} {path}" for path, methods in described.items() for method in methods]


def commands(prefix: tuple[str, ...] = ()) -> dict[tuple[str, ...], str]:
    """Every command of the program, as its own `--help` lists them, and what its own says."""
    with redirect_stdout(StringIO()) as out:
        assert main([*prefix, "--help"]) == 0
    shown = out.getvalue()
    if "Commands:" not in shown:
        return {prefix: shown}
    listed = shown.split("Commands:")[1].split("\n\n")[0]
    names = re.findall(r"^  (\S+)  ", listed, re.MULTILINE)
    return {command: text for name in names for command, text in commands((*prefix, name)).items()}


def test_every_route_is_documented() -> None:
    api = (DOCS / "api.md").read_text() + (DOCS / "participants.md").read_text()
    missing = [route for route in routes() if f"`{route}`" not in api]
    assert not missing


def test_no_documented_route_is_gone() -> None:
    documented = re.findall(r"`((?:GET|POST|PUT|PATCH|DELETE|HEAD) /\S+)`", (DOCS / "api.md").read_text())
    assert set(documented) <= set(routes())


def test_error_codes_are_unique_and_documented() -> None:
    codes = [entry.error_code for entry in REGISTRY]
    assert len(codes) == len(set(codes))
    documented = re.findall(r"^\| (\d{6}) \| (\d{3}) \|", (DOCS / "api.md").read_text(), re.MULTILINE)
    assert {(str(entry.error_code), str(entry.status)) for entry in REGISTRY} == set(documented)


def test_every_setting_is_documented_and_described() -> None:
    operations = (DOCS / "operations.md").read_text()
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert f"`{PREFIX}{name.upper()}`" in operations, name
    documented = set(re.findall(rf"`{PREFIX}([A-Z_]+)`", operations))
    assert documented <= {name.upper() for name in Settings.model_fields}


def test_every_command_is_documented() -> None:
    cli = (DOCS / "cli.md").read_text()
    missing = [" ".join(command) for command in commands() if f"fieldpack {' '.join(command)}" not in cli]
    assert not missing


def test_every_benchmark_exists_and_is_documented() -> None:
    documented = re.findall(r"^\| `(\w+)` \|", (DOCS / "benchmarks.md").read_text(), re.MULTILINE)
    assert set(documented) == set(BENCHMARKS)
    for name in BENCHMARKS:
        assert (ROOT / "benchmarks" / f"{name}.py").exists(), name


@pytest.mark.parametrize(
    "page", sorted([ROOT / "README.md", ROOT / "SECURITY.md", *DOCS.glob("*.md")]), ids=lambda page: page.name
)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text) + re.findall(r'<img src="([^"]+)"', text)
    missing = [target for target in targets if "://" not in target and not (page.parent / target).exists()]
    assert not missing


def test_every_promise_names_a_test_that_there_is() -> None:
    text = (DOCS / "security.md").read_text()
    named = re.findall(r"`((?:unit|integration|browser|acceptance|long)/\w+\.py)::(\w+)`", text)
    assert len(named) > 20
    missing = [
        f"{path}::{name}"
        for path, name in named
        if f"def {name}(" not in (ROOT / "tests" / path).read_text(encoding="utf-8")
    ]
    assert not missing


def test_the_list_of_members_is_the_codes() -> None:
    section = (DOCS / "archive.md").read_text().split("\n## Members\n")[1].split("\n## ")[0]
    assert re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE) == [*LEADING, FILES + "…"]


def test_what_is_installed_is_the_clone() -> None:
    """No package index has what is in a clone: the name there may be someone else's."""
    for page in (ROOT / "README.md", *DOCS.glob("*.md")):
        for words in re.findall(r"pip install (?!-)([^`\n]*)", page.read_text(encoding="utf-8")):
            assert not re.match(r"['\"]?fieldpack\b", words), f"{page.name}: pip install {words}"


def file_type_rows() -> list[str]:
    """The table of file types as docs/file-types.md has it."""
    rows = []
    for row in dict.fromkeys(EXTENSIONS.values()):
        manner = explain_extension(row.names[0])
        held = [TYPES[type_id] for type_id in row.holds]
        labels = dict.fromkeys(kind.label for kind in held)
        types = dict.fromkeys(
            row.content_type if row.content_type and kind.open else kind.content_type for kind in held
        )
        names = " ".join(f"`{name}`" for name in row.names)
        shown = " ".join(f"`{name}`" for name in types)
        rows.append(f"| {names} | {manner.judged_by} | {', '.join(labels)} | {shown} |")
    return rows


def test_the_table_of_file_types_is_documented() -> None:
    written = (DOCS / "file-types.md").read_text().splitlines()
    assert [line for line in written if line.startswith("| `.")] == file_type_rows()


def rows_of_contributing() -> dict[str, str]:
    """What CONTRIBUTING.md says of each new thing: which files to touch."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text.partition("| new | files to touch |")[2].partition("\n\n")[0]
    return dict(re.findall(r"^\| (an? [^|]+) \| (.+) \|$", table, re.MULTILINE))


@pytest.mark.parametrize("new", rows_of_contributing())
def test_files_that_contributors_are_sent_to_are_there(new: str) -> None:
    """Each by its path from the repository, the package or the server, or by its name beside one that is."""
    row = rows_of_contributing()[new]
    named = re.findall(r"`([\w/.-]+\.(?:py|js|html|yaml|md)|[\w/]+/)`|\b(docs/[\w-]+\.md)", row)
    assert named or new in ("a language", "a text of the pages")
    package = ROOT / "src" / "fieldpack"
    below = [path.name for folder in (package, ROOT / "tests") for path in folder.rglob("*.py")]
    for name in (quoted or plain for quoted, plain in named):
        found = any((folder / name).exists() for folder in (ROOT, package, package / "server"))
        assert found or ("/" not in name and name in below), f"{new}: {name}"


def test_whoever_adds_an_item_type_is_sent_to_every_file_that_knows_them() -> None:
    row = rows_of_contributing()["an item type"]
    package = ROOT / "src" / "fieldpack"
    knowing = [
        path.relative_to(package)
        for path in package.rglob("*.*")
        if path.suffix in (".py", ".js", ".html")
        and "free_text_with_unit" in path.read_text(encoding="utf-8")
    ]
    assert len(knowing) > 10
    for path in knowing:
        assert path.name in row, path
