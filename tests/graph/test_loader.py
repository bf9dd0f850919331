"""The one import of TensorFlow and Keras: whatever a user's other work has set for them."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from capc.errors import ConfigError
from capc.graph.tensorflow.loader import _restore_keras_home, load_keras

ROOT = Path(__file__).parents[2]

CHECKS = """
import os
from pathlib import Path
before = dict(os.environ)
import numpy as np
from capc.graph.tensorflow.importer import import_network
from capc.graph.tensorflow.loader import load_keras, load_tensorflow
tf, keras = load_tensorflow(), load_keras()
theirs = ("TF2_", "TPU_", "ENABLE_RUNTIME_", "HDF5_")  # what TensorFlow and Keras leave there
left = {name for name, value in os.environ.items() if before.get(name) != value}
assert set(before) <= set(os.environ)
assert all(name.startswith(theirs) for name in left), left
assert keras.__version__.startswith("3"), keras.__version__
assert keras.config.backend() == "tensorflow"
assert keras.config.image_data_format() == "channels_last"
assert keras.config.floatx() == keras.config.dtype_policy().name == "float32"
assert keras.config.epsilon() == 1e-7
layers = keras.layers
images = keras.Input((6, 6, 1))
x = layers.BatchNormalization()(layers.Conv2D(3, 3, strides=2, activation="relu")(images))
x = layers.Dense(4)(layers.Flatten()(x))
model = keras.Model(images, x)
assert model.layers[2].epsilon == 1e-3
model.save("saved.keras")
assert import_network(Path("saved.keras")).output.shape == (4,)
"""

TRAINS = """
from capc.learning.architectures import build_model
model = build_model("cryptonets-relu", (28, 28, 1), 10)
with tf.GradientTape() as tape:
    loss = tf.reduce_sum(model(np.ones((2, 28, 28, 1), np.float32), training=True))
gradients = tape.gradient(loss, model.trainable_variables)
assert all(gradient.dtype == tf.float32 for gradient in gradients)
"""


def run(code: str, home: Path, **settings: str) -> str:
    """Run `code` in a fresh process with its own home; returns what it wrote to stderr."""
    environment = {name: value for name, value in os.environ.items() if "KERAS" not in name}
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
    environment.pop("CUDA_VISIBLE_DEVICES", None)
    environment |= {"HOME": str(home), "PYTHONPATH": str(ROOT)} | settings
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=home,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


NO_JAX = """
import importlib.util, sys
from capc.graph.tensorflow.loader import load_tensorflow
load_tensorflow()
assert "jax" not in sys.modules  # which TensorFlow imports otherwise, for a second
assert importlib.util.find_spec("jax") is not None
"""

FOLDER = """
from keras.src.backend.config import keras_home
assert keras_home() == {!r}, keras_home()
"""
"""What Keras downloads for a user's program goes where it would without this library."""

KERAS_FILES = {
    "other": {"image_data_format": "channels_first", "floatx": "float64", "epsilon": 0.1},
    "broken": {"backend": "theano", "floatx": "float8", "epsilon": "small"},
}


@pytest.mark.parametrize("name", KERAS_FILES)
def test_no_setting_of_keras_changes_reading_or_training(tmp_path: Path, name: str) -> None:
    folder = tmp_path / (".keras" if name == "other" else "k")
    folder.mkdir()
    (folder / "keras.json").write_text(json.dumps(KERAS_FILES[name]))
    said = run(
        NO_JAX + CHECKS + TRAINS + FOLDER.format(str(folder) if name == "other" else "k"),
        tmp_path,
        **({} if name == "other" else {"KERAS_HOME": "k"}),
        TF_USE_LEGACY_KERAS="1",
        KERAS_BACKEND="theano",
        KERAS_MAX_EPOCHS="none",
    )
    assert said == ""
    assert json.loads((folder / "keras.json").read_text()) == KERAS_FILES[name]
    assert [entry.name for entry in folder.iterdir()] == ["keras.json"]


def test_a_process_that_has_imported_tensorflow_itself(tmp_path: Path) -> None:
    """Its tf.keras stays what it was; its Keras 3 is set to what is needed here."""
    own = "import tensorflow, keras\nkeras.config.set_image_data_format('channels_first')\n"
    own += "keras.config.set_dtype_policy('mixed_float16')\n"
    run(own + CHECKS + TRAINS, tmp_path, TF_USE_LEGACY_KERAS="1", KERAS_BACKEND="tensorflow")


def test_keras_on_another_backend_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_keras().config, "backend", lambda: "jax")
    with pytest.raises(ConfigError, match=r"jax in this process.*KERAS_BACKEND=tensorflow"):
        load_keras()


def test_keras_keeps_its_own_folder_where_there_is_no_home(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def absent(_: int) -> None:
        raise KeyError

    load_keras()
    config = importlib.import_module("keras.src.backend.config")
    monkeypatch.setattr(config, "_KERAS_DIR", "the empty folder of the import")
    for name in ("HOME", "KERAS_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", absent)
    _restore_keras_home()
    assert config.keras_home() == "/tmp/.keras"
