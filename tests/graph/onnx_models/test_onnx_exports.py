"""Files that PyTorch's two exporters wrote: read, equal to PyTorch, and run encrypted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch_exports
from onnx_graphs import read

from capc import cli
from capc.graph.float_reference import evaluate_float

FIXTURES = torch_exports.FIXTURES


@pytest.mark.parametrize("name", ["mlp", "mobile", "resnet"])
def test_a_file_of_pytorch_gives_pytorchs_logits(name: str) -> None:
    network = read(FIXTURES / f"{name}.onnx", input_range=(0.0, 1.0))
    kept = np.load(FIXTURES / f"{name}.npz")
    np.testing.assert_allclose(
        evaluate_float(network, kept["images"]), kept["logits"], rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("exporter", torch_exports.EXPORTERS)
@pytest.mark.parametrize("name", torch_exports.SHAPES)
def test_both_exporters_of_the_pytorch_here(tmp_path: Path, name: str, exporter: str) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    path = tmp_path / "model.onnx"
    torch_exports.export(name, exporter, path)
    images, logits = torch_exports.expected(name)
    np.testing.assert_allclose(
        evaluate_float(read(path, input_range=(0.0, 1.0)), images), logits, rtol=1e-4, atol=1e-5
    )


def test_a_query_to_a_convolutional_model_of_pytorch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two processes, bit for bit, on NHWC images for a model that has channels first."""
    kept = np.load(FIXTURES / "mobile.npz")
    np.save(tmp_path / "samples.npy", kept["images"].transpose(0, 2, 3, 1))
    np.save(tmp_path / "labels.npy", kept["logits"].argmax(axis=1))
    flags = [f"--dataset_path={tmp_path}", "--encrypted=1", "--json"]
    assert cli.main(["accuracy", str(FIXTURES / "mobile.onnx"), *flags]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["framework"] == "onnxruntime"
    assert found["tensorflow_accuracy"] == found["integer_accuracy"] == 1.0
    assert (found["encrypted"], found["bit_for_bit"]) == (1, 1)


def test_a_run_with_an_onnx_model_beside_others(tmp_path: Path) -> None:
    """The whole protocol; the model is named without its suffix."""
    kept = np.load(FIXTURES / "mlp.npz")
    for name in ("mlp.onnx", "mlp.onnx.data"):
        (tmp_path / name).write_bytes((FIXTURES / name).read_bytes())
    np.save(tmp_path / "samples.npy", kept["images"])
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "capc.cli", "run", "--n_parties=1", "--ignore_parties"),
            *("--launcher=subprocess", f"--checkpoint_dir={tmp_path}", "--model_type=mlp"),
            *(f"--dataset_path={tmp_path / 'samples.npy'}", "--num_classes=4"),
            f"--results_dir={tmp_path / 'results'}",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr + ended.stdout
    checks = tmp_path / "results" / "latest" / "private" / "check.csv"
    rows = checks.read_text().splitlines()
    header, row = (line.split(",") for line in rows)
    answer = dict(zip(header, row, strict=True))
    assert answer["reference_agrees"] == "true"
    assert int(answer["plain_label"]) == kept["logits"][0].argmax()
