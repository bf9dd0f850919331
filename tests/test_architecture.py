"""The floors of docs/architecture.md: a module imports only from its own floor or from below."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FLOORS = (
    "errors",
    "roles",
    "console",
    "command_line",
    "files",
    "fixed_point",
    "piecewise",
    "transport",
    "graph",
    "gc",
    "he",
    "inference",
    "ckks",
    "privacy",
    "data",
    "parties",
    "learning",
    "harness",
    "bench",
    "he_transformer",
    "cli",
)
MODULES = sorted((ROOT / "capc").rglob("*.py"))


def floor(module: str) -> int:
    parts = module.split(".")
    return FLOORS.index(parts[1]) if len(parts) > 1 else -1


def imported_modules(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield f"{node.module}"
            if node.module == "capc":
                yield from (f"capc.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down(path: Path) -> None:
    own = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for name in imported_modules(path):
        if name.split(".")[0] == "capc" and name != "capc":
            assert floor(name) <= floor(own), f"{own} imports {name} from a floor above"


@pytest.mark.parametrize("role", ["querying_party", "answering_party", "privacy_guardian"], ids=str)
def test_parties_start_without_heavy_packages(role: str) -> None:
    """A party that serves prepared models loads neither TensorFlow nor the data-frame packages."""
    program = (
        f"import sys, capc.parties.{role}\n"
        "heavy = {'tensorflow', 'keras', 'pandas', 'matplotlib', 'libtmux', 'opendp'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert result.stdout.strip() == "[]"


def imported_by(role: str) -> set[str]:
    return set(imported_modules(ROOT / "capc" / "parties" / f"{role}.py"))


def test_parties_import_only_their_own_side() -> None:
    """The querying party has no code that reads models; the guardian none that runs inference."""
    model_code = {"capc.graph.prepared", "capc.graph.quantize", "capc.inference.server"}
    assert not imported_by("querying_party") & model_code
    inference = {"capc.inference.client", "capc.inference.server", "capc.graph.prepared"}
    assert not imported_by("privacy_guardian") & inference
    assert not imported_by("answering_party") & {"capc.inference.client", "capc.he.client"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_sleep_and_no_weak_generator(path: Path) -> None:
    """Waiting is on events; secrets come from the operating system."""
    text = path.read_text()
    assert "time.sleep(" not in text
    if "learning" not in path.parts:
        names = set(imported_modules(path))
        assert "random" not in names
        assert "np.random" not in text
