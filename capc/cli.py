"""The program `capc`: one subcommand per tool, each imported only when it is called."""

from __future__ import annotations

import importlib
import io
import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from capc.errors import CapcError

_USAGE_STATUS = 2
_INTERRUPTED_STATUS = 130


@dataclass(frozen=True)
class _Command:
    module: str
    help: str
    example: str


_COMMANDS = {
    "run": _Command(
        "capc.harness.main",
        "run the whole protocol, as run_experiment.py does",
        "capc run --n_parties=3 --ignore_parties",
    ),
    "party": _Command(
        "",
        "one party alone: querying, answering or guardian (capc run starts them all)",
        "capc party answering --config config.json --control control.sock",
    ),
    "graph": _Command(
        "capc.inference.graph_command",
        "inspect or prepare a TensorFlow model",
        "capc graph inspect models/cryptonets-relu.pb",
    ),
    "accuracy": _Command(
        "capc.harness.accuracy",
        "a model's accuracy in TensorFlow, in the protocol's integers, and encrypted",
        "capc accuracy models/cryptonets-relu.pb --dataset_name mnist --encrypted 100",
    ),
    "privacy": _Command(
        "capc.privacy.__main__",
        "the privacy account: epsilon of votes, calibration of the noise",
        "capc privacy calibrate --help",
    ),
    "learn": _Command(
        "capc.learning.__main__",
        "the learning experiments: train, query, retrain",
        "capc learn --help",
    ),
    "models": _Command(
        "capc.harness.train",
        "train one model per answering party, as scripts/train_models.py does",
        "capc models --n_parties=3",
    ),
}
_PARTIES = {
    "querying": "capc.parties.querying_party",
    "answering": "capc.parties.answering_party",
    "guardian": "capc.parties.privacy_guardian",
}


def main(argv: Sequence[str] | None = None, program: str = "capc") -> int:
    """Call a subcommand; its exit status. A CapcError is one line on standard error, status 2."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        # A terminal that lacks a character shows a question mark in its place: no run ends by it.
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")
    try:
        return _dispatch(arguments, program)
    except CapcError as error:
        if "--debug" in arguments:
            traceback.print_exc()
        sys.stderr.write(f"capc: error: {' '.join(str(error).split())}\n")
        return _USAGE_STATUS
    except KeyboardInterrupt:
        sys.stderr.write("capc: stopped\n")
        return _INTERRUPTED_STATUS
    except BrokenPipeError:
        # Who reads our output has gone; nothing may be written to it at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _dispatch(arguments: list[str], program: str) -> int:
    logging.captureWarnings(True)
    if not arguments or arguments[0] in ("-h", "--help"):
        _print_usage(sys.stdout if arguments else sys.stderr)
        return 0 if arguments else _USAGE_STATUS
    name, rest = arguments[0], arguments[1:]
    if name == "party":
        return _dispatch_party(rest)
    if name not in _COMMANDS:
        raise CapcError(f"{name} is no subcommand; there are {', '.join(_COMMANDS)}")
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
            "usage: capc party {querying,answering,guardian} --config FILE --control SOCKET\n\n"
            f"{_COMMANDS['party'].help}\n\nexample: {_COMMANDS['party'].example}\n"
        )
        return 0 if arguments else _USAGE_STATUS
    if arguments[0] not in _PARTIES:
        raise CapcError(f"{arguments[0]} is no party; there are {', '.join(_PARTIES)}")
    entry: Callable[[list[str]], int] = _import(_PARTIES[arguments[0]], "party").main
    return entry(arguments[1:])


def _import(module: str, command: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and module.startswith(error.name):
            raise CapcError(f"this installation has no `capc {command}`") from None
        raise CapcError(
            f"the Python package {error.name} is missing: run `make setup`, or pip install it"
        ) from None


def _print_usage(out: TextIO) -> None:
    width = max(len(name) for name in _COMMANDS)
    lines = ["usage: capc SUBCOMMAND [flags]", ""]
    lines += [f"  {name:<{width}}  {command.help}" for name, command in _COMMANDS.items()]
    lines += ["", "examples:"]
    lines += [f"  {command.example}" for command in _COMMANDS.values()]
    lines += ["", "capc SUBCOMMAND --help shows its flags."]
    out.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
