# ruff: noqa: T201  a user's program prints
"""Sessions of many kinds in one process, each result printed as one JSON line."""

from __future__ import annotations

import json
import os
import socket
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ngraph_bridge
import numpy as np
import pyhe_client
import tensorflow as tf

from capc.errors import CapcError
from capc.transport.tls import Identity

tf1 = tf.compat.v1
SMALL = (
    '{"scheme_name": "HE_SEAL", "poly_modulus_degree": 8192, "security_level": 128, '
    '"coeff_modulus": [50, 30, 30, 30, 50], "complex_packing": %s}'
)


SERVER = np.array([[0.5, 1.0], [1.5, 2.0], [2.5, 3.0]])
DATA = tuple(np.arange(6) / 4)
ENCRYPTED = {"a": ("encrypt", DATA), "b:0": ("encrypt", DATA[::-1])}


def config(backend: str = "HE_SEAL", **parameters: str) -> Any:
    """A session's configuration for a back end, with he-transformer's parameters."""
    made = ngraph_bridge.update_config(tf1.ConfigProto(), backend_name=backend)
    optimizer = made.graph_options.rewrite_options.custom_optimizers[0]
    for name, value in parameters.items():
        optimizer.parameter_map[name].s = value.encode()
    return made


def report(name: str, compute: Callable[[], Any]) -> None:
    """Print a line of JSON: the name, and what was computed or why it was refused."""
    tf1.reset_default_graph()
    try:
        value: Any = np.asarray(compute()).tolist()
    except CapcError as error:
        value = {type(error).__name__: str(error)}
    print(json.dumps({name: value}), flush=True)


def tiny(made: Any, dtype: Any = tf.float32) -> Any:
    """The value of a * b - a + 1 on matrices of two by two."""
    a = tf1.placeholder(dtype, (2, 2), name="a")
    b = tf1.placeholder(dtype, (2, 2), name="b")
    with tf1.Session(config=made) as session:
        return session.run(a * b - a + 1.0, {a: [[1, 2], [3, 4]], b: [[5, 6], [7, 8]]})


def matrices() -> Any:
    """A matrix product, and slices, powers and sums, on two encrypted tensors."""
    a, b = (tf1.placeholder(tf.float32, (2, 3), name=name) for name in "ab")
    product = tf.matmul(a, b, transpose_b=True)
    rest = tf.reduce_sum(tf.concat([a, -b], axis=1)[:, ::2] ** 2 / 4.0, axis=1)
    made = config(a="encrypt", b="encrypt", encryption_parameters=SMALL % "false")
    values = np.arange(6).reshape(2, 3) / 3
    with tf1.Session(config=made) as session:
        feeds = {a: values, b: 1 - values}
        got = session.run({"product": product, "rest": [rest, tf.constant(5.0)]}, feeds)
    return [*got["product"].ravel(), *got["rest"][0], got["rest"][1]]


def packed(complex_packing: str) -> Any:
    """A layer and its softmax on five images that share ciphertexts."""
    x = tf1.placeholder(tf.float32, (None, 3), name="x")
    weights = tf1.Variable(np.arange(6, dtype=np.float32).reshape(3, 2) / 5)
    made = config(x="encrypt,packed", encryption_parameters=SMALL % complex_packing)
    with tf1.Session(config=made) as session:
        session.run(tf1.global_variables_initializer())
        images = np.arange(15).reshape(5, 3) / 15
        return session.run(tf.nn.softmax(tf.matmul(x, weights)), {x: images})


def with_relu() -> Any:
    """A network with an activation: no polynomial, so the mixed protocol runs."""
    x = tf1.placeholder(tf.float32, (None, 2), name="x")
    hidden = tf.nn.relu(tf.matmul(x, tf.constant([[1.0, -1.0], [0.5, 2.0]])))
    made = config(x="encrypt,packed", encryption_parameters=SMALL % "true")
    with tf1.Session(config=made) as session:
        return session.run(tf.matmul(hidden, tf.constant([[1.0], [1.0]])), {x: [[1, -1], [-1, 1]]})


def with_client(
    tensors: Mapping[str, Any],
    batch: int,
    host: str = "localhost",
    rows: int | None = None,
    before: Callable[[int], None] | None = None,
    **more: str,
) -> Any:
    """u * a + v * b - 1 + s, s an array of the server's, for a client in a thread.

    `before`, given the port, is done first in that thread.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    a, b = (tf1.placeholder(tf.float32, (rows, 2), name=name) for name in "ab")
    s = tf1.placeholder(tf.float32, (None, 2), name="s")
    result = a * np.array([2.0, 3.0], np.float32) + b * a - 1.0 + s
    both = {"a": "client_input,packed", "b": "client_input,packed"}
    made = config(**{**both, **more}, enable_client="True", port=str(port))

    def ask() -> Any:
        if before is not None:
            before(port)
        return pyhe_client.HESealClient(host, port, batch, tensors).get_results()

    return served(made, result, {s: SERVER}, ask)


def served(made: Any, result: Any, feeds: Mapping[Any, Any], ask: Callable[[], Any]) -> Any:
    """What a client in a thread gets, or what server and client are told."""
    with ThreadPoolExecutor(1) as pool:
        client = pool.submit(ask)
        try:
            with tf1.Session(config=made) as session:
                session.run(result, feeds)
        except CapcError as error:
            told = client.exception(timeout=60)
            return [f"{type(error).__name__}: {error}", f"{type(told).__name__}: {told}"]
        return client.result(timeout=60)


def vanishing() -> Any:
    """Weights below 2^-12 before an activation with an end, so that nothing can be raised."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    x = tf1.placeholder(tf.float32, (1, 4), name="x")
    result = tf.nn.relu6(tf.matmul(x, np.full((4, 3), 1e-4, np.float32)))
    made = config(x="client_input", enable_client="True", port=str(port))

    def ask() -> Any:
        data = {"x": ("encrypt", (1000.0,) * 4)}
        return pyhe_client.HESealClient("localhost", port, 1, data).get_results()

    return served(made, result, {x: np.zeros((1, 4))}, ask)


def over_tls(right: bool) -> Any:
    """With the server's certificate pinned, or with another one first: what that one was told."""
    with tempfile.TemporaryDirectory() as folder:
        identity, other = Identity.create("server"), Identity.create("other")
        key, certificate = Path(folder) / "key.pem", Path(folder) / "certificate.pem"
        key.write_bytes(identity._private_key + identity.certificate.encode())
        certificate.write_text(identity.certificate)
        wrong = Path(folder) / "wrong.pem"
        wrong.write_text(other.certificate)
        told: list[str] = []

        def ask_with_another(port: int) -> None:
            os.environ["CAPC_HE_SERVER_CERTIFICATE"] = str(wrong)
            try:
                pyhe_client.HESealClient("localhost", port, 3, ENCRYPTED).get_results()
            except CapcError as error:
                told.append(f"{type(error).__name__}: {error}")
            os.environ["CAPC_HE_SERVER_CERTIFICATE"] = str(certificate)

        os.environ["CAPC_HE_SERVER_KEY"] = str(key)
        os.environ["CAPC_HE_SERVER_CERTIFICATE"] = str(certificate)
        try:
            results = with_client(ENCRYPTED, 3, before=None if right else ask_with_another)
            return results if right else [*told, len(results)]
        finally:
            del os.environ["CAPC_HE_SERVER_KEY"], os.environ["CAPC_HE_SERVER_CERTIFICATE"]


def refused_operation() -> Any:
    """A cumulative sum, which is not computed on ciphertexts."""
    x, y = (tf1.placeholder(tf.float32, (2,), name=name) for name in "xy")
    with tf1.Session(config=config(x="encrypt", y="encrypt")) as session:
        return session.run(tf.cumsum(x * y), {x: [1, 2], y: [3, 4]})


def held() -> Any:
    """A constant that is encrypted: the graph gives its value."""
    x = tf1.placeholder(tf.float32, (2,), name="x")
    with tf1.Session(config=config(held="encrypt")) as session:
        return session.run(x * tf.constant([1.0, 2.0], name="held"), {x: [1, 2]})


def unfed() -> Any:
    """A placeholder that nothing is fed for."""
    x = tf1.placeholder(tf.float32, (2,), name="x")
    with tf1.Session(config=config(x="encrypt")) as session:
        return session.run(x * 2)


def untouched() -> Any:
    """A session without he-transformer's configuration: TensorFlow computes it."""
    with tf1.Session() as session:
        return session.run(tf.constant([1.0, 2.0]) * 3)


def switched_off() -> Any:
    """An encrypted tensor while the bridge is disabled: TensorFlow computes it."""
    ngraph_bridge.disable()
    try:
        return tiny(config(a="encrypt"))
    finally:
        ngraph_bridge.enable()


def names() -> Any:
    """Every public name of nGraph's bridge."""
    ngraph_bridge.set_backend("HE_SEAL")
    made = ngraph_bridge.update_config(tf1.ConfigProto())
    optimizer = made.graph_options.rewrite_options.custom_optimizers[0]
    found = [ngraph_bridge.get_backend(), optimizer.parameter_map["ngraph_backend"].s.decode()]
    ngraph_bridge.set_backend("CPU")
    ngraph_bridge.start_logging_placement()
    found.append(ngraph_bridge.is_logging_placement())
    ngraph_bridge.stop_logging_placement()
    ngraph_bridge.set_disabled_ops("")
    with ngraph_bridge.requested():
        found += [ngraph_bridge.is_logging_placement(), ngraph_bridge.get_disabled_ops().decode()]
    found += [tf.__version__ == ngraph_bridge.TF_VERSION, "CaPC" in ngraph_bridge.__version__]
    found += [ngraph_bridge.backends_len(), ngraph_bridge.cxx11_abi_flag() in {0, 1}]
    found += [ngraph_bridge.is_grappler_enabled(), ngraph_bridge.are_variables_enabled()]
    found += [ngraph_bridge.is_tf2_enabled(), ngraph_bridge.get_currently_set_backend_name()]
    return [str(value) for value in found]


report("names", names)
report("no_backend", lambda: ngraph_bridge.set_backend("GPU"))
report("disabled", lambda: ngraph_bridge.set_disabled_ops("Add"))
report("cpu", lambda: tiny(config("CPU", a="encrypt")))
report("plain", lambda: tiny(config()))
report("one", lambda: tiny(config(a="encrypt")))
report("both", lambda: tiny(config(a="encrypt", b="encrypt")))
report("matrices", matrices)
report("packed", lambda: packed("false"))
report("complex", lambda: packed("true"))
report("relu", with_relu)
report("operation", refused_operation)
report("untouched", untouched)
report("off", switched_off)
report("client", lambda: with_client(ENCRYPTED, 3))
report("client_plain", lambda: with_client({k: ("plain", d) for k, (_, d) in ENCRYPTED.items()}, 3))
report("client_half", lambda: with_client({**ENCRYPTED, "b:0": ("plain", DATA[::-1])}, 3))
report("client_tls", lambda: over_tls(True))
report("client_tls_other", lambda: over_tls(False))
report("client_names", lambda: with_client({"a": ("encrypt", DATA)}, 3))
report("client_count", lambda: with_client(ENCRYPTED, 4))
report("client_batch", lambda: with_client(ENCRYPTED, 2, rows=3))
ONE = SMALL.replace("8192", "2048").replace("50, 30, 30, 30, 50", "54") % "false"
report("client_levels", lambda: with_client(ENCRYPTED, 3, encryption_parameters=ONE))
report("client_vanishing", vanishing)
report(
    "client_far",
    lambda: pyhe_client.HESealClient("192.0.2.1", 1, 1, {"a": ("encrypt", DATA)}).get_results(),
)
report("client_kind", lambda: pyhe_client.HESealClient("localhost", 1, 1, {"a": ("secret", DATA)}))
report("masks", lambda: tiny(config(enable_gc="True", mask_gc_inputs="False")))
report("backend", lambda: tiny(config("GPU")))
report("setting", lambda: tiny(config(a="encrypted")))
report("held", held)
report("unfed", unfed)
report("port", lambda: tiny(config(port="99999")))
LEVEL_0 = (SMALL % "false").replace("128", "0")
report("level", lambda: tiny(config(encryption_parameters=LEVEL_0, a="encrypt")))
os.environ["CAPC_INSECURE"] = "1"
report("level_insecure", lambda: tiny(config(encryption_parameters=LEVEL_0, a="encrypt")))
report("masks_insecure", lambda: tiny(config(enable_gc="True", mask_gc_inputs="False")))
