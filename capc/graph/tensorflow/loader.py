"""The one place that imports TensorFlow: late, and without its start-up lines."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from capc.errors import ConfigError


def load_tensorflow() -> Any:
    """The tensorflow module, on the CPU. Takes seconds the first time.

    Raises ConfigError where it is not installed or does not load.
    """
    loaded = sys.modules.get("tensorflow")
    if loaded is not None:
        return loaded
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    try:
        with _quiet_stderr():
            return importlib.import_module("tensorflow")
    except (ImportError, OSError) as error:
        raise ConfigError(
            f"TensorFlow does not load ({error}); install it with: pip install tensorflow-cpu"
        ) from error


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Send file descriptor 2 to a scratch file: C++ writes there before any log level applies."""
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        with tempfile.TemporaryFile() as scratch:
            os.dup2(scratch.fileno(), 2)
            yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
