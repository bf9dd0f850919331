"""`capc privacy`: what the answers cost, from saved votes, and how much noise a budget asks for."""

from __future__ import annotations

import argparse
import json
import math
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from capc.command_line import ExitStatus, Parser
from capc.errors import ConfigError
from capc.files import write_whole
from capc.fixed_point import Int64
from capc.privacy.accountant import Accountant
from capc.privacy.calibrate import most_queries, smallest_sigma
from capc.privacy.conversion import CONVERSIONS, PrivacyLoss, default_orders, privacy_loss
from capc.privacy.dependent import NOISES, expected_cost_rdp
from capc.privacy.rdp import Mechanism
from capc.privacy.votes import Answered, check_answered, check_votes, load_array

_EPSILON_EXAMPLE = (
    "capc privacy epsilon --votes votes.npy --sigma 40 --threshold 300 --sigma_threshold 200 "
    "--delta 1e-6 --answered answered.npy"
)
_CALIBRATE_EXAMPLES = (
    "capc privacy calibrate --epsilon 2 --delta 1e-6 --queries 500       (prints sigma)",
    "capc privacy calibrate --epsilon 2 --delta 1e-6 --sigma 40          (prints queries)",
)
_ACCOUNT_EXAMPLE = "capc privacy account --file account.json --delta 1e-6"

_PRIVATE_NOTE = (
    "private: this epsilon is computed from the votes and tells about them; do not publish it"
)

_INFINITE = "infinite"

_WITHHELD = ("epsilon", "order")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the subcommand: JSON on standard output, remarks on standard error; the exit status."""
    options = _parser().parse_args(argv)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        report = options.run(options)
    for warning in caught:
        _say(f"capc privacy: warning: {warning.message}")
    if report["epsilon"] == _INFINITE:
        _say("capc privacy: epsilon is infinite: a charged answer had no noise (sigma 0)")
    if report["private"]:
        _say(f"capc privacy: {_PRIVATE_NOTE}")
    _say(json.dumps(report, allow_nan=False), sys.stdout)
    if options.output is not None:
        _write_report(options.output, report, include_private=options.include_private)
    return ExitStatus.OK


def _parser() -> Parser:
    parser = Parser(
        "capc privacy",
        description=__doc__,
        examples=[_EPSILON_EXAMPLE, *_CALIBRATE_EXAMPLES, _ACCOUNT_EXAMPLE],
    )
    commands = parser.add_subparsers(required=True, metavar="{epsilon,calibrate,account}")
    epsilon = commands.add_parser(
        "epsilon", help="epsilon of queries with saved votes", examples=[_EPSILON_EXAMPLE]
    )
    calibrate = commands.add_parser(
        "calibrate",
        help="sigma for a number of queries, or queries for a sigma",
        examples=_CALIBRATE_EXAMPLES,
    )
    account = commands.add_parser(
        "account", help="what an account in a file has spent", examples=[_ACCOUNT_EXAMPLE]
    )
    _add_epsilon_flags(epsilon)
    _add_calibrate_flags(calibrate)
    account.add_argument("--file", required=True, metavar="FILE", help="as `capc run` keeps it")
    account.set_defaults(run=_account)
    for command in (epsilon, calibrate):
        command.add_argument("--sigma_threshold", type=float, help="scale of the threshold's noise")
    for command in (epsilon, calibrate, account):
        add = command.add_argument
        add("--delta", required=True, type=float, help="delta of the guarantee")
        add("--conversion", choices=CONVERSIONS, default="improved", help="default: improved")
        add("--output", metavar="FILE", type=Path, help="write the JSON to this file, too")
        add("--include_private", action="store_true", help="leave private figures in that file")
    return parser


def _add_epsilon_flags(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("--votes", required=True, metavar="FILE", help="counts, .npy of shape (queries, classes)")
    add("--sigma", required=True, type=float, help="scale of the GNMax noise")
    add("--threshold", type=float, help="votes needed for an answer (default: none)")
    add("--answered", metavar="FILE", help="flags, .npy of shape (queries,) (default: all true)")
    add(
        "--bound",
        choices=["independent", "dependent"],
        default="independent",
        help="dependent uses the votes and is private (default: independent)",
    )
    add(
        "--noise",
        choices=NOISES,
        default="discrete",
        help="law of the noise, for the dependent bound (default: discrete, as the guardian draws)",
    )
    add(
        "--expected_cost",
        action="store_true",
        help="the original's rule: GNMax times its probability, not what happened; private",
    )
    command.set_defaults(run=_epsilon)


def _add_calibrate_flags(command: argparse.ArgumentParser) -> None:
    command.add_argument("--epsilon", required=True, type=float)
    given = command.add_mutually_exclusive_group(required=True)
    given.add_argument("--queries", type=int, help="queries to fit: prints the least sigma")
    given.add_argument("--sigma", type=float, help="scale to use: prints the most queries")
    command.add_argument("--answered", type=int, help="of them answered (default: all)")
    command.set_defaults(run=_calibrate)


def _epsilon(options: argparse.Namespace) -> dict[str, Any]:
    votes = check_votes(load_array(options.votes, "votes"))
    if (options.threshold is None) != (options.sigma_threshold is None):
        raise ConfigError("give --threshold and --sigma_threshold together, or neither")
    if options.threshold is not None and not math.isfinite(options.threshold):
        raise ConfigError(f"threshold is {options.threshold}; give a number of votes")
    if options.expected_cost:
        return _expected_cost(options, votes)
    given = load_array(options.answered, "answered") if options.answered else np.ones(len(votes))
    answered = check_answered(given, len(votes))
    account = Accountant()
    if options.bound == "dependent":
        account.charge_votes(
            votes,
            options.sigma,
            options.threshold,
            options.sigma_threshold or 0.0,
            answered=answered,
            noise=options.noise,
        )
    else:
        _charge_independent(account, options, answered)
    return {
        **_loss(account.privacy_loss(options.delta, options.conversion)),
        "bound": options.bound,
        "noise": options.noise if options.bound == "dependent" else None,
        "rule": "what happened" if options.answered else "every query answered",
        "queries_charged": len(votes),
        "answered_charged": int(np.sum(answered)),
        "private": account.private,
    }


def _charge_independent(
    account: Accountant, options: argparse.Namespace, answered: Answered
) -> None:
    if options.threshold is not None:
        account.charge(Mechanism("threshold", options.sigma_threshold), len(answered))
    elif not bool(np.all(answered)):
        raise ConfigError("without --threshold every query is answered; give it, or no --answered")
    account.charge(Mechanism("gnmax", options.sigma), int(np.sum(answered)))


def _expected_cost(options: argparse.Namespace, votes: Int64) -> dict[str, Any]:
    if options.threshold is None or options.answered is not None:
        raise ConfigError("--expected_cost needs --threshold, and goes without --answered")
    curve = expected_cost_rdp(
        votes,
        options.sigma,
        options.threshold,
        options.sigma_threshold,
        default_orders(),
        noise=options.noise,
        dependent=options.bound == "dependent",
    )
    return {
        **_loss(privacy_loss(curve, options.delta, conversion=options.conversion)),
        "bound": options.bound,
        "noise": options.noise,
        "rule": "expected cost",
        "queries_charged": len(votes),
        "answered_charged": None,
        "private": True,
    }


def _calibrate(options: argparse.Namespace) -> dict[str, Any]:
    shared = {"sigma_threshold": options.sigma_threshold, "conversion": options.conversion}
    sigma, queries, answered = options.sigma, options.queries, options.answered
    if queries is not None:
        sigma = smallest_sigma(options.epsilon, options.delta, queries, answered=answered, **shared)
    elif answered is not None:
        raise ConfigError("--answered goes with --queries; the most queries count as all answered")
    else:
        queries = most_queries(options.epsilon, options.delta, sigma, **shared)
    account = Accountant()
    if options.sigma_threshold is not None:
        account.charge(Mechanism("threshold", options.sigma_threshold), queries)
    account.charge(Mechanism("gnmax", sigma), queries if answered is None else answered)
    return {
        "sigma": sigma,
        "sigma_threshold": options.sigma_threshold,
        "queries": queries,
        "answered": queries if answered is None else answered,
        "epsilon_budget": options.epsilon,
        **_loss(account.privacy_loss(options.delta, options.conversion)),
        "bound": "independent",
        "private": False,
    }


def _account(options: argparse.Namespace) -> dict[str, Any]:
    account = Accountant.load(options.file)
    charges: dict[tuple[str, float], int] = {}
    for mechanism, count in account.counts.items():
        name = (mechanism.kind, mechanism.sigma)
        charges[name] = charges.get(name, 0) + count
    return {
        **_loss(account.privacy_loss(options.delta, options.conversion)),
        "bound": "dependent" if account.private else "independent",
        "charges": [
            {"mechanism": kind, "sigma": sigma, "count": count}
            for (kind, sigma), count in charges.items()
        ],
        "private": account.private,
    }


def _loss(loss: PrivacyLoss) -> dict[str, Any]:
    finite = math.isfinite(loss.epsilon)
    return {
        "epsilon": loss.epsilon if finite else _INFINITE,
        "delta": loss.delta,
        "order": loss.order if finite else None,
        "conversion": loss.conversion,
    }


def _write_report(path: Path, report: dict[str, Any], *, include_private: bool) -> None:
    public = dict(report)
    if report["private"] and not include_private:
        public.update(dict.fromkeys(_WITHHELD), withheld=list(_WITHHELD))
    write_whole(path, json.dumps(public, allow_nan=False) + "\n")


def _say(line: str, stream: TextIO | None = None) -> None:
    (sys.stderr if stream is None else stream).write(line + "\n")
