"""`capc accuracy`: known shares of right labels, two processes bit for bit, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("tensorflow")

from capc import cli
from capc.bench import accuracy
from capc.bench.two_parties import EncryptedRun, PhaseCost, PhaseCosts
from capc.data import datasets
from capc.data.fitting import Range
from capc.graph.float_reference import evaluate_float
from capc.graph.layers import QuantizedNetwork
from capc.graph.prepared import load_network, prepare
from capc.graph.tensorflow.loader import load_tensorflow
from capc.inference.reference import evaluate
from capc.transport.channel import Traffic

SHIPPED = Path(__file__).parents[2] / "models" / "cryptonets-relu.pb"
COUNT = 8


@pytest.fixture(autouse=True)
def made_images(monkeypatch: pytest.MonkeyPatch) -> NDArray[Any]:
    """Random images, the first six with the model's own label, the others with another."""
    images = np.random.default_rng(5).uniform(0, 1, (COUNT, 28, 28, 1)).astype(np.float32)
    labels = evaluate_float(load_network(prepare(SHIPPED)), images).argmax(axis=1)
    labels[6:] = (labels[6:] + 1) % 10
    really = datasets.queries

    def made(name: str, start: int, n: int, input_range: Range | None = None) -> object:
        if "=" in name:
            return really(name, start, n, input_range)
        return images[start:n], labels[start:n]

    monkeypatch.setattr(accuracy, "queries", made)
    return images


def test_shares_errors_and_the_encrypted_run(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["accuracy", str(SHIPPED), "--n=8", "--encrypted=2", "--json"]
    assert cli.main(flags) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["tensorflow_accuracy"] == found["integer_accuracy"] == 0.75
    assert found["labels_equal"] == COUNT
    assert 0 < found["largest_logit_error"] < 0.05 < found["largest_logit"]
    assert (found["encrypted"], found["bit_for_bit"]) == (2, 2)
    assert (found["ring_bits"], found["fraction_bits"]) == (41, 12)
    assert min(found["setup_seconds"], found["offline_seconds"], found["online_seconds"]) > 0


COSTS = PhaseCosts(
    PhaseCost(0.1, Traffic(1)),
    PhaseCost(0.2, Traffic(1_500_000, 500_000)),
    PhaseCost(0.3, Traffic(0, 3_000_000)),
)


def test_one_wrong_bit_is_status_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def wrong(
        network: QuantizedNetwork, prepared: Any, parameters: Any, images: Any, advance: Any
    ) -> Any:
        logits = evaluate(network, images)
        logits[1, 3] ^= 1
        return EncryptedRun(logits, COSTS, 1)

    monkeypatch.setattr(accuracy, "run_encrypted", wrong)
    assert cli.main(["accuracy", str(SHIPPED), "--n=8", "--encrypted=3"]) == 3
    shown = capsys.readouterr().out
    assert "2 of 3" in shown
    assert "75.00%" in shown
    for name, value in (("set-up", "0.100"), ("online", "0.200 + 0.300"), ("megabytes", "5.0")):
        assert any(name in line and value in line for line in shown.splitlines())


def test_an_answering_process_that_fails_is_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answering = subprocess.Popen

    def fail(command: list[str], **options: Any) -> Any:
        script = "import sys; from capc.bench.two_parties import _answer; "
        script += "_answer(sys.argv[3]); sys.exit(7)"
        return answering([command[0], "-c", script, *command[1:]], **options)

    monkeypatch.setattr("capc.bench.two_parties.subprocess.Popen", fail)
    assert cli.main(["accuracy", str(SHIPPED), "--n=1", "--encrypted=1"]) == 1
    assert capsys.readouterr().err.endswith("the answering process ended with status 7\n")


def test_labels_that_differ_too_often_are_status_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def wrong(*given):  # type: ignore[no-untyped-def]
        logits = evaluated(*given)
        logits[0, logits[0].argmin()] = logits[0].max() + 1
        return logits

    evaluated = evaluate
    monkeypatch.setattr(accuracy, "evaluate", wrong)
    flags = ["accuracy", str(SHIPPED), "--n=8", "--encrypted=0"]
    assert cli.main(flags) == 3
    said = capsys.readouterr()
    assert "7 of 8" in said.out
    assert said.err.splitlines()[-1] == (
        "DISAGREES: 1 of 8 labels (0.125) differ from TensorFlow's; --tolerance allows 0.01"
    )
    assert cli.main([*flags, "--json", "--tolerance=0.125"]) == 0
    assert "DISAGREES" not in capsys.readouterr().err
    assert cli.main([*flags, "--json", "--tolerance=0"]) == 3
    assert json.loads(capsys.readouterr().out)["labels_equal"] == 7


def test_without_encryption_and_calibrated(
    tmp_path: Path, made_images: NDArray[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "examples.npy", made_images)
    flags = ["accuracy", str(SHIPPED), "--n=8", "--encrypted=0", "--json"]
    assert cli.main([*flags, f"--calibration={tmp_path / 'examples.npy'}"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["calibrated"]
    assert found["labels_equal"] == COUNT
    assert (found["ring_bits"], found["encrypted"], found["online_seconds"]) == (37, 0, None)
    assert {field.name for field in dataclasses.fields(accuracy.Accuracy)} == set(found)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--n=0"], "--n is 0"),
        (["--n=10001"], "mnist has 10000 test images"),
        (["--encrypted=-1"], "--encrypted is -1"),
        (["--tolerance=1.5"], "--tolerance is 1.5; it is a share of the labels, from 0 to 1"),
        (["--tolerance=nan"], "--tolerance is nan"),
        (["--dataset_name=svhn"], "takes inputs of shape (28, 28, 1), svhn"),
        (["--dataset_name=digits"], "--dataset_name is digits"),
        (["--encryption_params=nowhere.json"], "names nowhere.json, which is not a file"),
    ],
)
def test_what_cannot_be_used_is_status_2(
    flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["accuracy", str(SHIPPED), *flags]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def dense(folder: Path, shape: tuple[int, ...], scale: float, classes: int = 4) -> Path:
    """A Keras model whose class is the mean of values up to `scale`: the nearest of four levels."""
    tf = load_tensorflow()
    size = int(np.prod(shape))
    model = tf.keras.Sequential(
        [
            tf.keras.Input(shape),
            tf.keras.layers.Flatten(),
            tf.keras.layers.Dense(classes, name="logits"),
        ]
    )
    levels = (np.arange(classes) * 70 + 20) / 255
    weights = np.tile(2 * levels / size / scale, (size, 1))
    model.get_layer("logits").set_weights([weights, -(levels**2)])
    path = folder / "own.keras"
    model.save(path)
    return path


def own_data(folder: Path, shape: tuple[int, ...]) -> Path:
    labels = np.arange(24) % 4
    pixels = np.random.default_rng(3).integers(0, 20, (24, *shape))
    pixels += 10 + 70 * labels.reshape(-1, *(1 for _ in shape))
    np.savez(folder / "own.npz", x_test=pixels.astype(np.uint8), y_test=labels)
    return folder / "own.npz"


@pytest.mark.parametrize("flag", ["--dataset=mine=", "--dataset_path="])
@pytest.mark.parametrize(
    ("data", "model"), [((4, 4), (4, 4)), ((4, 4), (16,)), ((4, 4, 3), (3, 4, 4)), ((6,), (6,))]
)
def test_data_and_models_of_any_shape(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    data: tuple[int, ...],
    model: tuple[int, ...],
    flag: str,
) -> None:
    dense(tmp_path, model, 1.0)
    named = str(tmp_path / "own")  # without its suffix
    file = own_data(tmp_path, data)
    assert cli.main(["accuracy", named, f"{flag}{file}", "--encrypted=1", "--json"]) == 0
    shown = capsys.readouterr()
    found = json.loads(shown.out)
    assert (found["tensorflow_accuracy"], found["images"], found["bit_for_bit"]) == (1.0, 24, 1)
    assert "WARNING" not in shown.err


def test_a_range_that_the_model_was_not_trained_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, file = dense(tmp_path, (4, 4), 255.0), own_data(tmp_path, (4, 4))
    flags = ["accuracy", str(model), f"--dataset=mine={file}", "--encrypted=0", "--json"]
    assert cli.main(flags) == 0
    assert "give --input_range 0 255" in capsys.readouterr().err
    assert cli.main([*flags, "--input_range", "0", "255"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["tensorflow_accuracy"] == 1.0
    assert "WARNING" not in shown.err


def test_a_model_of_fewer_classes_than_the_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, file = dense(tmp_path, (4, 4), 1.0, classes=2), own_data(tmp_path, (4, 4))
    assert cli.main(["accuracy", str(model), f"--dataset=mine={file}", "--encrypted=0"]) == 0
    assert "the model has 2 classes and mine has 4" in capsys.readouterr().err
