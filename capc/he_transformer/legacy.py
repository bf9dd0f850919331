"""he-transformer's training scripts on TensorFlow 2: what they call and newer releases removed.

    python -m capc.he_transformer.legacy train.py --epochs 20

runs a script as it is; or a script imports this module before TensorFlow. It needs the package
tf_keras (Keras 2) of TensorFlow's own version. docs/he-transformer.md lists what it puts back.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from capc.errors import CapcError, ConfigError

GRAPH_UTIL = (
    "convert_variables_to_constants",
    "extract_sub_graph",
    "must_run_on_cpu",
    "remove_training_nodes",
    "tensor_shape_from_node_def_name",
)
SESSIONS = ("clear_session", "get_session", "set_session")
OPTIMIZERS = ("Adadelta", "Adagrad", "Adam", "Adamax", "Ftrl", "Nadam", "RMSprop", "SGD")
TENSORFLOW_1 = (
    "ConfigProto",
    "GraphDef",
    "Session",
    "get_default_graph",
    "get_default_session",
    "gfile",
    "global_variables",
    "global_variables_initializer",
    "logging",
    "placeholder",
    "reset_default_graph",
    "set_random_seed",
    "trainable_variables",
)


def restore() -> None:
    """Graphs and sessions instead of eager execution, Keras 2 as tf.keras, the removed names.

    Safe to call twice. ConfigError where tf_keras is missing, or Keras 3 is in use already.
    """
    if importlib.util.find_spec("tf_keras") is None:
        raise ConfigError(
            "the training scripts need Keras 2, in the package tf_keras of TensorFlow's version: "
            "pip install tf_keras"
        )
    if "keras" in sys.modules and os.environ.get("TF_USE_LEGACY_KERAS") != "1":
        raise ConfigError(
            "Keras 3 is in use already: import capc.he_transformer.legacy before TensorFlow, or "
            "run the script by python -m capc.he_transformer.legacy"
        )
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    tensorflow: Any = importlib.import_module("tensorflow")
    keras: Any = importlib.import_module("tf_keras")
    tensorflow.compat.v1.disable_eager_execution()
    old = tensorflow.compat.v1
    _put(tensorflow, old, TENSORFLOW_1)
    for place in (tensorflow.graph_util, "tensorflow.python.framework.graph_util"):
        module = importlib.import_module(place) if isinstance(place, str) else place
        _put(module, old.graph_util, GRAPH_UTIL)
    first_keras: Any = importlib.import_module("tf_keras.api._v1.keras")
    for package in ("tf_keras", "tensorflow.keras"):  # modules of their own, of the same content
        _put(importlib.import_module(f"{package}.backend"), first_keras.backend, SESSIONS)
        optimizers = importlib.import_module(f"{package}.optimizers")
        for name in OPTIMIZERS:
            setattr(optimizers, name, getattr(keras.optimizers.legacy, name))
    if not hasattr(old, "keras"):
        old.keras = first_keras


def _put(module: ModuleType, source: Any, names: Sequence[str]) -> None:
    for name in names:
        if not hasattr(module, name):
            setattr(module, name, getattr(source, name))


def main(arguments: Sequence[str]) -> int:
    """Run a script, with its own arguments, after restore(). Returns the exit status."""
    if not arguments or arguments[0] in {"-h", "--help"}:
        sys.stdout.write(f"{__doc__}\n")
        return 0 if arguments else 2
    try:
        restore()
    except CapcError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    sys.argv = list(arguments)
    sys.path.insert(0, str(Path(arguments[0]).resolve().parent))
    runpy.run_path(arguments[0], run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
else:
    restore()
