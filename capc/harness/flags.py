"""The flags of run_experiment.py: names, defaults and what each means."""

from __future__ import annotations

import argparse
import math

from capc.command_line import Parser, add_results_dir
from capc.data.datasets import DATASETS
from capc.fixed_point import MAX_LOGIT, RING_BITS
from capc.gc.program_files import BACK_ENDS
from capc.graph.calibration_flags import add_calibration
from capc.he.parameter_flags import add_encryption_params
from capc.inference.choice_flags import add_nonlinear
from capc.label_sets import TASKS
from capc.log_lines import LOG_FORMATS
from capc.privacy.conversion import CONVERSIONS
from capc.privacy.distributed import NOISE_SOURCES
from capc.privacy.voting_rules import MULTI_LABEL

QUERIES = ("private", "public")
RAY = "ray"
DEFAULT_SIGMA = 0.1
DEFAULT_TIMEOUT_SECONDS = 600.0

_EXAMPLE = "--n_parties=3 --ignore_parties --encryption_params=config/10.json"


def build_parser(program: str) -> argparse.ArgumentParser:
    """Every flag with its default and meaning; ConfigError for a command line it cannot read."""
    parser = Parser(
        program,
        description="Run the whole protocol: answering parties, a querying party and a privacy "
        "guardian.\nThe labels, the times and the logs are left in results/latest.",
        examples=[f"{program} {_EXAMPLE}"],
    )
    _add_experiment(parser.add_argument_group("the experiment"))
    _add_models(parser.add_argument_group("models and queries"))
    _add_cryptography(parser.add_argument_group("encryption"))
    privacy = parser.add_argument_group("privacy")
    _add_noise(privacy)
    _add_budget(privacy)
    running = parser.add_argument_group("running")
    _add_launching(running)
    _add_running(running)
    _add_without_effect(parser.add_argument_group("accepted, without effect"))
    return parser


def _add_experiment(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--n_parties", type=int, default=1, help="answering parties, 1 to 400 (default 1)")
    add(
        "--min_parties",
        type=int,
        default=None,
        help="answering parties that a query needs: it goes on without others that are dead, or "
        "late by an eighth of --timeout (default: all)",
    )
    add("--n_queries", type=int, default=1, help="queries to ask (default 1)")
    add("--batch_size", type=int, default=1, help="queries asked together (default 1)")
    add(
        "--num_classes",
        type=int,
        default=None,
        help="classes, or labels with --task multi-label (default: as the models have)",
    )
    add(
        "--task",
        choices=TASKS,
        default="single-label",
        help="what a query gets: one class, or with multi-label a set of labels, from models that "
        "end in several sigmoids (default single-label)",
    )
    add(
        "--voting",
        choices=MULTI_LABEL,
        default=None,
        help="with --task multi-label: each label by itself (binary, the default), the same with "
        "at most --max_labels named in a vote (tau), or one vote for a whole set (powerset)",
    )
    add(
        "--max_labels",
        type=int,
        default=None,
        help="with --voting tau: the most labels that a vote names, tau squared",
    )
    add(
        "--seed",
        type=int,
        default=2,
        help="order and splits of data, never secrets (default 2)",
    )
    add(
        "--qp_id",
        type=int,
        default=0,
        help="number of the querying party; recorded in run.json (its own model has no vote)",
    )
    add("--user", default=None, help="who runs this; recorded in run.json (default: the OS user)")


def _add_models(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--model_type",
        default="cryptonets-relu",
        help="name of the model in <checkpoint_dir> (NAME.pb, .keras, .h5, .hdf5, .onnx or a "
        "SavedModel NAME/), or its path (default cryptonets-relu)",
    )
    add(
        "--checkpoint_dir",
        default="models/",
        help="folder of the models: <n_parties>/<party>.pb (.keras, .h5, .hdf5, .onnx, "
        "SavedModel), or <model_type> (default models/)",
    )
    add(
        "--ignore_parties",
        action="store_true",
        help="every answering party uses <checkpoint_dir>/<model_type>; without this flag "
        "<checkpoint_dir>/<n_parties>/ holds one model per party, trained first if none is there",
    )
    add("--input_node", default="import/input:0", help="input tensor in the frozen graph")
    add(
        "--output_node",
        default="import/output/BiasAdd:0",
        help="tensor of the logits in the frozen graph",
    )
    add_calibration(group)
    add(
        "--dataset_name",
        "--dataset",
        default="mnist",
        help=f"one of {', '.join(DATASETS)}, or your own: NAME=FILE.npz (default mnist)",
    )
    add(
        "--dataset_path",
        default=None,
        help="saved queries: a .npy or .npz file, a folder of them (*samples*.npy, …), or a folder "
        "of PNG or JPEG images, one folder a class",
    )
    add(
        "--input_range",
        type=float,
        nargs=2,
        default=None,
        metavar=("LOW", "HIGH"),
        help="the values that the models take: bytes are scaled to it (default: 0 1, and what "
        "saved samples hold)",
    )
    add("--start_batch", type=int, default=0, help="first test example asked (default 0)")


def _add_cryptography(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add_encryption_params(group, "config/10.json")
    add(
        "--max_logit",
        type=float,
        default=MAX_LOGIT,
        help=f"bound on the logits' size (default {MAX_LOGIT:g})",
    )
    add_constants(group)
    add("--cpu", action="store_true", help="no encryption: a party sees every query; same files")
    add(
        "--queries",
        choices=QUERIES,
        default="private",
        help="public: the queries are no secret, so that each party evaluates its model on them in "
        "the clear; votes stay hidden, and cost the same epsilon (default private)",
    )
    add(
        "--insecure",
        action="store_true",
        help="allow encryption parameters under 128-bit security; every row says so",
    )
    add(
        "--verify",
        action="store_true",
        help="insecure: open the shares to the driver and compare them bit for bit",
    )
    add(
        "--gc_backend",
        choices=BACK_ENDS,
        default="auto",
        help="engine of the garbled circuits (default auto); emp: every row says so",
    )
    add_nonlinear(group)


def add_constants(group: argparse._ArgumentGroup) -> None:
    """The flags of `capc run` and `capc learn` that fix what all models of a run use alike."""
    group.add_argument(
        "--ring",
        type=int,
        choices=RING_BITS,
        default=None,
        help="bits of the ring, the same for all models: weights that do not fit are clipped "
        "(default: the smallest that all models of the run need)",
    )
    group.add_argument(
        "--fraction_bits",
        type=int,
        default=None,
        metavar="BITS",
        help="fractional bits of all models (default 12; without --ring fewer where 12 do not fit)",
    )


def constant_flags(ring: int | None, fraction_bits: int | None) -> list[str]:
    """The same on a command line; nothing for None."""
    given = {"ring": ring, "fraction_bits": fraction_bits}
    return [f"--{name}={value}" for name, value in given.items() if value is not None]


def _add_noise(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--dp_noise_scale",
        type=float,
        default=None,
        help="standard deviation of the noise on each vote count (default 0.1, which hides "
        "nothing; 0: no noise, and every row says so)",
    )
    add("--sigma", type=float, default=None, help="the same as --dp_noise_scale")
    add(
        "--noise",
        choices=NOISE_SOURCES,
        default="guardian",
        help="who draws it: the guardian, or each answering party its part, so that nobody has to "
        "be trusted with the votes (default guardian)",
    )
    add(
        "--colluding",
        type=int,
        default=0,
        help="answering parties that may tell others their part; the noise of the rest suffices "
        "then (default 0; with --noise distributed)",
    )
    add(
        "--threshold",
        type=int,
        default=None,
        help="answer only when the noisy top count reaches this (default: always answer)",
    )
    add(
        "--sigma_threshold",
        type=float,
        default=None,
        help="standard deviation of the threshold's noise; needs --threshold (not with --noise "
        "distributed, where the counts' own noise serves)",
    )


def _add_budget(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--epsilon",
        type=float,
        default=math.inf,
        help="budget: a query that would exceed it is refused (default: no limit)",
    )
    add("--delta", type=float, default=None, help="delta of the budget (default 1e-5)")
    add(
        "--conversion",
        choices=CONVERSIONS,
        default="improved",
        help="Renyi DP to (epsilon, delta): classic (Mironov 2017) or improved (Canonne et al. "
        "2020, the default)",
    )
    add(
        "--account",
        metavar="FILE",
        default=None,
        help="go on from the account in FILE, made where it is missing: --epsilon then covers all "
        "runs that name it; with --hosts a file on the guardian's host (default: each run starts "
        "at 0)",
    )
    add(
        "--private",
        action="store_true",
        help="refuse a run unless sigma, epsilon, delta and account are stated and nothing weakens "
        "it",
    )
    add(
        "--data_owners",
        metavar="NAME",
        default=None,
        help="whose data the account covers; an account of others is refused (default: as many "
        "parties as there are, and where their models lie)",
    )


def _add_launching(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--launcher",
        choices=("tmux", "subprocess", RAY),
        default="tmux",
        help="a tmux pane per party, plain processes, or the nodes of a Ray cluster (default tmux)",
    )
    add(
        "--ray",
        metavar="ADDRESS",
        default=None,
        help="with --launcher ray: HOST:PORT of the cluster's head, or auto for the one that runs "
        "on this machine (default: a Ray of this machine alone, for this run)",
    )
    add(
        "--hosts",
        metavar="FILE",
        default=None,
        help="hosts.toml: the machines of the parties, which are started there by ssh (default: "
        "all on this machine)",
    )
    add("--session", default="capc", help="name of the tmux session (default capc)")
    add(
        "--panes",
        choices=("card", "log"),
        default="card",
        help="what a party's tmux pane shows: its card, or its log (default card)",
    )
    add(
        "--step",
        action="store_true",
        help="hold the run before each step until a key is pressed, and say what comes next",
    )


def _add_running(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add_results_dir(group, "results", "where runs are kept")
    add(
        "--resume",
        metavar="RUN",
        default=None,
        help="ask what is left of an earlier run, whose folder this is, with its flags and account",
    )
    add(
        "--log_timing_file",
        default=None,
        help="log of all stage times (default: log-timing-<time>.txt in the run's folder)",
    )
    add(
        "--timeout",
        type=float,
        default=DEFAULT_TIMEOUT_SECONDS,
        help="seconds that set-up, or one batch of queries, may take (default 600)",
    )
    add(
        "--start_port",
        type=int,
        default=0,
        help="first port: each party takes a free one from here on (default 0: any; the original: "
        "37000)",
    )
    add("--num_threads", type=int, default=None, help="threads per party (default: all cores)")
    add("--log_level", type=int, default=0, help="more of the parties' log, 0 to 5 (default 0)")
    add(
        "--log_format",
        choices=LOG_FORMATS,
        default="text",
        help="lines of the logs: text, or a JSON object each (default text)",
    )
    add(
        "--debug",
        action="store_true",
        help="keep panes and the parties' folders after a failure, log more, show tracebacks",
    )


def _add_without_effect(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--rstar_exp", type=int, default=None, help="masks are uniform in the whole ring here")
    add("--round_exp", type=int, default=None, help="logits are not rounded before the argmax")
