"""`capc graph`: prepare models for serving, and show what a model needs."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from capc.command_line import ExitStatus, Parser, run_command, whole_number
from capc.errors import ConfigError, ModelError
from capc.graph.calibration_flags import add_calibration, calibration_of
from capc.graph.layers import Network
from capc.graph.model_names import model_at
from capc.graph.prepared import load_network, prepare
from capc.graph.ring_choice import to_ring
from capc.graph.tensorflow.names import DEFAULT_INPUT, DEFAULT_OUTPUT
from capc.he.parameter_flags import add_encryption_params, read_encryption_params
from capc.inference.choice_flags import add_nonlinear, nonlinear_choice
from capc.inference.precision import why_imprecise
from capc.label_sets import TASKS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; the exit status. Raises CapcError for a model that cannot be used."""
    options = _parser().parse_args(arguments)
    if options.command == "prepare":
        _prepare(options)
    else:
        _inspect(options)
    return ExitStatus.OK


def _prepare(options: argparse.Namespace) -> None:
    """One JSON object a line, flushed as each model is ready."""
    for model in options.model:
        ready = _prepared(options, model)
        _check_precision(model, load_network(ready), tuple(options.input_range))
        sys.stdout.write(json.dumps({"model": str(model), "prepared": str(ready)}) + "\n")
        sys.stdout.flush()


def _inspect(options: argparse.Namespace) -> None:
    from capc.inference.inspection import (  # noqa: PLC0415  rich: here only
        fitting_fraction_bits,
        show,
        show_costs,
    )

    parameters = read_encryption_params(options.encryption_params, allow_insecure=True)
    choice = nonlinear_choice(options)
    if choice.measured:
        raise ConfigError("--link measured needs two parties; give a time and a rate here")
    for model in options.model:
        network, pixels = load_network(_prepared(options, model)), tuple(options.input_range)
        calibration = calibration_of(options, pixels)
        if calibration is not None:
            calibration.require_range(network.input.shape)
        bits = options.fraction_bits
        if bits is None:
            bits = fitting_fraction_bits(network, pixels)
        show(str(model), network, bits, pixels)
        if options.fraction_bits is None:
            _check_precision(model, network, pixels)
        show_costs(
            *(network, bits, pixels, parameters), choice=choice, batch_size=options.batch_size
        )


def _check_precision(model: Path, network: Network, pixels: tuple[float, float]) -> None:
    """Say on stderr where a run's integers are coarse; raise ModelError where they are too coarse.

    Whether a ring holds the model depends on the run, and is for it to say.
    """
    try:
        integers = to_ring(network, pixels, 0.0)
    except (ModelError, ConfigError):
        return
    try:
        reason = why_imprecise(network, integers)
    except ModelError as error:
        raise ModelError(f"{model}: {error}") from error
    if reason is not None:
        sys.stderr.write(f"WARNING: {model}: {reason}\n")


def _prepared(options: argparse.Namespace, model: Path) -> Path:
    pixels = tuple(options.input_range)
    calibration = calibration_of(options, pixels)
    nodes = options.input_node, options.output_node
    return prepare(
        *(model_at(model), *nodes, options.cache_dir, calibration),
        input_range=pixels,
        multi_label=options.task == TASKS[1],
    )


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        "capc graph",
        description="Show what a model needs in the protocol, or prepare it for serving.",
        examples=["capc graph inspect models/cryptonets-relu.pb"],
    )
    commands = parser.add_subparsers(dest="command", required=True)
    ready = commands.add_parser(
        "prepare",
        help="import models into the cache, so that serving them needs neither TensorFlow nor onnx",
        examples=["capc graph prepare models/3/0.pb models/3/1.pb models/3/2.pb"],
    )
    shown = commands.add_parser(
        "inspect",
        help="show layers, shapes, ranges, packing, expected seconds and bytes",
        examples=["capc graph inspect --nonlinear auto --link 40ms,100mbit model.pb"],
    )
    for command in (ready, shown):
        command.add_argument(
            "model", type=Path, nargs="+", help=".pb, SavedModel folder, .keras, .h5 or .onnx"
        )
        command.add_argument("--input_node", default=DEFAULT_INPUT, help="default %(default)s")
        command.add_argument("--output_node", default=DEFAULT_OUTPUT, help="default %(default)s")
        command.add_argument(
            "--cache_dir", type=Path, help="default: prepared in the user's cache ($CAPC_CACHE)"
        )
        command.add_argument(
            "--input_range",
            type=float,
            nargs=2,
            default=(0.0, 1.0),
            metavar=("LOW", "HIGH"),
            help="the smallest and the largest value of a pixel; default 0 1",
        )
        command.add_argument(
            "--task",
            choices=TASKS,
            default=TASKS[0],
            help="multi-label: several sigmoids at the end are several labels; default %(default)s",
        )
        add_calibration(command)
    shown.add_argument(
        "--fraction_bits",
        type=whole_number(0, 29),
        help="default: as a run chooses: 12, or as many as fit",
    )
    shown.add_argument(
        "--batch_size",
        type=whole_number(1),
        default=1,
        help="queries that are asked together; default %(default)s",
    )
    add_encryption_params(shown)
    add_nonlinear(shown)
    return parser


if __name__ == "__main__":
    sys.exit(run_command(main))
