"""One run of two programs' frozen graphs: other node names, 1,100 classes, standardised samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

pytest.importorskip("tensorflow")
pytest.importorskip("capc.gc._engine", reason="the circuit extension is not built")

from capc.fixed_point import Float64
from capc.graph.prepared import prepare
from capc.graph.tensorflow.loader import load_keras, load_tensorflow
from capc.harness.experiment import run
from capc.harness.settings import parse_settings

CLASSES, FEATURES, QUERIES = 1100, 30, 2
tf, keras = load_tensorflow(), load_keras()


def write_ours(path: Path, kernel: NDArray[np.float32]) -> None:
    """The node names of this project's models: `input` and `output/BiasAdd`."""
    with tf.Graph().as_default() as graph:
        images = tf.compat.v1.placeholder(tf.float32, (None, FEATURES), name="input")
        logits = tf.matmul(images, kernel)
        tf.nn.bias_add(logits, np.zeros(CLASSES, np.float32), name="output/BiasAdd")
    path.write_bytes(graph.as_graph_def().SerializeToString())


def write_keras_frozen(path: Path, kernel: NDArray[np.float32]) -> None:
    """As guides freeze a Keras model: its nodes are called `x` and `Identity`."""
    from tensorflow.python.framework.convert_to_constants import (  # noqa: PLC0415
        convert_variables_to_constants_v2,
    )

    dense = keras.layers.Dense(CLASSES, activation="softmax")
    model = keras.Sequential([keras.Input((FEATURES,)), dense])
    model.set_weights([kernel, np.zeros(CLASSES)])
    function = tf.function(lambda x: model(x))  # noqa: PLW0108  its argument names the node
    signature = tf.TensorSpec((None, FEATURES), tf.float32)
    frozen = convert_variables_to_constants_v2(function.get_concrete_function(signature))
    graph = frozen.graph.as_graph_def()
    assert {"x", "Identity"} <= {node.name for node in graph.node}
    path.write_bytes(graph.SerializeToString())


def test_labels_are_tensorflows(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    generator = np.random.default_rng(8)
    samples: Float64 = generator.normal(0, 1, (QUERIES, FEATURES)).clip(-3.5, 3.5)
    np.save(tmp_path / "samples.npy", samples.astype(np.float32))
    folder = tmp_path / "models" / "2"
    folder.mkdir(parents=True)
    votes: list[NDArray[Any]] = []
    for party, write in enumerate((write_ours, write_keras_frozen)):
        kernel = generator.normal(0, 0.3, (FEATURES, CLASSES)).astype(np.float32)
        kernel[:, 700] += samples[0] / 2  # both see the class 700 in the first sample
        write(folder / f"{party}.pb", kernel)
        votes.append((samples.astype(np.float32) @ kernel).argmax(axis=1))
    settings = parse_settings(
        [
            *("--n_parties=2", f"--n_queries={QUERIES}", f"--batch_size={QUERIES}"),
            *("--sigma=0", "--launcher=subprocess", "--encryption_params=config/fast.json"),
            f"--checkpoint_dir={tmp_path / 'models'}",
            f"--dataset_path={tmp_path / 'samples.npy'}",
            f"--results_dir={tmp_path / 'results'}",
        ]
    )
    for party in (0, 1):  # here, where TensorFlow is loaded already: the run finds them prepared
        nodes = settings.input_node, settings.output_node
        prepare(folder / f"{party}.pb", *nodes, input_range=(-4.0, 4.0))
    assert run(settings) == 0
    table = pd.read_csv(tmp_path / "results" / "latest" / "queries.csv")
    assert table["label"].tolist() == np.minimum(*votes).tolist()  # one vote each: the lower class
    assert table["label"][0] == 700
    assert "[-4, 4] holds them and is assumed for every query" in capfd.readouterr().out
