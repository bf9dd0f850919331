"""The one place that imports TensorFlow and Keras: late, quietly, and set as this program needs.

What a user's other work has set for Keras (TF_USE_LEGACY_KERAS, KERAS_BACKEND, keras.json) would
change what is trained and read, or end it.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from capc.errors import ConfigError
from capc.files import home

# During the import; None is unset. Keras reads keras.json in KERAS_HOME, here an empty folder.
_SETTINGS: dict[str, str | None] = {
    "CUDA_VISIBLE_DEVICES": "-1",
    "KERAS_BACKEND": "tensorflow",
    "KERAS_MAX_EPOCHS": None,
    "KERAS_MAX_STEPS_PER_EPOCH": None,
    "TF_USE_LEGACY_KERAS": None,
}
_LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"
_TENSORFLOW, _JAX = "tensorflow", "jax"
_backends = [_TENSORFLOW]  # of this process's Keras; the last one holds


def load_tensorflow() -> Any:
    """The tensorflow module, on the CPU, with Keras 3. Takes seconds the first time.

    While it is imported, CUDA_VISIBLE_DEVICES, KERAS_BACKEND, KERAS_HOME and, where it is unset,
    TF_CPP_MIN_LOG_LEVEL are set and TF_USE_LEGACY_KERAS is not; afterwards these are what they
    were. A module that the process has imported before is returned as it is. Raises ConfigError
    where it is not installed or does not load.
    """
    loaded = sys.modules.get("tensorflow")
    if loaded is not None:
        return loaded
    try:
        with _settings_of_this_program(), _quiet_stderr(), _without_jax():
            tensorflow = importlib.import_module("tensorflow")
            _ = tensorflow.keras.layers  # loaded late otherwise, under the user's settings
            tensorflow.config.list_physical_devices()  # so is the list of graphics cards
            return tensorflow
    except (ImportError, OSError) as error:
        raise ConfigError(
            f"TensorFlow does not load ({error}); install it with: pip install tensorflow-cpu"
        ) from error


def load_keras() -> Any:
    """Keras 3 on TensorFlow, with its defaults: channels last, float32, epsilon 1e-7.

    They are set on every call, also where the process has imported Keras and set others. Raises
    ConfigError as `load_tensorflow` does, and where Keras already runs on another backend.

    In a process that has called `load_keras_on_jax`, it is Keras on JAX.
    """
    backend = _backends[-1]
    if backend == _TENSORFLOW:
        load_tensorflow()
    try:
        keras = sys.modules.get("keras") or _imported_keras()
    except (ImportError, OSError) as error:
        raise ConfigError(
            f"Keras does not load ({error}); install it with: pip install 'keras>=3'"
        ) from error
    config = keras.config
    if config.backend() != backend:
        raise ConfigError(
            f"Keras runs on {config.backend()} in this process; start it with "
            f"KERAS_BACKEND={backend}, or do this in a process of its own"
        )
    config.set_image_data_format("channels_last")
    config.set_floatx("float32")
    config.set_epsilon(1e-7)
    config.set_dtype_policy("float32")
    return keras


def load_keras_on_jax() -> Any:
    """Keras 3 on JAX, with the same defaults, for all that this process does with Keras from now.

    JAX finds the accelerators itself. Raises ConfigError where it is not installed, or where Keras
    already runs on another backend in this process.
    """
    if importlib.util.find_spec(_JAX) is None:
        raise ConfigError(
            "the vectorised trainer needs JAX: pip install 'capc[gpu]', or choose --trainer process"
        )
    _backends.append(_JAX)
    return load_keras()


def _imported_keras() -> Any:
    on_jax = {"CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES"), "KERAS_BACKEND": _JAX}
    with _settings_of_this_program(on_jax if _backends[-1] == _JAX else {}):
        return importlib.import_module("keras")


@contextmanager
def _settings_of_this_program(others: Mapping[str, str | None] = {}) -> Iterator[None]:
    """The environment and keras.json that this program needs, and afterwards those of the user.

    `others` are settings in the place of this module's.
    """
    is_first = "keras" not in sys.modules
    with tempfile.TemporaryDirectory(prefix="capc-keras-") as empty:
        settings = {**_SETTINGS, **others, "KERAS_HOME": empty}
        settings[_LOG_LEVEL] = os.environ.get(_LOG_LEVEL, "3")
        before = {name: os.environ.get(name) for name in settings}
        _set_environment(settings)
        try:
            yield
        finally:
            _set_environment(before)
    if is_first:
        _restore_keras_home()


def _set_environment(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _restore_keras_home() -> None:
    """Where Keras keeps downloads: its own rule, as it would have been without an empty folder."""
    config: Any = sys.modules.get("keras.src.backend.config")
    if not hasattr(config, "_KERAS_DIR"):
        return
    base = home()
    if base is None or not os.access(base, os.W_OK):
        base = Path("/tmp")  # noqa: S108  Keras's own choice
    config._KERAS_DIR = os.environ.get("KERAS_HOME", str(base / ".keras"))


@contextmanager
def _without_jax() -> Iterator[None]:
    """TensorFlow's converter for phones imports JAX where it is installed: a sixth of the time."""
    if _JAX in sys.modules:
        yield
        return
    sys.modules[_JAX] = None  # type: ignore[assignment]  # an import of it fails
    try:
        yield
    finally:
        del sys.modules[_JAX]


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
