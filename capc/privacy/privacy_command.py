"""`capc privacy`: what the answers cost, from saved votes, and how much noise a budget asks for."""

from __future__ import annotations

import argparse
import json
import math
import sys
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from capc.command_line import ExitStatus, Parser
from capc.errors import ConfigError
from capc.files import write_whole
from capc.fixed_point import Int64
from capc.privacy.accountant import Accountant
from capc.privacy.calibrate import most_queries, smallest_sigma
from capc.privacy.conversion import (
    CONVERSIONS,
    DEFAULT_DELTA,
    INFINITE,
    default_orders,
    privacy_loss,
)
from capc.privacy.dependent import NOISES, expected_cost_rdp
from capc.privacy.distributed import excess_text
from capc.privacy.noise_flags import (
    add_noise_source,
    add_parties,
    distributed_mechanism,
    refuse_answered,
)
from capc.privacy.planned_cost import COST_EXAMPLES, add_cost_flags, planned_cost
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

_WITHHELD = ("epsilon", "order")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the subcommand: JSON on standard output, remarks on standard error; the exit status."""
    options = _parser().parse_args(argv)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        report = options.run(options)
    for warning in caught:
        _say(f"capc privacy: warning: {warning.message}")
    if report["epsilon"] == INFINITE:
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
        examples=[*COST_EXAMPLES, _EPSILON_EXAMPLE, *_CALIBRATE_EXAMPLES, _ACCOUNT_EXAMPLE],
    )
    commands = parser.add_subparsers(required=True, metavar="{cost,epsilon,calibrate,account}")
    cost = commands.add_parser(
        "cost", help="epsilon of a number of queries, before any is asked", examples=COST_EXAMPLES
    )
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
    add_cost_flags(cost)
    cost.set_defaults(run=planned_cost)
    _add_epsilon_flags(epsilon)
    _add_calibrate_flags(calibrate)
    account.add_argument("--file", required=True, metavar="FILE", help="as `capc run` keeps it")
    account.set_defaults(run=_account)
    for command in (cost, epsilon, calibrate):
        command.add_argument("--sigma_threshold", type=float, help="scale of the threshold's noise")
    help_cost = f"delta of the guarantee (default {DEFAULT_DELTA:g}, as in a run)"
    cost.add_argument("--delta", default=DEFAULT_DELTA, type=float, help=help_cost)
    for command in (epsilon, calibrate, account):
        command.add_argument("--delta", required=True, type=float, help="delta of the guarantee")
    for command in (cost, epsilon, calibrate, account):
        add = command.add_argument
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
        choices=(*NOISES, "distributed"),
        default="discrete",
        help="law of the noise, for the dependent bound (default: discrete, as the guardian draws "
        "it); distributed: the answering parties drew it, and each query costs the same",
    )
    add_parties(command)
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
    add_noise_source(command)
    command.set_defaults(run=_calibrate)


def _epsilon(options: argparse.Namespace) -> dict[str, Any]:
    votes = check_votes(load_array(options.votes, "votes"))
    distributed = distributed_mechanism(options, options.sigma)
    if distributed is not None:
        return _distributed_epsilon(options, votes, distributed)
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
        **account.privacy_loss(options.delta, options.conversion).fields(),
        "bound": options.bound,
        "noise": options.noise if options.bound == "dependent" else None,
        "rule": "what happened" if options.answered else "every query answered",
        "queries_charged": len(votes),
        "answered_charged": int(np.sum(answered)),
        "private": account.private,
    }


def _distributed_epsilon(
    options: argparse.Namespace, votes: Int64, mechanism: Mechanism
) -> dict[str, Any]:
    if options.bound == "dependent" or options.expected_cost:
        raise ConfigError("--noise distributed has the independent bound alone")
    if options.answered and options.threshold is None:
        raise ConfigError("without --threshold every query is answered; give it, or no --answered")
    given = load_array(options.answered, "answered") if options.answered else np.ones(len(votes))
    account = Accountant()
    account.charge(mechanism, len(votes))
    return {
        **account.privacy_loss(options.delta, options.conversion).fields(),
        "bound": "independent",
        "noise": options.noise,
        "rule": "every query, answered or not",
        "excess_per_query": excess_text(mechanism.log_excess),
        "queries_charged": len(votes),
        "answered_charged": int(np.sum(check_answered(given, len(votes)))),
        "private": False,
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
        **privacy_loss(curve, options.delta, conversion=options.conversion).fields(),
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
    refuse_answered(options)
    if queries is not None:
        sigma = smallest_sigma(options.epsilon, options.delta, queries, answered=answered, **shared)
        distributed = distributed_mechanism(options, sigma)
    else:
        distributed = distributed_mechanism(options, sigma)
        if answered is not None:
            raise ConfigError(
                "--answered goes with --queries; the most queries count as all answered"
            )
        queries = most_queries(options.epsilon, options.delta, sigma, **shared)
    account = Accountant()
    if distributed is not None:
        _require_vanishing(distributed, queries)
        account.charge(distributed, queries)
    else:
        if options.sigma_threshold is not None:
            account.charge(Mechanism("threshold", options.sigma_threshold), queries)
        account.charge(Mechanism("gnmax", sigma), queries if answered is None else answered)
    return {
        "sigma": sigma,
        "sigma_threshold": options.sigma_threshold,
        "queries": queries,
        "answered": queries if answered is None else answered,
        "epsilon_budget": options.epsilon,
        **account.privacy_loss(options.delta, options.conversion).fields(),
        "bound": "independent",
        "private": False,
    }


def _require_vanishing(mechanism: Mechanism, queries: int) -> None:
    """The closed forms leave the sum's excess out: exact while it is below all rounding."""
    if queries * mechanism.excess > 1e-15:
        raise ConfigError(
            f"at sigma {mechanism.sigma:g} the noise of {mechanism.parties} parties is too coarse "
            f"to calibrate: its sum adds {excess_text(mechanism.log_excess)} a query; take "
            "`capc privacy epsilon`, or fewer parties"
        )


def _account(options: argparse.Namespace) -> dict[str, Any]:
    account = Accountant.load(options.file)
    charges: dict[Mechanism, int] = {}
    for mechanism, count in account.counts.items():
        public = replace(mechanism, log_q=None)
        charges[public] = charges.get(public, 0) + count
    return {
        **account.privacy_loss(options.delta, options.conversion).fields(),
        "bound": "dependent" if account.private else "independent",
        "owners": account.owners,
        "charges": [_charge(mechanism, count) for mechanism, count in charges.items()],
        "private": account.private,
    }


def _charge(mechanism: Mechanism, count: int) -> dict[str, Any]:
    said: dict[str, Any] = {"mechanism": mechanism.kind, "sigma": mechanism.sigma, "count": count}
    if mechanism.parties is not None:
        said |= {"parties": mechanism.parties, "colluding": mechanism.colluding}
        said["excess_per_query"] = excess_text(mechanism.log_excess)
    if mechanism.changes is not None:
        said["changes"] = mechanism.changes
    return said


def _write_report(path: Path, report: dict[str, Any], *, include_private: bool) -> None:
    public = dict(report)
    if report["private"] and not include_private:
        public.update(dict.fromkeys(_WITHHELD), withheld=list(_WITHHELD))
    write_whole(path, json.dumps(public, allow_nan=False) + "\n")


def _say(line: str, stream: TextIO | None = None) -> None:
    (sys.stderr if stream is None else stream).write(line + "\n")
