"""The notebooks: stored clean, and the first one runs. `make notebooks` runs all."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
FIRST = ROOT / "notebooks" / "1-first-label.ipynb"


def cells(notebook: Path, kind: str) -> list[dict[str, Any]]:
    content = json.loads(notebook.read_text(encoding="utf-8"))
    return [cell for cell in content["cells"] if cell["cell_type"] == kind]


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_what_a_machine_left(notebook: Path) -> None:
    content = json.loads(notebook.read_text(encoding="utf-8"))
    assert set(content["metadata"]) == {"kernelspec", "language_info"}
    assert set(content["metadata"]["language_info"]) == {"name"}
    assert [cell["id"] for cell in content["cells"]] == [
        f"cell-{place}" for place in range(len(content["cells"]))
    ]
    for cell in cells(notebook, "code"):
        assert cell["outputs"] == []
        assert cell["execution_count"] is None
        assert cell["metadata"] == {}


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_needs_no_shell_and_names_what_exists(notebook: Path) -> None:
    for cell in cells(notebook, "code"):
        ast.parse(source(cell))  # a line for the shell, or a magic, is no Python
    for cell in cells(notebook, "markdown"):
        for name in source(cell).split("`")[1::2]:
            if name.endswith((".ipynb", ".md")):
                assert (ROOT / name).exists() or (ROOT / "notebooks" / name).exists(), name


@pytest.mark.slow
def test_the_first_notebook_runs(tmp_path: Path) -> None:
    """In a kernel: a running event loop, and a standard output that is no file."""
    pytest.importorskip("capc.gc._engine", reason="the circuit extension is not built")
    pytest.importorskip("nbclient", reason="nbclient is not installed: make setup")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed: make setup")
    from execute import execute  # noqa: PLC0415  needs nbclient

    executed = execute(FIRST, tmp_path)
    outputs = [output for cell in cells(executed, "code") for output in cell["outputs"]]
    said = "".join("".join(output.get("text", ())) for output in outputs)
    assert "query 0 (1 of 1): label" in said
    assert "the picture shows: 7" in said
    assert "\x1b" not in said, "control codes of a terminal"
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 1
    assert (tmp_path / "results" / "latest" / "report.html").is_file()
    log = (tmp_path / "results" / "latest" / "logs" / "driver.log").read_text()
    assert "1 of 1 answered" in log
