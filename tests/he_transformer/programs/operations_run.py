# ruff: noqa: T201  it prints its findings
"""Cases of operations.py in one process: what came out, one JSON line each.

The arguments are a port, and a JSON object from the kind of session to its cases.
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ngraph_bridge
import numpy as np
import pyhe_client
import tensorflow as tf

from capc.errors import CapcError

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from operations import CASES

tf1 = tf.compat.v1
PARAMETERS = (
    '{"scheme_name": "HE_SEAL", "poly_modulus_degree": 2048, "security_level": 0, '
    '"coeff_modulus": [55, 30, 30, 30, 30, 30, 55], "scale": 1073741824}'
)
MIXED = (
    '{"scheme_name": "HE_SEAL", "poly_modulus_degree": 2048, "security_level": 0, '
    '"coeff_modulus": [60, 60, 60]}'
)


def session(**parameters: str) -> Any:
    """A session under the bridge."""
    config = ngraph_bridge.update_config(tf1.ConfigProto(), backend_name="HE_SEAL")
    optimizer = config.graph_options.rewrite_options.custom_optimizers[0]
    for name, value in parameters.items():
        optimizer.parameter_map[name].s = value.encode()
    return tf1.Session(config=config)


def evaluated(name: str, kind: str, port: int) -> tuple[Any, Any]:
    """What TensorFlow computes, and what comes out here."""
    shape, make = CASES[name]
    data = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    tf1.reset_default_graph()
    static = [None, *shape[1:]] if "rest" in name else shape
    x = tf1.placeholder(tf.float32, static, name="x")
    y = make(x)
    with tf1.Session() as plain:
        want = plain.run(y, {x: data})
    setting = ",packed" if kind.endswith("packed") else ""
    if kind.startswith("local"):
        with session(x="encrypt" + setting, encryption_parameters=PARAMETERS) as mine:
            return want, mine.run(y, {x: data})

    def ask() -> Any:
        rows = shape[0]
        client = pyhe_client.HESealClient("localhost", port, rows, {"x": ("encrypt", data)})
        return client.get_results()

    with ThreadPoolExecutor(1) as pool:
        mixed = name.startswith(MIXED_CASES)
        with session(
            x="client_input" + setting,
            enable_client="True",
            port=str(port),
            encryption_parameters=MIXED if mixed else PARAMETERS,
            enable_gc="True" if mixed else "",
        ) as mine:
            if name in WITHOUT_CLIENT:
                return want, mine.run(y, {x: data})
            asked = pool.submit(ask)
            served = mine.run(y, {x: data})
        if not np.all(np.isnan(served)):
            return want, served
        assert served.shape == want.shape, (served.shape, want.shape)
        return want, np.array(asked.result(60)).reshape(want.shape)


WITHOUT_CLIENT = ("constant_alone",)
"""What needs nothing of a client: nobody listens, and one that asked would wait for a minute."""
MIXED_CASES = ("relu", "bounded", "max", "min", "concat_relu")


def outcome(name: str, kind: str, port: int) -> str:
    """Right, wrong, refused, or an exception that no user should see."""
    try:
        want, got = evaluated(name, kind, port)
    except CapcError as error:
        return f"refused: {error}"
    except Exception as error:
        return f"raw: {type(error).__name__}: {error}"
    if np.shape(want) != np.shape(got):
        return f"wrong shape: {np.shape(got)} for {np.shape(want)}"
    off, largest = float(np.abs(want - got).max()), float(np.abs(want).max())
    return "right" if off < 0.02 * min(largest, 1) else f"wrong: off by {off:.3g} of {largest:.3g}"


if __name__ == "__main__":
    for kind, cases in json.loads(sys.argv[2]).items():
        for case in cases:
            print(json.dumps([kind, case, outcome(case, kind, int(sys.argv[1]))]), flush=True)
