"""The public names: cheap to import, typed, documented, and the flags of `capc run`."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import capc
from capc.harness.flags import build_parser

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "python.md").read_text()
ONLY_HERE = {"images", "labels", "show"}
OTHER_DEFAULTS = {"encryption_params", "launcher", "n_queries"}
_MEASURE = """
import json, sys, time
start = time.process_time()
import capc
seconds = time.process_time() - start
inside = sorted(name for name in sys.modules if name.startswith("capc."))
capc.run, capc.load_model, capc.load_run
capc.privacy.cost(100, sigma=7)
heavy = sorted({"tensorflow", "keras", "onnxruntime", "pandas"} & set(sys.modules))
print(json.dumps({"seconds": seconds, "inside": inside, "heavy": heavy}))
"""


def public_objects() -> list[tuple[str, Any]]:
    """Every public function, class and member of a class, by its name for a caller."""
    found: list[tuple[str, Any]] = []
    for place, module in (("capc", capc), ("capc.privacy", capc.privacy)):
        for name in module.__all__:
            value = getattr(module, name)
            if isinstance(value, ModuleType | str):
                continue
            found.append((f"{place}.{name}", value))
            if isinstance(value, type):
                found += [
                    (f"{place}.{name}.{member}", inner)
                    for member, inner in vars(value).items()
                    if not member.startswith("_") and callable(getattr(inner, "fget", inner))
                ]
    return found


PUBLIC = public_objects()


def test_importing_capc_loads_nothing_else_and_is_quick() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE], cwd=ROOT, capture_output=True, text=True, check=True
    )
    seen = json.loads(done.stdout)
    assert seen["inside"] == []
    assert seen["seconds"] < 0.1
    assert seen["heavy"] == []


@pytest.mark.parametrize(("name", "value"), PUBLIC, ids=[name for name, _ in PUBLIC])
def test_what_is_public_has_a_docstring_and_types(name: str, value: Any) -> None:
    function: Any = value.fget if isinstance(value, property) else value
    assert (inspect.getdoc(function) or "").strip(), f"{name} has no docstring"
    if isinstance(function, type):
        return
    signature = inspect.signature(function)
    assert signature.return_annotation is not inspect.Signature.empty, name
    for parameter in signature.parameters.values():
        assert parameter.name == "self" or parameter.annotation is not parameter.empty, parameter


@pytest.mark.parametrize("name", [name for name, _ in PUBLIC])
def test_the_page_names_what_is_public(name: str) -> None:
    is_member = name.removeprefix("capc.privacy.").removeprefix("capc.").count(".")
    shown = name.rpartition(".")[2] if is_member else name
    assert f"`{shown}`" in PAGE or f"`{shown}(" in PAGE


def test_there_is_nothing_of_another_name() -> None:
    assert set(capc.__all__) <= set(dir(capc))
    for module in (capc, capc.privacy):
        with pytest.raises(AttributeError, match="has no attribute 'runn'"):
            module.runn  # noqa: B018


def test_the_arguments_of_run_are_flags() -> None:
    flags = vars(build_parser("capc run").parse_args([]))
    for parameter in inspect.signature(capc.run).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD or parameter.name in ONLY_HERE:
            continue
        assert parameter.name in flags
        if parameter.default is not None and parameter.name not in OTHER_DEFAULTS:
            assert parameter.default == flags[parameter.name], parameter.name
