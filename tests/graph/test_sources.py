"""Model files of every kind: which loader reads them, and which of their nodes are taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_import import dense, tf, weights, write_graph

from capc.errors import ModelError
from capc.graph.float_reference import evaluate_float
from capc.graph.tensorflow.importer import import_network
from capc.graph.tensorflow.loader import load_keras
from capc.graph.tensorflow.logits import tensorflow_logits

keras = load_keras()
L = keras.layers


def small(classes: int = 4) -> Any:
    flat = [keras.Input((3, 2, 1)), L.Flatten(), L.Dense(5, activation="relu"), L.Dense(classes)]
    return keras.Sequential(flat)


def frozen_by_keras(path: Path) -> None:
    """As the usual recipe writes it: the nodes x and Identity, and a NoOp that nobody takes."""
    from tensorflow.python.framework.convert_to_constants import (  # noqa: PLC0415
        convert_variables_to_constants_v2,
    )

    model = small()
    function = tf.function(model)
    concrete = function.get_concrete_function(tf.TensorSpec((None, 3, 2, 1), tf.float32, name="x"))
    graph = convert_variables_to_constants_v2(concrete).graph.as_graph_def()
    assert {"x", "Identity"} <= {node.name for node in graph.node}
    path.write_bytes(graph.SerializeToString())


def agrees(path: Path, run: Any = None) -> None:
    network = import_network(path)
    images = np.random.default_rng(2).uniform(0, 1, (3, *network.input.shape)).astype(np.float32)
    logits = evaluate_float(network, images)
    names = "import/input:0", "import/output/BiasAdd:0"
    np.testing.assert_allclose(tensorflow_logits(path, *names, images), logits, atol=1e-5)
    if run is not None:
        np.testing.assert_allclose(np.asarray(run(images)), logits, atol=1e-5)


def test_a_graph_with_other_names_is_read_without_flags(tmp_path: Path) -> None:
    frozen_by_keras(tmp_path / "1.pb")
    agrees(tmp_path / "1.pb")


def write(path: Path, build: Any) -> None:
    with tf.Graph().as_default() as graph:
        build()
    path.write_bytes(graph.as_graph_def().SerializeToString())


def placeholder(name: str, shape: Any = (None, 6), kind: Any = None) -> Any:
    return tf.compat.v1.placeholder(kind or tf.float32, shape, name=name)


def test_what_does_not_belong_to_the_classifier_is_no_candidate(tmp_path: Path) -> None:
    def build() -> None:
        x = placeholder("images")
        placeholder("labels", (None,), tf.int32)
        placeholder("rate", ())
        tf.constant(weights(3), name="left")
        tf.identity(tf.constant(1.0), name="left_too")
        tf.compat.v1.summary.scalar("mean", tf.reduce_mean(x))
        tf.identity(tf.matmul(x, weights(6, 3)), name="scores")

    write(tmp_path / "graph.pb", build)
    agrees(tmp_path / "graph.pb")


def test_several_candidates_are_named(tmp_path: Path) -> None:
    def two_ends() -> None:
        x = placeholder("images")
        tf.matmul(x, weights(6, 3), name="first")
        tf.matmul(x, weights(6, 4), name="second")

    def two_starts() -> None:
        left, right = placeholder("left"), placeholder("right")
        tf.matmul(left + right, weights(6, 3), name="scores")

    path = tmp_path / "graph.pb"
    write(path, two_ends)
    with pytest.raises(ModelError, match=r"'first', 'second'.*--output_node"):
        import_network(path)
    assert import_network(path, output_node="second").output.shape == (4,)
    write(path, two_starts)
    with pytest.raises(ModelError, match=r"'left', 'right'.*--input_node"):
        import_network(path)


def test_names_that_were_given_are_not_guessed(tmp_path: Path) -> None:
    path = tmp_path / "graph.pb"
    write_graph(path, lambda x: tf.identity(dense(x), name="end"))
    with pytest.raises(ModelError, match="has no node 'logits'"):
        import_network(path, "input", "logits")
    with pytest.raises(ModelError, match="has no node 'images'"):
        import_network(path, "images", "end")


def saved_by(path: Path) -> Any:
    """A SavedModel of today, and its model."""
    model = small()
    model.export(path, verbose=False)
    return model


@pytest.mark.parametrize("error", [AttributeError("no add_slot"), KeyError("x"), SystemError()])
def test_what_the_second_loader_cannot_read_the_first_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], error: Any
) -> None:
    model = saved_by(tmp_path / "saved")

    def fails(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(tf.saved_model, "load", fails)
    agrees(tmp_path / "saved", model)
    assert capfd.readouterr() == ("", "")


def test_a_legacy_optimizer_in_the_file(tmp_path: Path) -> None:
    """The slots of tf.keras 2.0 to 2.10, written into a SavedModel as these versions did."""
    from tensorflow.core.protobuf import saved_model_pb2  # noqa: PLC0415

    model = saved_by(tmp_path / "saved")
    file = tmp_path / "saved" / "saved_model.pb"
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString(file.read_bytes())
    objects = saved.meta_graphs[0].object_graph_def
    variables = [place for place, node in enumerate(objects.nodes) if node.HasField("variable")]
    optimizer = objects.nodes.add()
    optimizer.user_object.identifier = "optimizer"
    optimizer.user_object.version.producer = optimizer.user_object.version.min_consumer = 1
    slot = optimizer.slot_variables.add()
    slot.original_variable_node_id, slot.slot_variable_node_id = variables[:2]
    slot.slot_name = "m"
    objects.nodes[0].children.add(node_id=len(objects.nodes) - 1, local_name="optimizer")
    file.write_bytes(saved.SerializeToString())
    with pytest.raises(AttributeError, match="add_slot"):
        tf.saved_model.load(str(tmp_path / "saved"))
    agrees(tmp_path / "saved", model)


def test_a_savedmodel_of_tensorflow_1(tmp_path: Path) -> None:
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        x = placeholder("images")
        w = tf.compat.v1.get_variable("w", initializer=weights(6, 3))
        scores = tf.matmul(x, w, name="scores")
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.saved_model.simple_save(
            session, str(tmp_path / "saved"), {"x": x}, {"probabilities": tf.nn.softmax(scores)}
        )
    agrees(tmp_path / "saved")


def test_a_folder_that_no_loader_reads_says_why_in_one_line(tmp_path: Path) -> None:
    saved_by(tmp_path / "saved")
    for file in (tmp_path / "saved" / "variables").iterdir():
        file.write_bytes(b"")
    with pytest.raises(ModelError, match=r"saved cannot be read \(.+\); export") as refusal:
        import_network(tmp_path / "saved")
    assert "\n" not in str(refusal.value)
    (tmp_path / "saved" / "saved_model.pb").write_bytes(b"nothing")
    with pytest.raises(ModelError, match=r"saved is not a SavedModel \(.+\); export"):
        import_network(tmp_path / "saved")


@pytest.mark.parametrize("name", ["model.hdf5", "model.H5", "model.h5"])
def test_suffixes_of_hdf5(tmp_path: Path, name: str) -> None:
    model = small()
    model.save(tmp_path / "model.h5")
    (tmp_path / "model.h5").rename(tmp_path / name)
    agrees(tmp_path / name, model)


def test_weights_alone_are_no_model(tmp_path: Path) -> None:
    small().save_weights(tmp_path / "model.weights.h5")
    with pytest.raises(ModelError, match=r"is not a Keras model \(.*config.*\); .*model.save"):
        import_network(tmp_path / "model.weights.h5")


def test_any_error_of_keras_is_one_line_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small().save(tmp_path / "model.keras")

    def fails(*_: Any, **__: Any) -> None:
        raise AttributeError("'list' object has no attribute 'items'\nconfig={}")

    monkeypatch.setattr(keras.models, "load_model", fails)
    with pytest.raises(ModelError, match=r"has no attribute 'items'.*saved_model") as refusal:
        import_network(tmp_path / "model.keras")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(("name", "word"), [("m.keras", ".keras"), ("m.h5", ".h5")])
def test_a_keras_file_under_another_name_is_told_apart(
    tmp_path: Path, name: str, word: str
) -> None:
    small().save(tmp_path / name)
    (tmp_path / name).rename(tmp_path / "m.pb")
    with pytest.raises(ModelError, match=rf"m\.pb is a Keras file.*name it with {word}"):
        import_network(tmp_path / "m.pb")


def heads() -> Any:
    """A model with features beside its logits."""
    images = keras.Input((3, 2, 1))
    hidden = L.Dense(5, activation="relu", name="features")(L.Flatten()(images))
    return keras.Model(images, [L.Dense(4, name="logits")(hidden), hidden])


def save_heads(model: Any, path: Path, kind: str) -> None:
    if kind in {".keras", ".h5"}:
        model.save(path)
    elif kind == "exported":
        model.export(path, verbose=False)
    elif kind == "named signature":

        def serve(images: Any) -> Any:
            logits, hidden = model(images)
            return {"scores": logits, "features": hidden}

        signature = tf.TensorSpec((None, 3, 2, 1), tf.float32)
        signatures = tf.function(serve, input_signature=[signature])
        tf.saved_model.save(model, str(path), signatures=signatures)
    else:
        save_v1_heads(model, path)


def save_v1_heads(model: Any, path: Path) -> None:
    """The same as a program of TensorFlow 1 saves it."""
    v1 = tf.compat.v1
    kernels = [np.asarray(value) for value in model.get_weights()]
    with tf.Graph().as_default(), v1.Session() as session:
        images = v1.placeholder(tf.float32, (None, 3, 2, 1))
        hidden = tf.nn.relu(tf.reshape(images, [-1, 6]) @ kernels[0] + kernels[1])
        logits = hidden @ kernels[2] + kernels[3]
        outputs = {"scores": logits, "features": hidden}
        signature = v1.saved_model.predict_signature_def({"images": images}, outputs)
        builder = v1.saved_model.Builder(str(path))
        signatures = {"serving_default": signature}
        builder.add_meta_graph_and_variables(session, ["serve"], signatures)
        builder.save()


class Signed(tf.Module):  # type: ignore[misc]
    """A classifier and an embedding, each with a signature of its own."""

    def __init__(self) -> None:
        self.kernel = tf.Variable(np.random.default_rng(1).normal(size=(6, 3)).astype(np.float32))

    def predict(self, images: Any) -> Any:
        return {"logits": tf.reshape(images, [-1, 6]) @ self.kernel}

    def embed(self, images: Any) -> Any:
        return {"features": tf.nn.relu(tf.reshape(images, [-1, 6]))}


@pytest.mark.parametrize("serving", [False, True])
def test_one_of_several_signatures_is_meant(tmp_path: Path, serving: bool) -> None:
    """Without a serving one, none is taken unless its output is named."""
    model, images = Signed(), np.random.default_rng(2).uniform(0, 1, (4, 3, 2, 1))
    signature = [tf.TensorSpec((None, 3, 2, 1), tf.float32)]
    named = {
        "embed": tf.function(model.embed, signature),
        "serving_default" if serving else "predict": tf.function(model.predict, signature),
    }
    tf.saved_model.save(model, str(tmp_path / "saved"), signatures=named)
    expected = model.predict(images.astype(np.float32))["logits"].numpy()
    network = import_network(tmp_path / "saved", output_node="logits")
    np.testing.assert_allclose(evaluate_float(network, images), expected, atol=1e-5)
    assert import_network(tmp_path / "saved", output_node="features").output.shape == (6,)
    if serving:
        assert import_network(tmp_path / "saved").output.shape == (3,)
        return
    with pytest.raises(ModelError, match=r"none is serving_default.*--output_node") as refusal:
        import_network(tmp_path / "saved")
    assert "embed (features), predict (logits)" in str(refusal.value)


HEADS = {
    ".keras": "logits",
    ".h5": "logits:0",
    "exported": "output_0",
    "named signature": "scores",
    "version 1": "scores",
}


@pytest.mark.parametrize("kind", HEADS)
def test_one_of_several_outputs_is_named(tmp_path: Path, kind: str) -> None:
    model = heads()
    path = tmp_path / f"model{kind if kind.startswith('.') else ''}"
    save_heads(model, path, kind)
    images = np.random.default_rng(2).uniform(0, 1, (3, 3, 2, 1)).astype(np.float32)
    network = import_network(path, output_node=HEADS[kind])
    expected = np.asarray(model(images)[0])
    np.testing.assert_allclose(evaluate_float(network, images), expected, atol=1e-5)
    found = tensorflow_logits(path, "import/input:0", HEADS[kind], images)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    with pytest.raises(ModelError, match=r"has 2 outputs \(.*\).*--output_node") as refusal:
        import_network(path)
    assert HEADS[kind].removesuffix(":0") in str(refusal.value)
