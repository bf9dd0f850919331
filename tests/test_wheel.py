"""The wheel has what the program reads, nothing of the owner's, and runs without a clone.

Built without the compiler: `make check-wheel` does the whole.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import capc

ROOT = Path(__file__).resolve().parents[1]
_BUILD = """
import sys
from scikit_build_core.build import build_wheel
build_wheel(sys.argv[1], {"wheel.cmake": "false"})
"""
# What an installed package sees, in an empty folder.
_LOOK = """
import json, sys
# An editable install finds the clone before the path is asked.
sys.meta_path = [f for f in sys.meta_path if not type(f).__module__.startswith("_editable")]
from pathlib import Path
import capc
from capc.files import BUILD_AGAIN, IN_CLONE, REPOSITORY
from capc.graph.model_names import model_at
from capc.harness.models import model_files
from capc.harness.settings import parse_settings
from capc.learning.experiment import load_experiment

def found(name):
    flags = ["--ignore_parties", "--checkpoint_dir=" + name] if name else ["--ignore_parties"]
    settings = parse_settings(flags)
    return str(settings.checkpoint_dir), str(model_files(settings, print)[0])

before = found("")
Path("models").mkdir()
print(json.dumps({
    "package": capc.__file__,
    "in_clone": IN_CLONE,
    "again": BUILD_AGAIN,
    "before": before,
    "with_folder": found(""),
    "inspected": str(model_at(Path("models/cryptonets-relu.pb"))),
    "degree": parse_settings([]).encryption_parameters.poly_modulus_degree,
    "learning": load_experiment(Path("config/learning/mnist.json")).dataset,
}))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, but for the engine."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-c", _BUILD, str(folder)], cwd=ROOT, check=True, capture_output=True
    )
    (path,) = folder.iterdir()
    return zipfile.ZipFile(path)


def files_below(*names: str) -> set[str]:
    return {
        str(path.relative_to(ROOT))
        for name in names
        for path in (ROOT / name).rglob("*")
        if path.is_file() and path.suffix not in (".pyc", ".so")
    }


def test_the_wheel_has_the_package_and_what_it_reads(wheel: zipfile.ZipFile) -> None:
    shipped = {"models/accuracy.csv", "models/cryptonets-relu.pb", *files_below("config")}
    shipped |= {"tests/privacy/data/mnist_250_votes.npy"}
    expected = files_below("capc") | {f"capc/shipped/{name}" for name in shipped}
    assert {name for name in wheel.namelist() if ".dist-info/" not in name} == expected


def test_models_that_were_trained_here_stay_here(tmp_path: Path) -> None:
    """A trained model is its owner's: what git ignores is in no wheel."""
    for name in ("capc", "config", "models", "tests/privacy/data"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore", "capc/__init__.py"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / "models" / "3").mkdir()
    (tmp_path / "models" / "3" / "0.pb").write_bytes(b"somebody's")
    (tmp_path / "models" / "cryptonets-relu.pb").write_bytes(b"the one that ships")
    command = [sys.executable, "-c", _BUILD, str(tmp_path / "dist")]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    (path,) = (tmp_path / "dist").iterdir()
    names = [name for name in zipfile.ZipFile(path).namelist() if "models" in name]
    assert names == ["capc/shipped/models/cryptonets-relu.pb"]


def test_the_metadata_says_which_version_and_which_pythons(wheel: zipfile.ZipFile) -> None:
    (name,) = [name for name in wheel.namelist() if name.endswith("METADATA")]
    text = wheel.read(name).decode()
    assert f"\nVersion: {capc.__version__}\n" in text
    promised = {f"3.{minor}" for minor in range(10, 14)}
    named = {line.rpartition(" ")[2] for line in text.splitlines() if ":: Python :: 3." in line}
    assert named == promised
    assert "\nRequires-Python: <3.14,>=3.10\n" in text


def test_the_package_finds_its_files_without_a_clone(
    wheel: zipfile.ZipFile, tmp_path: Path
) -> None:
    """What ships is read from the package; what is written goes to the working folder."""
    site, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    wheel.extractall(site)
    for engine in (ROOT / "capc" / "gc").glob("_engine*.so"):
        (site / "capc" / "gc" / engine.name).symlink_to(engine)
    done = subprocess.run(
        [sys.executable, "-c", _LOOK],
        cwd=empty,
        env={**os.environ, "PYTHONPATH": str(site)},
        check=True,
        capture_output=True,
        text=True,
    )
    seen = json.loads(done.stdout)
    assert seen["package"] == str(site / "capc" / "__init__.py")
    assert seen["in_clone"] is False
    assert "make" not in seen["again"]
    shipped = str(site / "capc" / "shipped" / "models" / "cryptonets-relu.pb")
    assert seen["before"] == seen["with_folder"] == [str(empty / "models"), shipped]
    assert seen["inspected"] == shipped
    assert seen["degree"] == 8192
    assert seen["learning"] == "mnist"
