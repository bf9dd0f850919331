"""he-transformer's server side for TensorFlow 2, on this project's engine.

Importing it before any graph is built turns eager execution off, puts back the few names of
TensorFlow 1 that he-transformer's programs use, and takes over `Session.run` of sessions whose
config carries the custom optimizer "ngraph-optimizer". See docs/he-transformer.md.

What nGraph's own bridge asks of its C++ library is answered here for this engine.
"""

from __future__ import annotations

from typing import Any

from capc.errors import ConfigError
from capc.graph.tensorflow.loader import load_tensorflow
from capc.he_transformer.ngraph_bridge.session import install, is_enabled, set_enabled
from capc.he_transformer.ngraph_bridge.settings import BACKENDS, OPTIMIZER
from capc.machine import package_version

__all__ = [
    "TF_GIT_VERSION",
    "TF_GIT_VERSION_BUILT_WITH",
    "TF_VERSION",
    "TF_VERSION_NEEDED",
    "__version__",
    "are_variables_enabled",
    "backends_len",
    "cxx11_abi_flag",
    "disable",
    "enable",
    "get_backend",
    "get_currently_set_backend_name",
    "get_disabled_ops",
    "is_enabled",
    "is_grappler_enabled",
    "is_logging_placement",
    "is_tf2_enabled",
    "list_backends",
    "requested",
    "set_backend",
    "set_disabled_ops",
    "start_logging_placement",
    "stop_logging_placement",
    "update_config",
]

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

_tensorflow = load_tensorflow()
TF_VERSION: str = _tensorflow.version.VERSION
TF_GIT_VERSION: str = _tensorflow.version.GIT_VERSION
TF_VERSION_NEEDED: str = TF_VERSION
"""The version that runs: this bridge is built for none."""
TF_GIT_VERSION_BUILT_WITH: str = TF_GIT_VERSION


def enable() -> None:
    """Take over sessions made from now on; the state after import."""
    set_enabled(True)


def disable() -> None:
    """Leave sessions made from now on to TensorFlow."""
    set_enabled(False)


def list_backends() -> list[str]:
    """What `ngraph_backend` may be."""
    return list(BACKENDS)


def backends_len() -> int:
    """How many there are."""
    return len(BACKENDS)


_backend = "CPU"
_logs_placement = False
_disabled_operations = ""


def set_backend(backend: str) -> None:
    """The backend of configs that update_config() is not told another for.

    ConfigError for one that list_backends() does not name. A session's config decides.
    """
    if backend not in BACKENDS:
        raise ConfigError(f"the backend {backend!r} is not there; allowed are {list_backends()}")
    globals()["_backend"] = backend


def get_currently_set_backend_name() -> str:
    """What set_backend() was last given; "CPU" before."""
    return _backend


get_backend = get_currently_set_backend_name


def start_logging_placement() -> None:
    """Remembered, and nothing more: NGRAPH_HE_LOG_LEVEL says what is printed here."""
    globals()["_logs_placement"] = True


def stop_logging_placement() -> None:
    """See start_logging_placement()."""
    globals()["_logs_placement"] = False


def is_logging_placement() -> bool:
    """Whether start_logging_placement() was called last."""
    return _logs_placement


def cxx11_abi_flag() -> int:
    """That of TensorFlow; nothing here is linked against it."""
    return int(_tensorflow.sysconfig.CXX11_ABI_FLAG)


def is_grappler_enabled() -> bool:
    """True: sessions are taken over through their config, as with nGraph's Grappler build."""
    return True


def are_variables_enabled() -> bool:
    """False: variables are TensorFlow's; their values are taken when a session runs."""
    return False


def is_tf2_enabled() -> bool:
    """False: programs run in graphs and sessions."""
    return False


def set_disabled_ops(unsupported_ops: str) -> None:
    """Refused, unless empty: an operation on encrypted data cannot be left to TensorFlow."""
    if unsupported_ops:
        raise ConfigError(
            f"set_disabled_ops({unsupported_ops!r}): operations on encrypted data cannot be left "
            "to TensorFlow; use ngraph_bridge.disable() to compute in the clear"
        )


def get_disabled_ops() -> bytes:
    """None, as a string between commas, in bytes as nGraph's bridge returned it."""
    return _disabled_operations.encode()


def requested() -> Any:
    """A context that changes nothing: what is encrypted follows from a session's config."""
    return _tensorflow.name_scope("")


def update_config(config: Any, backend_name: str = "", device_id: str = "") -> Any:
    """Put the optimizer into a ConfigProto, where it is not yet, and return it.

    Without a name the backend is that of set_backend(). One that is there is set anew.
    """
    rewriting = config.graph_options.rewrite_options
    optimizers = [one for one in rewriting.custom_optimizers if one.name == OPTIMIZER]
    optimizer = optimizers[0] if optimizers else rewriting.custom_optimizers.add()
    optimizer.name = OPTIMIZER
    optimizer.parameter_map["ngraph_backend"].s = (backend_name or _backend).encode()
    optimizer.parameter_map["device_id"].s = device_id.encode()
    return config


def _prepare() -> None:
    _tensorflow.compat.v1.disable_eager_execution()
    for name in _TENSORFLOW_1:
        if not hasattr(_tensorflow, name):
            setattr(_tensorflow, name, getattr(_tensorflow.compat.v1, name))
    install()


__version__ = (
    f"nGraph bridge version: CaPC {package_version('capc') or 'not installed'}\n"
    "nGraph version used for this build: none\n"
    f"TensorFlow version used for this build: {TF_GIT_VERSION_BUILT_WITH}\n"
    f"CXX11_ABI flag used for this build: {cxx11_abi_flag()}\n"
    f"nGraph bridge built with Grappler: {is_grappler_enabled()}\n"
    f"nGraph bridge built with Variables and Optimizers Enablement: {are_variables_enabled()}"
)

_prepare()
