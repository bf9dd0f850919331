"""The program `capc`: one subcommand per tool, each imported only when it is called."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

import capc
from capc.command_line import ExitStatus, run_command, status_table
from capc.errors import ConfigError
from capc.files import BUILD_AGAIN
from capc.roles import MODULES as PARTIES


@dataclass(frozen=True)
class _Command:
    module: str
    help: str
    example: str


_COMMANDS = {
    "run": _Command(
        "capc.harness.experiment",
        "run the whole protocol, as run_experiment.py does",
        "capc run --n_parties=3 --ignore_parties",
    ),
    "replay": _Command(
        "capc.harness.replay_command",
        "play the cards of a finished run once more, at any speed",
        "capc replay results/latest --speed 4",
    ),
    "estimate": _Command(
        "capc.harness.estimate_command",
        "with the flags of run: seconds, bytes, memory and epsilon, before anything runs",
        "capc estimate --n_parties=50 --ignore_parties --n_queries=100 --sigma=7 --epsilon=10",
    ),
    "doctor": _Command(
        "capc.harness.doctor_command",
        "what this machine has for a run, what is missing, and a run of a few seconds",
        "capc doctor",
    ),
    "party": _Command(
        "",
        "one party alone, on a machine of its own (capc run starts them all on this one)",
        "capc party answering --config party.toml",
    ),
    "graph": _Command(
        "capc.inference.graph_command",
        "inspect or prepare a TensorFlow model",
        "capc graph inspect models/cryptonets-relu.pb",
    ),
    "accuracy": _Command(
        "capc.bench.accuracy",
        "a model's accuracy in its own framework, in the protocol's integers, and encrypted",
        "capc accuracy models/cryptonets-relu.pb --dataset_name mnist --encrypted 100",
    ),
    "publish": _Command(
        "capc.harness.publish_command",
        "copy what may be shown of a run, and say what was left out",
        "capc publish results/latest shown",
    ),
    "privacy": _Command(
        "capc.privacy.privacy_command",
        "the privacy account: epsilon of votes, calibration of the noise",
        "capc privacy calibrate --epsilon 2 --delta 1e-6 --queries 500",
    ),
    "learn": _Command(
        "capc.harness.learn_command",
        "the learning experiments: train, query, retrain",
        "capc learn all --config config/learning/mnist.json",
    ),
    "sweep": _Command(
        "capc.harness.sweep_command",
        "many runs over a grid of settings, side by side or on Ray, in one table",
        "capc sweep config/sweep.toml --workers=2",
    ),
    "models": _Command(
        "capc.learning.train_command",
        "train one model per answering party, as scripts/train_models.py does",
        "capc models --n_parties=3",
    ),
    "bench": _Command(
        "capc.bench.bench_command",
        "benchmarks, each peer in the same run, to results/bench/",
        "capc bench inference --repeat=50",
    ),
    "table1": _Command(
        "capc.bench.table1",
        "the paper's Table 1 with ours beside it, to results/table1.csv",
        "capc table1 --n_queries=5",
    ),
    "scaling": _Command(
        "capc.bench.scaling",
        "a query against parties, classes, model size and batch, with fitted lines",
        "capc scaling --size=small",
    ),
    "artefact": _Command(
        "capc.bench.artefact",
        "all that a reviewer needs, into one folder: claims, what is expected, what was found",
        "capc artefact --size=small",
    ),
    "recorded-run": _Command(
        "capc.learning.recorded_run",
        "the published MNIST run beside its re-derivation",
        "capc recorded-run",
    ),
    "models-table": _Command(
        "capc.bench.models_table",
        "one encrypted query of each model of a table, to results/bench/models.csv",
        "capc models-table --models=resnet-8",
    ),
}

_PARTY_TOOLS = {
    "init": ("capc.parties.federation.init_command", "main"),
    "log": ("capc.parties.federation.log_command", "log_main"),
    "status": ("capc.parties.federation.log_command", "status_main"),
}
"""By word after `capc party`, module and function of what is no party itself."""


def main(argv: Sequence[str] | None = None, program: str = "capc") -> int:
    """Call a subcommand; its exit status. A CapcError is one line on standard error, status 2."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    return run_command(lambda: _dispatch(arguments, program), debug="--debug" in arguments)


def _dispatch(arguments: list[str], program: str) -> int:
    logging.captureWarnings(True)
    if not arguments or arguments[0] in ("-h", "--help"):
        _print_usage(sys.stdout if arguments else sys.stderr)
        return ExitStatus.OK if arguments else ExitStatus.USAGE
    if arguments[0] == "--version":
        sys.stdout.write(f"capc {capc.__version__}\n")
        return ExitStatus.OK
    name, rest = arguments[0], arguments[1:]
    if name == "party":
        return _dispatch_party(rest)
    if name not in _COMMANDS:
        raise ConfigError(f"{name} is not a subcommand; choose from {', '.join(_COMMANDS)}")
    module = _import(_COMMANDS[name].module, name)
    if name == "run":
        status: int = module.main(rest, program if program != "capc" else "capc run")
        return status
    entry: Callable[[list[str]], int] = module.main
    return entry(rest)


def _dispatch_party(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        out = sys.stdout if arguments else sys.stderr
        out.write(
            "usage: capc party init PARTY --host HOST [--port PORT] [--folder FOLDER]\n"
            "       capc party {querying,answering,guardian} --config FILE [--control SOCKET]\n"
            "       capc party status --config FILE\n"
            "       capc party log verify FILE [--head HASH]\n\n"
            f"{_COMMANDS['party'].help}\n\nexample: {_COMMANDS['party'].example}\n"
        )
        return ExitStatus.OK if arguments else ExitStatus.USAGE
    name, rest = arguments[0], arguments[1:]
    if name in PARTIES:
        role: Callable[[list[str]], int] = _import(PARTIES[name], "party").main
        return role(rest)
    if name not in _PARTY_TOOLS:
        known = ", ".join([*PARTIES, *_PARTY_TOOLS])
        raise ConfigError(f"{name} is not a party; choose from {known}")
    module, function = _PARTY_TOOLS[name]
    tool: Callable[[list[str]], int] = getattr(_import(module, "party"), function)
    return tool(rest)


def _import(module: str, command: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and module.startswith(error.name):
            raise ConfigError(f"this installation has no `capc {command}`") from None
        raise ConfigError(
            f"the Python package {error.name} is missing: run `{BUILD_AGAIN}`, or pip install it"
        ) from None


def _print_usage(out: TextIO) -> None:
    width = max(len(name) for name in _COMMANDS)
    lines = ["usage: capc SUBCOMMAND [flags]", ""]
    lines += [f"  {name:<{width}}  {command.help}" for name, command in _COMMANDS.items()]
    lines += ["", "examples:"]
    lines += [f"  {command.example}" for command in _COMMANDS.values()]
    lines += [
        "",
        status_table(),
        "",
        "capc SUBCOMMAND --help shows its flags, capc --version the version.",
    ]
    out.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
