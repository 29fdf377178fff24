"""The notebook runs from export to plots, and its page in the docs says the same."""

from __future__ import annotations

import base64
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
NOTEBOOK = ROOT / "examples" / "analysis.ipynb"
PAGE = ROOT / "docs" / "analysis.md"


def read_notebook() -> Any:
    nbformat = pytest.importorskip("nbformat", reason="needs the package nbformat")
    return nbformat.read(NOTEBOOK, as_version=4)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_notebook_runs_to_its_three_plots(tmp_path: Path) -> None:
    nbclient = pytest.importorskip("nbclient", reason="needs the package nbclient")
    pytest.importorskip("ipykernel", reason="needs the package ipykernel")
    pytest.importorskip("matplotlib", reason="needs the package matplotlib")
    shutil.copy(ROOT / "examples" / "make_archive.py", tmp_path)
    notebook = read_notebook()
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3", resources=resources).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [
        output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"
    ]
    plots = [output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    assert len(plots) == 3
    for plot in plots:
        assert base64.b64decode(plot).startswith(b"\x89PNG")
    assert (tmp_path / "sleep.sav").stat().st_size > 10_000
    assert (tmp_path / "sleep.csv").read_bytes().startswith(b"\xef\xbb\xbf")


def test_the_page_holds_the_notebooks_code_and_text() -> None:
    notebook, page = read_notebook(), PAGE.read_text(encoding="utf-8")
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert re.findall(r"```python\n(.*?)\n```", page, re.S) == code
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for paragraph in cell.source.split("\n\n"):
                assert paragraph in page
    for image in re.findall(r"\]\((images/[^)]+)\)", page):
        assert (PAGE.parent / image).is_file(), image


def test_the_notebook_is_kept_without_outputs() -> None:
    for cell in read_notebook().cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
