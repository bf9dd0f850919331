"""he-transformer's server side for TensorFlow 2, on this project's engine.

Importing it before any graph is built turns eager execution off, puts back the few names of
TensorFlow 1 that he-transformer's programs use, and takes over `Session.run` of sessions whose
config carries the custom optimizer "ngraph-optimizer". See docs/he-transformer.md.
"""

from __future__ import annotations

from typing import Any

from capc.graph.tensorflow.loader import load_tensorflow
from capc.he_transformer.ngraph_bridge.session import install, is_enabled, set_enabled
from capc.he_transformer.ngraph_bridge.settings import BACKENDS

__all__ = ["disable", "enable", "is_enabled", "list_backends", "update_config"]

_TENSORFLOW_1 = (
    "ConfigProto",
    "GraphDef",
    "Session",
    "get_default_graph",
    "global_variables",
    "global_variables_initializer",
    "placeholder",
    "reset_default_graph",
)


def enable() -> None:
    """Take over sessions made from now on; the state after import."""
    set_enabled(True)


def disable() -> None:
    """Leave sessions made from now on to TensorFlow."""
    set_enabled(False)


def list_backends() -> list[str]:
    """What `ngraph_backend` may be."""
    return list(BACKENDS)


def update_config(config: Any, backend_name: str = "CPU", device_id: str = "") -> Any:
    """Put the optimizer into a ConfigProto, where it is not yet, and return it."""
    rewriting = config.graph_options.rewrite_options
    optimizers = [one for one in rewriting.custom_optimizers if one.name == "ngraph-optimizer"]
    optimizer = optimizers[0] if optimizers else rewriting.custom_optimizers.add()
    optimizer.name = "ngraph-optimizer"
    optimizer.parameter_map["ngraph_backend"].s = backend_name.encode()
    optimizer.parameter_map["device_id"].s = device_id.encode()
    return config


def _prepare() -> None:
    tensorflow = load_tensorflow()
    tensorflow.compat.v1.disable_eager_execution()
    for name in _TENSORFLOW_1:
        if not hasattr(tensorflow, name):
            setattr(tensorflow, name, getattr(tensorflow.compat.v1, name))
    install()


_prepare()
