"""`capc accuracy`: a model on test images in its framework, in integers, encrypted."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from capc.bench.two_parties import EncryptedRun, PhaseCosts, run_encrypted
from capc.command_line import ExitStatus, Parser
from capc.console import table_console
from capc.data.datasets import DATASETS, Labels, dataset_info, queries
from capc.data.fitting import Range, Shape, assumed_range, fitted, scaled, stated_range
from capc.data.own_data import title, with_absolute_path
from capc.data.saved_queries import check_range, read_saved_queries
from capc.data.suspicions import classes_suspicion, range_suspicion
from capc.errors import ConfigError
from capc.fixed_point import MAX_LOGIT, Float64, Int64
from capc.graph.calibration_flags import add_calibration, calibration_of
from capc.graph.float_reference import evaluate_float
from capc.graph.frameworks import framework_logits, framework_of
from capc.graph.layers import Network, QuantizedNetwork
from capc.graph.model_names import model_at
from capc.graph.prepared import load_network, prepare
from capc.graph.ring_choice import to_ring, why_fewer_bits, why_vanishing
from capc.graph.tensorflow.names import DEFAULT_INPUT, DEFAULT_OUTPUT
from capc.he.parameter_flags import add_encryption_params, read_encryption_params
from capc.inference.costs import check_encrypted
from capc.inference.reference import evaluate
from capc.progress import progress_bars

_BATCH = 250
_WHYS = (why_fewer_bits, why_vanishing)


@dataclass(frozen=True)
class Accuracy:
    """Accuracies are over the `images` test images, from 0 to 1; errors are the integers'.

    Of the first `encrypted` images, `bit_for_bit` had every logit of the two-party run equal to
    the reference's. Seconds are set-up, and medians of one query; None where nothing ran encrypted.
    `tensorflow_accuracy` is that of `framework`, which for an ONNX model is onnxruntime.
    """

    model: str
    dataset: str
    images: int
    ring_bits: int
    fraction_bits: int
    calibrated: bool
    tensorflow_accuracy: float
    integer_accuracy: float
    labels_equal: int
    largest_logit: float
    largest_logit_error: float
    encrypted: int
    bit_for_bit: int
    setup_seconds: float | None
    offline_seconds: float | None
    online_seconds: float | None
    megabytes: float | None
    framework: str


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; status 3 where an encrypted query differs from the reference.

    So it is where more than the tolerated share of the labels are not the framework's.
    """
    flags = _parser().parse_args(argv)
    flags.model = model_at(flags.model)
    if not 0 <= flags.tolerance <= 1:
        raise ConfigError(
            f"--tolerance is {flags.tolerance:g}; it is a share of the labels, from 0 to 1"
        )
    flags.dataset_name = with_absolute_path(flags.dataset_name)
    accuracy = _measured(flags)
    if flags.json:
        sys.stdout.write(json.dumps(asdict(accuracy)) + "\n")
    else:
        table_console().print(_table(accuracy))
    apart = accuracy.images - accuracy.labels_equal
    too_many = apart > flags.tolerance * accuracy.images
    if too_many:
        sys.stderr.write(
            f"DISAGREES: {apart:,} of {accuracy.images:,} labels ({apart / accuracy.images:.3g}) "
            f"differ from {accuracy.framework}'s; --tolerance allows {flags.tolerance:g}\n"
        )
    agrees = accuracy.bit_for_bit == accuracy.encrypted and not too_many
    return ExitStatus.OK if agrees else ExitStatus.DISAGREES


@dataclass(frozen=True, eq=False)
class _Examples:
    """Labelled examples (n, ...) in the data's shape, and their closed interval of values."""

    name: str
    images: Float64
    labels: Labels
    input_range: Range
    of_bytes: bool


def _examples(flags: argparse.Namespace, shape: Shape, input_range: Range) -> _Examples:
    """What the flags ask for, bytes scaled to `input_range`.

    ConfigError where there is not so much, or labels are missing.
    """
    name, path = flags.dataset_name, flags.dataset_path
    if path is None:
        info, called = dataset_info(name), title(name)
        fitted(np.zeros((1, *info.image_shape)), shape, called)  # before it is fetched
        count = _count(flags, called, info.test_size)
        images, labels = queries(name, 0, count, input_range)
        of_bytes = info.of_bytes
    else:
        called, saved = str(path), read_saved_queries(path, shape)
        samples = saved.samples(shape)
        count = _count(flags, called, len(samples))
        known = saved.labels_of(len(samples))
        if known is None:
            raise ConfigError(f"--dataset_path {path} has no labels: accuracy needs them")
        images, labels = scaled(samples[:count], input_range), known[:count]
        of_bytes = saved.values.dtype == np.uint8
    check_range(called, images, input_range)
    return _Examples(called, images.astype(np.float64), labels, input_range, of_bytes)


def _count(flags: argparse.Namespace, called: str, size: int) -> int:
    """How many of the `size` test images are asked for; ConfigError where there are not so many."""
    count: int = size if flags.n is None else flags.n
    if not 1 <= count <= size or flags.encrypted < 0:
        raise ConfigError(
            f"--n is {count} and --encrypted is {flags.encrypted}; {called} has "
            f"{size} test images: ask for 1 to {size}, and for 0 or more of them encrypted"
        )
    return count


def _range_of_data(flags: argparse.Namespace) -> Range:
    """The interval of values that the data has, or that the flags give it."""
    if flags.input_range is not None:
        return stated_range(flags.input_range)
    if flags.dataset_path is not None:
        return read_saved_queries(flags.dataset_path).input_range
    return dataset_info(flags.dataset_name).input_range


def _measured(flags: argparse.Namespace) -> Accuracy:
    said = Console(stderr=True)
    nodes = flags.input_node, flags.output_node
    input_range = _range_of_data(flags)
    calibration = calibration_of(flags, input_range)
    prepared = prepare(flags.model, *nodes, calibration=calibration, input_range=input_range)
    network = load_network(prepared)
    examples = _examples(flags, tuple(network.input.shape), input_range)
    labels, count = examples.labels, len(examples.labels)
    encrypted = min(flags.encrypted, count)
    images = fitted(examples.images, tuple(network.input.shape), examples.name)
    if calibration is not None:
        calibration.require_range(network.input.shape)
    parameters = read_encryption_params(flags.encryption_params)
    integers = to_ring(network, input_range, MAX_LOGIT)
    if encrypted:
        check_encrypted(integers, parameters)
    if flags.input_range is None and not examples.of_bytes:
        _say(said, assumed_range(f"the values of {examples.name}", input_range))
    for reason in _doubts(network, integers, images, examples):
        _say(said, f"WARNING: {reason}")
    with progress_bars(said, transient=True) as bars:
        step = bars.add(framework_of(flags.model), count).advance
        expected = framework_logits(flags.model, *nodes, images, step)
        reference = _reference(integers, images, bars.add("integers", count).advance)
        run = None
        if encrypted:
            advance = bars.add("encrypted", encrypted).advance
            batch = images[:encrypted]
            run = run_encrypted(integers, prepared, parameters, batch, lambda: advance(1))
    decoded = integers.model_logits(reference)
    ring = integers.fixed_point
    return Accuracy(
        model=str(flags.model),
        dataset=examples.name,
        images=count,
        ring_bits=ring.ring_bits,
        fraction_bits=ring.fraction_bits,
        calibrated=calibration is not None,
        tensorflow_accuracy=float(np.mean(expected.argmax(axis=1) == labels)),
        integer_accuracy=float(np.mean(reference.argmax(axis=1) == labels)),
        labels_equal=int(np.sum(reference.argmax(axis=1) == expected.argmax(axis=1))),
        largest_logit=float(np.abs(expected).max()),
        largest_logit_error=float(np.abs(decoded - expected).max()),
        encrypted=encrypted,
        bit_for_bit=0 if run is None else _equal_rows(run, reference),
        framework=framework_of(flags.model),
        **_costs_of_a_query(None if run is None else run.costs),
    )


def _say(console: Console, text: str | None) -> None:
    if text is not None:
        console.print(text, soft_wrap=True, highlight=False, markup=False)


def _doubts(
    network: Network, integers: QuantizedNetwork, images: Float64, examples: _Examples
) -> list[str]:
    """Sentences on what may make the accuracy worse than the model's."""
    reasons = [why(network, examples.input_range, integers.fixed_point) for why in _WHYS]
    reasons.append(_suspicion(network, images, examples))
    return [reason for reason in reasons if reason is not None]


def _suspicion(network: Network, images: Float64, examples: _Examples) -> str | None:
    """A sentence where the model's classes or range do not look like the data's."""
    classes = network.output.shape[0]
    return classes_suspicion(
        classes, int(examples.labels.max()) + 1, examples.name
    ) or range_suspicion(
        lambda values: evaluate_float(network, values).argmax(axis=1),
        *(images, examples.labels, classes, examples.input_range),
        scales=examples.of_bytes,
    )


def _costs_of_a_query(costs: PhaseCosts | None) -> dict[str, float | None]:
    """The fields of Accuracy that only an encrypted run knows."""
    if costs is None:
        return dict.fromkeys(("setup_seconds", "offline_seconds", "online_seconds", "megabytes"))
    return {
        "setup_seconds": costs.setup.seconds,
        "offline_seconds": costs.offline.seconds,
        "online_seconds": costs.online.seconds,
        "megabytes": (costs.offline.traffic_bytes + costs.online.traffic_bytes) / 1e6,
    }


def _reference(network: QuantizedNetwork, images: Float64, advance: Callable[[int], None]) -> Int64:
    parts = []
    for start in range(0, len(images), _BATCH):
        parts.append(evaluate(network, images[start : start + _BATCH]))
        advance(len(parts[-1]))
    return np.concatenate(parts)


def _equal_rows(run: EncryptedRun, reference: Int64) -> int:
    return int(np.sum(np.all(run.logits == reference[: len(run.logits)], axis=1)))


def _table(accuracy: Accuracy) -> Table:
    table = Table(title=f"{accuracy.model}, {accuracy.images:,} test images of {accuracy.dataset}")
    table.add_column("")
    table.add_column("", justify="right")
    ring = f"{accuracy.ring_bits} / {accuracy.fraction_bits}"
    rows = [
        (
            "ring and fractional bits",
            ring + (", calibrated" if accuracy.calibrated else ""),
        ),
        (f"accuracy, {accuracy.framework}", f"{accuracy.tensorflow_accuracy:.2%}"),
        ("accuracy, integers", f"{accuracy.integer_accuracy:.2%}"),
        (f"labels as {accuracy.framework}'s", f"{accuracy.labels_equal:,} of {accuracy.images:,}"),
        (
            "largest error of a logit",
            f"{accuracy.largest_logit_error:.3g}, of {accuracy.largest_logit:.3g}",
        ),
    ]
    if accuracy.offline_seconds is not None and accuracy.online_seconds is not None:
        rows += [
            ("encrypted, bit for bit", f"{accuracy.bit_for_bit} of {accuracy.encrypted}"),
            ("seconds, set-up", f"{accuracy.setup_seconds:.3f}"),
            (
                "seconds a query, offline + online",
                f"{accuracy.offline_seconds:.3f} + {accuracy.online_seconds:.3f}",
            ),
            ("megabytes a query", f"{accuracy.megabytes:.1f}"),
        ]
    for row in rows:
        table.add_row(*row)
    return table


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        "capc accuracy",
        description="A model's accuracy in its own framework and in the protocol's integers, over "
        "test images.\nThe first of them are also evaluated encrypted, between two processes.",
        examples=["capc accuracy models/cryptonets-relu.pb --dataset_name mnist"],
    )
    add = parser.add_argument
    add("model", type=Path, help=".pb, SavedModel folder, .keras, .h5 or .onnx")
    add(
        "--dataset_name",
        "--dataset",
        default="mnist",
        help=f"one of {', '.join(DATASETS)}, or your own: NAME=FILE.npz",
    )
    add(
        "--dataset_path",
        type=Path,
        help="labelled samples instead: a .npy or .npz file, a folder of them, or of images",
    )
    add(
        "--input_range",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="the values that the model takes: bytes are scaled to it; default: as the data has",
    )
    add("--n", type=int, help="test images; default all")
    add("--encrypted", type=int, default=100, help="of them encrypted; default %(default)s")
    add_encryption_params(parser)
    add(
        "--tolerance",
        type=float,
        default=0.01,
        help="share of labels that may differ from the framework's before the exit status is 3; "
        "default %(default)s",
    )
    add("--input_node", default=DEFAULT_INPUT, help="default %(default)s")
    add("--output_node", default=DEFAULT_OUTPUT, help="default %(default)s")
    add_calibration(parser)
    add("--json", action="store_true", help="one JSON object in place of the table")
    return parser
