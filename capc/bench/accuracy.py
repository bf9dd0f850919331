"""`capc accuracy`: a model on test images in TensorFlow, in the protocol's integers, encrypted."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from capc.bench.two_parties import EncryptedRun, PhaseCosts, run_encrypted
from capc.command_line import ExitStatus, Parser
from capc.console import table_console
from capc.data.datasets import DATASETS, dataset_info, queries
from capc.errors import ConfigError
from capc.fixed_point import MAX_LOGIT, Float64, Int64
from capc.graph.calibration_flags import add_calibration, calibration_of
from capc.graph.layers import QuantizedNetwork
from capc.graph.model_names import model_at
from capc.graph.prepared import load_network, prepare
from capc.graph.ring_choice import to_ring, why_fewer_bits, why_vanishing
from capc.graph.tensorflow.importer import check_input_shape
from capc.graph.tensorflow.logits import tensorflow_logits
from capc.graph.tensorflow.sources import DEFAULT_INPUT, DEFAULT_OUTPUT
from capc.he.parameter_flags import add_encryption_params, read_encryption_params
from capc.inference.costs import check_encrypted
from capc.inference.reference import evaluate

_BATCH = 250


@dataclass(frozen=True)
class Accuracy:
    """Accuracies are over the `images` test images, from 0 to 1; errors are the integers'.

    Of the first `encrypted` images, `bit_for_bit` had every logit of the two-party run equal to
    the reference's. Seconds are set-up, and medians of one query; None where nothing ran encrypted.
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


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; status 3 where an encrypted query differs from the reference.

    So it is where labels differ from TensorFlow's on more than the tolerated share of the images.
    """
    flags = _parser().parse_args(argv)
    flags.model = model_at(flags.model)
    size = dataset_info(flags.dataset_name).test_size
    count = size if flags.n is None else flags.n
    encrypted = min(flags.encrypted, count)
    if not 1 <= count <= size or encrypted < 0:
        raise ConfigError(
            f"--n is {count} and --encrypted is {flags.encrypted}; {flags.dataset_name} has "
            f"{size} test images: ask for 1 to {size}, and for 0 or more of them encrypted"
        )
    if not 0 <= flags.tolerance <= 1:
        raise ConfigError(
            f"--tolerance is {flags.tolerance:g}; it is a share of the labels, from 0 to 1"
        )
    accuracy = _measured(flags, count, encrypted)
    if flags.json:
        sys.stdout.write(json.dumps(asdict(accuracy)) + "\n")
    else:
        table_console().print(_table(accuracy))
    apart = accuracy.images - accuracy.labels_equal
    too_many = apart > flags.tolerance * accuracy.images
    if too_many:
        sys.stderr.write(
            f"DISAGREES: {apart:,} of {accuracy.images:,} labels ({apart / accuracy.images:.3g}) "
            f"differ from TensorFlow's; --tolerance allows {flags.tolerance:g}\n"
        )
    agrees = accuracy.bit_for_bit == accuracy.encrypted and not too_many
    return ExitStatus.OK if agrees else ExitStatus.DISAGREES


def _measured(flags: argparse.Namespace, count: int, encrypted: int) -> Accuracy:
    said = Console(stderr=True)
    nodes = flags.input_node, flags.output_node
    info = dataset_info(flags.dataset_name)
    calibration = calibration_of(flags, info.input_range)
    pixel_range = info.input_range
    prepared = prepare(flags.model, *nodes, calibration=calibration, input_range=pixel_range)
    network = load_network(prepared)
    check_input_shape(network, info.image_shape, flags.dataset_name)
    if calibration is not None:
        calibration.require_range(network.input.shape)
    parameters = read_encryption_params(flags.encryption_params)
    integers = to_ring(network, info.input_range, MAX_LOGIT)
    if encrypted:
        check_encrypted(integers, parameters)
    for why in (why_fewer_bits, why_vanishing):
        reason = why(network, info.input_range, integers.fixed_point)
        if reason is not None:
            said.print(f"WARNING: {reason}", soft_wrap=True, highlight=False)
    pixels, labels = queries(flags.dataset_name, 0, count)
    images = pixels.astype(np.float64)
    with _progress(said) as progress:
        step = _step(progress, "TensorFlow", count)
        expected = tensorflow_logits(flags.model, *nodes, images, step)
        reference = _reference(integers, images, _step(progress, "integers", count))
        run = None
        if encrypted:
            advance = _step(progress, "encrypted", encrypted)
            batch = images[:encrypted]
            run = run_encrypted(integers, prepared, parameters, batch, lambda: advance(1))
    decoded = integers.model_logits(reference)
    ring = integers.fixed_point
    return Accuracy(
        model=str(flags.model),
        dataset=flags.dataset_name,
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
        **_costs_of_a_query(None if run is None else run.costs),
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


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, TimeElapsedColumn(), console=console, transient=True)


def _step(progress: Progress, name: str, total: int) -> Callable[[int], None]:
    task = progress.add_task(name, total=total)
    return lambda done: progress.advance(task, done)


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
        ("accuracy, TensorFlow", f"{accuracy.tensorflow_accuracy:.2%}"),
        ("accuracy, integers", f"{accuracy.integer_accuracy:.2%}"),
        ("labels as TensorFlow's", f"{accuracy.labels_equal:,} of {accuracy.images:,}"),
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
        description="A model's accuracy in TensorFlow and in the protocol's integers, over test "
        "images.\nThe first of them are also evaluated encrypted, between two processes.",
        examples=["capc accuracy models/cryptonets-relu.pb --dataset_name mnist"],
    )
    add = parser.add_argument
    add("model", type=Path, help=".pb, SavedModel folder, .keras or .h5")
    add("--dataset_name", "--dataset", default="mnist", help=f"one of {', '.join(DATASETS)}")
    add("--n", type=int, help="test images; default all")
    add("--encrypted", type=int, default=100, help="of them encrypted; default %(default)s")
    add_encryption_params(parser)
    add(
        "--tolerance",
        type=float,
        default=0.01,
        help="share of the labels that may differ from TensorFlow's before the exit status is 3; "
        "default %(default)s",
    )
    add("--input_node", default=DEFAULT_INPUT, help="default %(default)s")
    add("--output_node", default=DEFAULT_OUTPUT, help="default %(default)s")
    add_calibration(parser)
    add("--json", action="store_true", help="one JSON object in place of the table")
    return parser
