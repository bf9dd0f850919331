"""The floors of docs/architecture.md: a module imports only from its own floor or from below."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FLOORS = (
    "errors",
    "roles",
    "console",
    "progress",
    "log_lines",
    "files",
    "arrays",
    "machine",
    "private_memory",
    "standard_streams",
    "unforeseen",
    "command_line",
    "child_process",
    "ray_cluster",
    "fixed_point",
    "label_sets",
    "piecewise",
    "transport",
    "cards",
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
    "api",
    "cli",
)
# A peer on another machine cannot tell one that is not connected that it now listens.
ALLOWED_WAITS = {
    "capc/he_transformer/link.py": 1,
    "capc/transport/endpoints.py": 1,
    "capc/transport/resumption.py": 1,
}
FACE = ROOT / "capc" / "__init__.py"  # names what stands above, and imports it on first use
MODULES = sorted(set((ROOT / "capc").rglob("*.py")) - {FACE})


def floor(module: str) -> int:
    parts = module.split(".")
    return FLOORS.index(parts[1]) if len(parts) > 1 else -1


@cache
def imported_modules(path: Path) -> frozenset[str]:
    return frozenset(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield f"{node.module}"
            if node.module == "capc":
                yield from (f"capc.{alias.name}" for alias in node.names)


def imports_by_floor() -> dict[str, set[str]]:
    """For each floor, the other floors that its modules import."""
    found: dict[str, set[str]] = {name: set() for name in FLOORS}
    for path in MODULES:
        own = path.relative_to(ROOT / "capc").with_suffix("").parts[0]
        for name in imported_modules(path):
            parts = name.split(".")
            if parts[0] == "capc" and len(parts) > 1 and own in found and parts[1] != own:
                found[own].add(parts[1])
    return found


def test_the_floors_form_no_circle() -> None:
    """`pytest -s -k floors tests/test_architecture.py` prints them, the highest first."""
    below = imports_by_floor()
    for name in reversed(FLOORS):
        names = ", ".join(sorted(below[name], key=FLOORS.index))
        sys.stdout.write(f"{name:16} stands on {names or 'nothing'}\n")
    for name in FLOORS:
        assert all(FLOORS.index(other) < FLOORS.index(name) for other in below[name]), name


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down(path: Path) -> None:
    own = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for name in imported_modules(path):
        if name.split(".")[0] == "capc" and name != "capc":
            assert floor(name) <= floor(own), f"{own} imports {name} from a floor above"


@pytest.mark.parametrize("role", ["querying_party", "answering_party", "privacy_guardian"], ids=str)
def test_parties_start_without_heavy_packages(role: str) -> None:
    """A party that serves prepared models loads neither TensorFlow nor the data-frame packages."""
    assert heavy_packages(f"capc.parties.{role}") == "[]"


def test_a_run_starts_without_what_only_some_runs_need() -> None:
    """Nor does the driver, before it knows whether there are panes and models to read."""
    assert heavy_packages("capc.harness.experiment") == "[]"


def heavy_packages(module: str) -> str:
    """Those that a process has loaded once it has imported the module, as a list."""
    program = (
        f"import sys, {module}\n"
        "heavy = {'tensorflow', 'keras', 'pandas', 'matplotlib', 'libtmux', 'opendp'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    return subprocess.check_output([sys.executable, "-c", program], text=True, cwd=ROOT).strip()


def imported_by(role: str) -> frozenset[str]:
    return imported_modules(ROOT / "capc" / "parties" / f"{role}.py")


def test_parties_import_only_their_own_side() -> None:
    """The querying party has no code that reads models; the guardian none that runs inference."""
    model_code = {"capc.graph.prepared", "capc.graph.quantize", "capc.inference.server"}
    assert not imported_by("querying_party") & model_code
    inference = {"capc.inference.client", "capc.inference.server", "capc.graph.prepared"}
    assert not imported_by("privacy_guardian") & inference
    assert not imported_by("answering_party") & {"capc.inference.client", "capc.he.client"}


def is_number(node: ast.expr | None, constants: set[str]) -> bool:
    """Whether a number stands there: a literal, or a constant of the module."""
    if isinstance(node, ast.Name):
        return node.id in constants
    if isinstance(node, ast.UnaryOp | ast.BinOp):
        return all(
            is_number(part, constants)
            for part in ast.iter_child_nodes(node)
            if isinstance(part, ast.expr)
        )
    return isinstance(node, ast.Constant) and type(node.value) in (int, float)


def number_constants(tree: ast.Module) -> set[str]:
    """The names that the module's own level sets to numbers."""
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and is_number(node.value, names):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


def sleep_names(tree: ast.Module) -> set[str]:
    """What the module calls `sleep`, by whatever name it imports it."""
    return {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name == "sleep"
    }


def timed_waits(source: str) -> Iterator[tuple[int, str]]:
    """Line and reason of every wait that only time ends: sleeps, and waits for a fixed time."""
    tree = ast.parse(source)
    constants, sleeps = number_constants(tree), sleep_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name):
            sleeping = (
                node.attr == "sleep" if isinstance(node, ast.Attribute) else node.id in sleeps
            )
            if sleeping:
                yield node.lineno, "sleep"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            limits = [*node.args[:1], *(one.value for one in node.keywords if one.arg == "timeout")]
            if node.func.attr == "wait" and any(is_number(limit, constants) for limit in limits):
                yield node.lineno, "wait for a fixed time"
            empty = [isinstance(one, ast.List | ast.Tuple) and not one.elts for one in node.args]
            if node.func.attr == "select" and len(node.args) == 4 and all(empty[:3]):
                yield node.lineno, "select on nothing"


@pytest.mark.parametrize(
    "source",
    [
        "import time\ntime.sleep(1)",
        "import time as clock\nclock.sleep(seconds)",
        "from time import sleep\nsleep(1)",
        "from time import sleep as rest\nrest(seconds)",
        "import asyncio\nawait asyncio.sleep(0.1)",
        "import time\nnap = time.sleep",
        "import threading\nthreading.Event().wait(0.1)",
        "event.wait(timeout=0.1)",
        "condition.wait(5)",
        "PAUSE = 0.2\nevent.wait(PAUSE)",
        "PAUSE: float = 2 * 60\nevent.wait(timeout=PAUSE)",
        "BASE = 2\nPAUSE = BASE / 4\nwhile not done():\n    event.wait(PAUSE)",
        "import select\nselect.select([], [], [], 0.1)",
        "import select\nselect.select((), (), (), seconds)",
    ],
)
def test_the_gate_is_shut(source: str) -> None:
    """Each of these lets time pass, and nothing else can end it or is waited for."""
    assert len(list(timed_waits(source))) == 1


@pytest.mark.parametrize(
    "source",
    [
        "event.wait()",
        "event.wait(timeout_seconds)",
        "process.wait()",
        "ray.wait(tasks, num_returns=1)",
        "ready, _, _ = select.select([connection], [], [], seconds)",
        "events = selector.select(max(0.0, until - now))",
        "sleepy = 'time.sleep(1)'",
    ],
)
def test_the_gate_lets_events_through(source: str) -> None:
    assert not list(timed_waits(source))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_sleep_and_no_weak_generator(path: Path) -> None:
    """Waiting is on events; secrets come from the operating system."""
    text = path.read_text()
    waits = [line for line, _ in timed_waits(text)]
    assert len(waits) <= ALLOWED_WAITS.get(str(path.relative_to(ROOT)), 0), f"lines {waits}"
    if "learning" not in path.parts:
        names = imported_modules(path)
        assert "random" not in names
        assert "np.random" not in text
