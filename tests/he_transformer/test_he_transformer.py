"""Programs as they were written for he-transformer, server and client as processes of their own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from capc.graph.float_reference import evaluate_float
from capc.graph.tensorflow.importer import import_network
from capc.graph.tensorflow.loader import load_tensorflow
from capc.he_transformer.link import REFUSALS

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(__file__).resolve().parent / "programs"
CONFIG = ROOT / "config"


def environment(**more: str) -> dict[str, str]:
    paths = [str(ROOT / "capc" / "he_transformer"), str(ROOT)]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CAPC_")}
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join(paths),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        **more,
    }


def start(program: str, *arguments: str, **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(PROGRAMS / program), *arguments],
        env=environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def outcome(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    try:
        output, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    return process.returncode, output, errors


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return str(listener.getsockname()[1])


def numbers(line: str) -> Any:
    return np.array(json.loads(line.split(":", 1)[1].replace("nan", "NaN")))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "images.npy"
    np.save(path, np.random.default_rng(0).uniform(0, 1, (5, 8, 8, 1)).astype(np.float32))
    return path


def frozen(path: Path, activation: str) -> Path:
    """A small CryptoNets, with squares or ReLU, under the names that the programs expect."""
    tf = load_tensorflow()
    generator = np.random.default_rng(1)

    def weights(*shape: int) -> Any:
        return generator.normal(0, 0.3, shape).astype(np.float32)

    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, (None, 8, 8, 1), name="input")
        y = tf.nn.bias_add(tf.nn.conv2d(x, weights(3, 3, 1, 2), 2, "SAME"), weights(2))
        y = y * y if activation == "square" else tf.nn.relu(y)
        y = tf.matmul(tf.reshape(y, [-1, 32]), weights(32, 6)) + weights(6)
        y = y * y if activation == "square" else tf.nn.relu(y)
        tf.nn.bias_add(tf.matmul(y, weights(6, 4)), weights(4), name="output/BiasAdd")
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return path


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return frozen(tmp_path_factory.mktemp("model") / "squares.pb", "square")


@pytest.fixture(scope="module")
def relus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return frozen(tmp_path_factory.mktemp("model") / "relus.pb", "relu")


def expected(model: Path, images: Path) -> Any:
    return evaluate_float(import_network(model), np.load(images))


def test_tiny_graph_with_a_client() -> None:
    port = free_port()
    server = start(
        "tiny_server.py", "--enable_client", "True", "--port", port,
        NGRAPH_HE_LOG_LEVEL="3", NGRAPH_HE_VERBOSE_OPS="add,total",
    )  # fmt: skip
    client = start("tiny_client.py", port, "encrypt")
    status, output, errors = outcome(client)
    served, printed, trouble = outcome(server)
    assert (status, served) == (0, 0), errors + trouble
    results = json.loads(output.removeprefix("results "))
    np.testing.assert_allclose(results, [6, 12, 18, 24], atol=0.01)
    assert "[[nan, nan, nan, nan]]" in printed  # the server has no results to print
    assert "Add_0 took" in printed
    assert "Total time" in printed
    assert "Dot_0 took" not in printed
    assert "poly_modulus_degree: 8192" in printed


@pytest.mark.parametrize("kind", ["squares", "relus"])
def test_classifier_with_a_client(
    kind: str, images: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Squares: CKKS alone. ReLU: the mixed protocol, both masks on."""
    model = request.getfixturevalue(kind)
    port, flags = free_port(), ["--enable_client", "True"]
    if kind == "relus":
        flags += ["--enable_gc", "True", "--mask_gc_inputs", "True", "--mask_gc_outputs", "True"]
        parameters = CONFIG / "he_seal_ckks_config_N13_L5_gc.json"
    else:
        parameters = CONFIG / "he_seal_ckks_config_N13_L8.json"
    server = start(
        "classifier_server.py", *flags, "--port", port, "--model_file", str(model),
        "--data", str(images), "--encryption_parameters", str(parameters),
    )  # fmt: skip
    client = start("classifier_client.py", port, str(images), str(tmp_path / "results.npy"))
    status, _, errors = outcome(client)
    served, printed, trouble = outcome(server)
    assert (status, served) == (0, 0), errors + trouble
    results = np.load(tmp_path / "results.npy")
    np.testing.assert_allclose(results, expected(model, images), atol=0.01)
    assert np.all(np.isnan(numbers(printed.strip().splitlines()[-1])))


def test_activations_are_not_shown_by_default(relus: Path, images: Path, tmp_path: Path) -> None:
    """The flags as he-transformer's own client-server example gives them."""
    port = free_port()
    server = start(
        "classifier_server.py", "--enable_client", "True", "--port", port, "--model_file",
        str(relus), "--data", str(images),
    )  # fmt: skip
    client = start("classifier_client.py", port, str(images), str(tmp_path / "results.npy"))
    status, _, errors = outcome(client)
    served, _, trouble = outcome(server)
    assert status != 0 and served != 0
    assert "is no polynomial and enable_gc is False" in trouble
    assert "CAPC_INSECURE=1" in trouble
    assert REFUSALS["activations"] in errors
    assert "layer '" in trouble and "layer '" not in errors


def test_encrypt_server_data(squares: Path, images: Path) -> None:
    arguments = (
        "--encrypt_server_data", "True", "--model_file", str(squares), "--data", str(images),
        "--encryption_parameters", str(CONFIG / "he_seal_ckks_config_N13_L8.json"),
    )  # fmt: skip
    status, output, errors = outcome(start("classifier_server.py", *arguments))
    assert status == 0, errors
    results = numbers(output.strip().splitlines()[-1])
    np.testing.assert_allclose(results, expected(squares, images), atol=0.01)
    assert np.abs(results - expected(squares, images)).max() > 1e-6  # it was encrypted


@pytest.fixture(scope="module")
def scenarios() -> dict[str, Any]:
    status, output, errors = outcome(start("scenarios.py"))
    assert status == 0, errors
    found: dict[str, Any] = {}
    for line in output.splitlines():
        found.update(json.loads(line))
    return found


A, B = np.array([[1, 2], [3, 4]]), np.array([[5, 6], [7, 8]])
V = np.arange(6).reshape(2, 3) / 3
TWO = A * B - A + 1.0


@pytest.mark.parametrize("name", ["cpu", "plain", "one", "both", "off", "level_insecure"])
def test_arithmetic(scenarios: dict[str, Any], name: str) -> None:
    np.testing.assert_allclose(scenarios[name], TWO, atol=0.01)


@pytest.mark.parametrize("name", ["one", "both"])
def test_arithmetic_was_encrypted(scenarios: dict[str, Any], name: str) -> None:
    assert np.abs(np.array(scenarios[name]) - TWO).max() > 1e-7


def test_products_of_two_encrypted_matrices(scenarios: dict[str, Any]) -> None:
    rest = (np.concatenate([V, V - 1], axis=1)[:, ::2] ** 2 / 4).sum(axis=1)
    want = [*(V @ (1 - V).T).ravel(), *rest, 5.0]
    np.testing.assert_allclose(scenarios["matrices"], want, atol=0.01)


@pytest.mark.parametrize("name", ["packed", "complex"])
def test_softmax_of_a_packed_batch(scenarios: dict[str, Any], name: str) -> None:
    logits = np.arange(15).reshape(5, 3) / 15 @ (np.arange(6).reshape(3, 2) / 5)
    want = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(scenarios[name], want, atol=0.001)


D, E = np.arange(6).reshape(3, 2) / 4, (np.arange(6) / 4)[::-1].reshape(3, 2)
SERVED = np.array([[0.5, 1.0], [1.5, 2.0], [2.5, 3.0]])


@pytest.mark.parametrize("name", ["client", "client_half", "client_plain", "client_tls"])
def test_two_tensors_of_a_client_and_one_of_the_server(
    scenarios: dict[str, Any], name: str
) -> None:
    want = (D * [2.0, 3.0] + E * D - 1.0 + SERVED).ravel()
    error = np.abs(np.array(scenarios[name]) - want).max()
    assert error < 0.02
    assert (error > 1e-5) == (name != "client_plain")


@pytest.mark.parametrize(
    ("name", "words", "told"),
    [
        ("client_names", "the graph takes b from it", REFUSALS["names"]),
        ("client_count", "in a batch of 4 do not fit", REFUSALS["sizes"]),
        (
            "client_batch",
            "batch size is 2, and none of its tensors has so many rows",
            REFUSALS["sizes"],
        ),
        ("client_levels", "has no prime for keys", "its own log says why"),
        ("client_vanishing", "results would be off by up to 0.4", "its own log says why"),
    ],
)
def test_the_server_knows_why_and_the_client_of_which_kind(
    scenarios: dict[str, Any], name: str, words: str, told: str
) -> None:
    """What the client is told is a fixed text: no bound, no layer, no shape of the server's."""
    server, client = scenarios[name]
    assert words in server
    assert server.split(":")[0] in {"RefusedError", "ConfigError"}
    assert client.startswith("ProtocolError: the server refuses: ")
    assert client.endswith(told)


def test_a_client_with_another_certificate_is_dropped_and_the_right_one_served(
    scenarios: dict[str, Any],
) -> None:
    told, results = scenarios["client_tls_other"]
    assert told.startswith("ProtocolError") and "does not hold the certificate" in told
    assert int(results) == 6


def test_relu_where_the_key_is_at_hand(scenarios: dict[str, Any]) -> None:
    x = np.array([[1, -1], [-1, 1]]) @ np.array([[1.0, -1.0], [0.5, 2.0]])
    want = np.maximum(x, 0).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(scenarios["relu"], want, atol=0.001)


def test_an_encrypted_constant(scenarios: dict[str, Any]) -> None:
    np.testing.assert_allclose(scenarios["held"], [1, 4], atol=0.001)


def test_the_public_names_of_the_bridge(scenarios: dict[str, Any]) -> None:
    assert scenarios["names"] == [
        "HE_SEAL", "HE_SEAL", "True", "False", "", "True", "True", "2", "True", "True", "False",
        "False", "CPU",
    ]  # fmt: skip


def test_other_sessions_are_left_alone(scenarios: dict[str, Any]) -> None:
    assert scenarios["untouched"] == [3.0, 6.0]


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("operation", "ModelError", ["Cumsum", "supported are", "MatMul"]),
        ("no_backend", "ConfigError", ["'GPU'", "HE_SEAL"]),
        ("disabled", "ConfigError", ["'Add'", "disable()"]),
        ("masks", "ConfigError", ["mask_gc_inputs is False", "CAPC_INSECURE=1"]),
        ("client_far", "ConfigError", ["another machine", "CAPC_HE_SERVER_CERTIFICATE"]),
        ("client_kind", "ConfigError", ["'secret'", "'plain'"]),
        ("backend", "ConfigError", ["ngraph_backend is 'GPU'"]),
        ("setting", "ConfigError", ["'encrypted'", "client_input"]),
        ("unfed", "ConfigError", ["'x' is to be encrypted", "name a placeholder"]),
        ("port", "ConfigError", ["99999"]),
        ("level", "ConfigError", ["security_level is 0", "CAPC_INSECURE=1"]),
    ],
)
def test_refusals(scenarios: dict[str, Any], name: str, kind: str, words: list[str]) -> None:
    assert list(scenarios[name]) == [kind]
    for word in words:
        assert word in scenarios[name][kind]


def test_masks_under_the_insecure_switch(scenarios: dict[str, Any]) -> None:
    np.testing.assert_allclose(scenarios["masks_insecure"], TWO)
