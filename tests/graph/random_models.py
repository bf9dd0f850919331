"""Models at random in the files that TensorFlow and Keras write, each read and compared.

    python tests/graph/random_models.py --count=100 --seed=0

Logits are TensorFlow's own, of the model that was saved: no code of this project has a part in
them. A model may be refused, if what the refusal names is in its graph.
"""

from __future__ import annotations

import argparse
import collections
import re
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from random_draws import Random, chosen, coin
from random_keras import keras, keras_model
from random_tf1 import tf, tf1_graph, v1

from capc.errors import CapcError
from capc.fixed_point import MAX_LOGIT, Float64
from capc.graph.float_reference import evaluate_float
from capc.graph.layers import Network
from capc.graph.ring_choice import to_ring, why_fewer_bits, why_vanishing
from capc.graph.tensorflow.names import DEFAULT_INPUT, DEFAULT_OUTPUT
from capc.graph.tensorflow.sources import FrozenGraph, read_graph
from capc.graph.tensorflow.verification import import_verified
from capc.inference.precision import why_imprecise
from capc.inference.reference import evaluate

TOLERANCE = 1e-4  # of the largest logit
TIE = 0.02  # of the widest gap: labels whose logits are closer may change places in integers
RANGE = (0.0, 1.0)
IMAGES = 12  # a multiple of every fixed batch


@dataclass(frozen=True, eq=False)
class Sample:
    """A model's file, the names to read it by, and TensorFlow's logits of images (12, ...)."""

    path: Path
    kind: str
    images: Float64
    logits: Float64
    input_node: str = DEFAULT_INPUT
    output_node: str = DEFAULT_OUTPUT


@dataclass(frozen=True)
class Outcome:
    """What became of one model: equal, refused or wrong; why, and in which kind of file."""

    verdict: str
    kind: str
    reason: str = ""


def sample(seed: int, folder: Path) -> Sample:
    """Model number `seed`, saved in the folder."""
    random = np.random.default_rng(seed)
    return _of_keras(random, folder) if seed % 2 == 0 else _of_tf1(random, folder)


def outcome(given: Sample) -> Outcome:
    """Read a model as a run does, and compare: floats, then the labels of the integers."""
    names = given.input_node, given.output_node
    try:
        network, _ = import_verified(given.path, *names, RANGE)
    except CapcError as error:
        return refusal(given, str(error))
    found = evaluate_float(network, given.images)
    off = float(np.abs(found - given.logits).max())
    if not off <= TOLERANCE * float(np.abs(given.logits).max()):
        return Outcome("wrong", given.kind, f"a logit is off by {off:.3g}")
    return _integers(given, network)


def _integers(given: Sample, network: Network) -> Outcome:
    try:
        integers = to_ring(network, RANGE, MAX_LOGIT)
        cautions = [
            why(network, RANGE, integers.fixed_point) for why in (why_fewer_bits, why_vanishing)
        ]
        cautions.append(why_imprecise(network, integers))
    except CapcError as error:
        return refusal(given, str(error), network)
    labels = evaluate(integers, given.images).argmax(axis=1)
    spread = float(np.ptp(given.logits, axis=1).max())
    behind = given.logits.max(axis=1) - given.logits[np.arange(IMAGES), labels]
    apart = int(np.sum(behind > TIE * spread))
    said = next((caution for caution in cautions if caution), "")
    if apart and not said:
        return Outcome("wrong", given.kind, f"{apart} labels of integers differ without a word")
    return Outcome("equal", given.kind, said)


def refusal(given: Sample, message: str, network: Network | None = None) -> Outcome:
    """Refused, if the message names what is in the graph; else wrong."""
    if "read otherwise" in message:
        return Outcome("wrong", given.kind, message)
    if network is not None:
        layers = {layer.name for layer in network.layers}
        named = set(re.findall(r"layer '([^']+)'|is '([^']+)'", message))
        true = any(name in layers for pair in named for name in pair)
    else:
        true = _is_true(message, read_graph(given.path, given.input_node, given.output_node))
    return Outcome("refused" if true else "wrong", given.kind, message)


def _is_true(message: str, graph: FrozenGraph) -> bool:
    """Whether a refusal names a node of the graph, of the type and the attribute that it has."""
    named = re.match(r"(?:input |output )?node '([^']+)'(?: is of type (\w+)| \((\w+)\))?", message)
    if named is None or named[1] not in graph.nodes:
        return False
    node = graph.nodes[named[1]]
    kind = named[2] or named[3] or node.op
    layout = re.search(r"data_format (\w+)", message)
    return kind == node.op and (layout is None or layout[1] == node.attr["data_format"].s.decode())


def _images(random: Random, shape: tuple[int, ...]) -> Float64:
    return random.uniform(*RANGE, (IMAGES, *shape))


def _of_keras(random: Random, folder: Path) -> Sample:
    keras.backend.clear_session()
    model, logits = keras_model(random)
    batch = model.inputs[0].shape[0]
    images = _images(random, model.inputs[0].shape[1:])
    expected = _batches(lambda part: np.asarray(logits(part, training=False)), images, batch)
    kind, save = chosen(random, list(_KERAS_FILES.items()))
    return Sample(save(model, folder), f"Keras {kind}", images, expected)


def _of_tf1(random: Random, folder: Path) -> Sample:
    made = tf1_graph(random)
    images = _images(random, tuple(made.images.shape[1:]))
    config = v1.ConfigProto()
    config.graph_options.rewrite_options.remapping = 2  # off: it mistakes layouts
    with v1.Session(graph=made.graph, config=config) as session:
        run: Callable[[Any], Any] = lambda part: session.run(made.logits, {made.images: part})  # noqa: E731
        expected = _batches(run, images, made.images.shape[0])
        kind = chosen(random, ["graph", "stripped graph", "folder"])
        if kind == "folder":
            path = folder / "model"
            _save_v1(session, path, made)
            return Sample(path, "TF1 folder", images, expected)
    definition = v1.graph_util.extract_sub_graph(made.graph.as_graph_def(), ["scores"])
    if kind == "stripped graph":
        definition = _stripped(definition)
    path = folder / "model.pb"
    path.write_bytes(definition.SerializeToString())
    names = ("images", "scores") if coin(random) else (DEFAULT_INPUT, DEFAULT_OUTPUT)
    return Sample(path, f"TF1 {kind}", images, expected, *names)


def _batches(run: Callable[[Any], Any], images: Float64, batch: int | None) -> Float64:
    size = batch or IMAGES
    parts = [run(images[at : at + size].astype(np.float32)) for at in range(0, IMAGES, size)]
    logits: Float64 = np.concatenate(parts).astype(np.float64).reshape(IMAGES, -1)
    return logits


def _stripped(definition: Any) -> Any:
    """Without attributes of default values, by TensorFlow's own export."""
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(definition, name="")
        exported = v1.train.export_meta_graph(graph=graph, strip_default_attrs=True)
    return exported.graph_def


def _save_v1(session: Any, path: Path, made: Any) -> None:
    with session.graph.as_default():
        builder = v1.saved_model.Builder(str(path))
        signature = v1.saved_model.predict_signature_def({"x": made.images}, {"y": made.output})
        builder.add_meta_graph_and_variables(
            session,
            [v1.saved_model.SERVING],
            {"serving_default": signature},
            strip_default_attrs=True,
        )
        builder.save()


def _saved_as(suffix: str) -> Callable[[Any, Path], Path]:
    def save(model: Any, folder: Path) -> Path:
        path = folder / f"model{suffix}"
        model.save(path)
        return path

    return save


def _exported(model: Any, folder: Path) -> Path:
    path = folder / "model"
    model.export(path, verbose=False)
    return path


def _frozen(model: Any, folder: Path) -> Path:
    """The exported folder, frozen and stripped, as TensorFlow's freeze_graph leaves it."""
    from tensorflow.python.framework.convert_to_constants import (  # noqa: PLC0415
        convert_variables_to_constants_v2,
    )

    given = model.inputs[0]
    function = tf.function(lambda x: model(x, training=False))
    concrete = function.get_concrete_function(tf.TensorSpec(given.shape, given.dtype, name="x"))
    definition = convert_variables_to_constants_v2(concrete).graph.as_graph_def()
    path = folder / "model.pb"
    path.write_bytes(_stripped(definition).SerializeToString())
    return path


_KERAS_FILES: dict[str, Callable[[Any, Path], Path]] = {
    ".keras": _saved_as(".keras"),
    ".h5": _saved_as(".h5"),
    "folder": _exported,
    "stripped graph": _frozen,
}


def main() -> int:
    """Try so many models; status 1 where one was wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--count", type=int, default=100, help="how many models (default 100)")
    parser.add_argument("--seed", type=int, default=0, help="the first of their seeds (default 0)")
    flags = parser.parse_args()
    counts: collections.Counter[str] = collections.Counter()
    for seed in range(flags.seed, flags.seed + flags.count):
        with tempfile.TemporaryDirectory(prefix="random-model-") as folder:
            try:
                found = outcome(sample(seed, Path(folder)))
            except Exception as error:  # a traceback in a user's face is wrong too
                found = Outcome("wrong", "-", f"{type(error).__name__}: {error}")
        counts[found.verdict] += 1
        if found.reason:
            sys.stdout.write(f"seed {seed}, {found.kind}: {found.verdict}: {found.reason[:400]}\n")
            sys.stdout.flush()
    verdicts = ", ".join(f"{counts[name]} {name}" for name in ("equal", "refused", "wrong"))
    sys.stdout.write(f"{flags.count} models: {verdicts}\n")
    return 1 if counts["wrong"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
