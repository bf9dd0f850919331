"""The one place that imports onnx and onnxruntime: late, as only who reads such a model needs them.

They are an extra of this package. Neither imports TensorFlow.
"""

from __future__ import annotations

import importlib
from typing import Any

from capc.errors import ConfigError

_INSTALL = "pip install 'capc[onnx]'"
_FATAL = 4  # onnxruntime's log level: what goes wrong is raised as well


def load_onnx() -> Any:
    """The onnx module, with those of its parts that are used here. Raises ConfigError without."""
    try:
        for part in ("checker", "defs", "external_data_helper", "inliner", "numpy_helper"):
            importlib.import_module(f"onnx.{part}")
        return importlib.import_module("onnx")
    except (ImportError, OSError) as error:
        raise _missing("onnx", error) from error


def load_onnxruntime() -> Any:
    """The onnxruntime module, silent. Raises ConfigError where it is not installed."""
    try:
        runtime = importlib.import_module("onnxruntime")
    except (ImportError, OSError) as error:
        raise _missing("onnxruntime", error) from error
    runtime.set_default_logger_severity(_FATAL)
    return runtime


def _missing(package: str, error: Exception) -> ConfigError:
    return ConfigError(
        f"an ONNX model needs the package {package}, which does not load "
        f"({type(error).__name__}: {error}); install it with: {_INSTALL}"
    )
