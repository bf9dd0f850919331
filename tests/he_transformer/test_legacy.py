"""Training scripts in the style of TensorFlow 1.14: train, freeze, save, and read here."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from capc.graph.float_reference import evaluate_float
from capc.graph.tensorflow.importer import import_network

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).resolve().parent / "programs" / "old_training.py"
HAS_KERAS_2 = importlib.util.find_spec("tf_keras") is not None


def run(*arguments: str, code: str = "") -> subprocess.CompletedProcess[str]:
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    start = ["-c", code] if code else ["-m", "capc.he_transformer.legacy"]
    return subprocess.run(
        [sys.executable, *start, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.skipif(not HAS_KERAS_2, reason="the package tf_keras is not installed")
@pytest.mark.parametrize("model", ["cryptonets", "cryptonets-relu", "mlp"])
def test_old_training_scripts(model: str, tmp_path: Path) -> None:
    done = run(str(SCRIPT), "--model", model, "--folder", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split("accuracy")[1].split()[0]) > 0.5
    saved = np.load(tmp_path / f"{model}.npz")
    found = evaluate_float(import_network(tmp_path / f"{model}.pb"), saved["images"])
    np.testing.assert_allclose(found, saved["logits"], atol=1e-4)


@pytest.mark.skipif(not HAS_KERAS_2, reason="the package tf_keras is not installed")
def test_keras_3_in_use() -> None:
    done = run(code="import keras, capc.he_transformer.legacy")
    assert "Keras 3 is in use already" in done.stderr


@pytest.mark.skipif(HAS_KERAS_2, reason="the package tf_keras is installed")
def test_without_keras_2() -> None:
    done = run(str(SCRIPT))
    assert done.returncode == 2
    assert "pip install tf_keras" in done.stderr
    assert done.stderr.count("\n") == 1


def test_without_a_script() -> None:
    done = run()
    assert done.returncode == 2
    assert "python -m capc.he_transformer.legacy train.py" in done.stdout
