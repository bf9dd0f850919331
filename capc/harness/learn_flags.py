"""The flags of `capc learn`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from capc.command_line import Parser, add_results_dir, whole_number
from capc.files import REPOSITORY
from capc.harness.flags import add_constants
from capc.he.parameter_flags import add_encryption_params
from capc.learning.experiment import PUBLIC, Experiment, load_experiment
from capc.learning.scale import scaled_down
from capc.learning.vectorised.choice import AUTO, TRAINERS
from capc.machine import cores
from capc.privacy.distributed import NOISE_SOURCES

PAPER = "paper"
STAGES = ("train", "query", "retrain", "all", "sweep", PAPER)
EXPERIMENTS = REPOSITORY / "config" / "learning"

_DESCRIPTION = """Train private models, put queries to the vote, retrain, and show what came of it.

train: private models. query: train, then the vote. retrain and all: everything, with tables and
figures in <results_dir>/<name>/. sweep: train and query for each number of parties of the config.
paper: says how long this machine will take, then does all of it, and the sweep.
Stages keep their results by content below --cache and go on where they were stopped."""
_EXAMPLES = (
    "capc learn all --config config/learning/mnist.json",
    "capc learn query --config config/learning/mnist.json --secure --secure_queries 10 "
    "--set privacy.sigma=0 --set privacy.sigma_threshold=0",
    "capc learn sweep --config config/learning/mnist.json --workers 2",
    "capc learn paper --experiment cifar10 --scale 0.1",
    "capc learn retrain --config config/learning/mnist.json --answers 0=results/latest",
    "capc learn query --config config/learning/mnist.json --private_models mine "
    """--set parties=3 --set 'strategies=["gap"]'""",
)


def learn_parser() -> Parser:
    """The parser of `capc learn`."""
    parser = Parser("capc learn", description=_DESCRIPTION, examples=_EXAMPLES)
    parser.add_argument("stage", choices=STAGES, help="how far to go")
    _add_experiment(parser)
    _add_fields(parser)
    _add_running(parser)
    _add_secure(parser.add_argument_group("labels from the real protocol"))
    return parser


def chosen_experiment(options: argparse.Namespace) -> Experiment:
    """The experiment that the flags name, with the fields that they change, at its scale.

    Raises ConfigError as `load_experiment` and `scaled_down` do.
    """
    named = [] if options.dataset is None else [f"dataset={json.dumps(options.dataset)}"]
    if options.noise is not None:
        named.append(f"privacy.drawn_by={options.noise}")
    if options.queries == PUBLIC:
        named.append(f'strategies=["{PUBLIC}"]')
    if options.colluding is not None:
        named.append(f"privacy.colluding={options.colluding}")
    if options.private_models is not None:
        named.append(f"private_models={json.dumps(options.private_models)}")
    if options.input_range is not None:
        named.append(f"input_range={json.dumps(options.input_range)}")
    path = options.config or EXPERIMENTS / f"{options.experiment}.json"
    return scaled_down(load_experiment(path, [*options.set, *named]), options.scale)


def _add_experiment(parser: Parser) -> None:
    """Which experiment, and how much of it."""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--config", metavar="FILE", help="an experiment: a JSON file, or a JSON object as it is"
    )
    which.add_argument(
        "--experiment",
        choices=sorted(path.stem for path in EXPERIMENTS.glob("*.json")),
        metavar="NAME",
        help="one that comes with this program: %(choices)s",
    )
    parser.add_argument(
        "--scale",
        type=float,
        default=1.0,
        help="so much of its parties, epochs, queries and repetitions, 0 to 1; noise and "
        "thresholds shrink with the parties, so that privacy is less (default 1)",
    )


def _add_fields(parser: Parser) -> None:
    """Other values for its fields."""
    add = parser.add_argument
    add(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="another value for a field of the config, as privacy.sigma=10; may be repeated",
    )
    add(
        "--dataset",
        metavar="NAME[=FILE.npz]",
        help="another data set than the config's; your own with x_train, y_train, x_test, y_test",
    )
    add(
        "--private_models",
        metavar="DIR",
        help="the parties' own models, used as they are and never trained: DIR has 0 to parties - "
        "1, each .pb, .keras, .h5, .hdf5, .onnx or a SavedModel; only the querying parties' new "
        "models are trained",
    )
    add(
        "--input_range",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="the values that --private_models take: bytes are scaled to it (default 0 1)",
    )
    add(
        "--queries",
        choices=("own", PUBLIC),
        default="own",
        metavar="WHOSE",
        help="own, or public: no party asks queries of its own; all get the answers to one public "
        "set, which needs no encrypted inference (default own: as the config says)",
    )
    add(
        "--noise",
        choices=NOISE_SOURCES,
        metavar="WHO",
        help="who draws the vote's noise, guardian or distributed, as for `capc run` (default: as "
        "the config says)",
    )
    add(
        "--colluding",
        type=whole_number(0),
        metavar="C",
        help="with --noise distributed: answering parties that may tell others their part",
    )


def _add_running(parser: Parser) -> None:
    """Where results go, and how the work is done."""
    add = parser.add_argument
    add_results_dir(parser, "results/learning", "where tables and figures go", "--out")
    add(
        "--cache",
        type=Path,
        default=Path("results/learning/cache"),
        help="where stages keep models and votes: private (default results/learning/cache)",
    )
    add(
        "--workers",
        type=whole_number(0),
        default=cores(),
        help="processes (default: cores; 0: this one alone)",
    )
    add(
        "--trainer",
        choices=TRAINERS,
        default=AUTO,
        help="a process for each model, or vectorised: many models side by side on one device, "
        "which needs capc[gpu] (default auto: vectorised where JAX finds an accelerator)",
    )
    add(
        "--ray",
        nargs="?",
        const="local",
        metavar="ADDRESS",
        help="use Ray: on this machine, or the cluster at ADDRESS (needs capc[ray])",
    )
    add(
        "--include_private",
        action="store_true",
        help="also write raw votes and data-dependent epsilons, to <results_dir>/<name>/private",
    )
    add(
        "--answers",
        action="append",
        default=[],
        metavar="[PARTY=]FOLDER",
        help="retrain on these answered queries: the original's files, or a folder that `capc run` "
        "left; for every querying party, or for PARTY; may be repeated",
    )


def _add_secure(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--secure", action="store_true", help="ask by `capc run`, for the first strategy")
    add("--secure_queries", type=whole_number(1), default=20, help="at most per party (default 20)")
    add("--batch_size", type=whole_number(1), default=1, help="queries asked together (default 1)")
    add_encryption_params(group)
    add_constants(group)
    add("--verify", action="store_true", help="insecure: open shares and noise, and compare all")
