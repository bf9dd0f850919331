"""`capc privacy cost`: the epsilon of queries before any is asked, and how many fit into one."""

from __future__ import annotations

import argparse
from typing import Any

from capc.errors import ConfigError
from capc.privacy.budget import Budget
from capc.privacy.distributed import excess_text
from capc.privacy.noise_flags import add_noise_source, distributed_mechanism, refuse_answered
from capc.privacy.planning import guardian_budget
from capc.privacy.rdp import Mechanism

COST_EXAMPLES = (
    "capc privacy cost --sigma 7 --queries 100                           (prints epsilon)",
    "capc privacy cost --sigma 7 --epsilon 10                            (prints queries)",
)


def add_cost_flags(command: argparse.ArgumentParser) -> None:
    """The flags of `cost` that the other subcommands have not."""
    add = command.add_argument
    add("--sigma", required=True, type=float, help="scale of the noise on each count")
    add("--queries", type=int, help="queries to ask (default: as many as --epsilon admits)")
    add("--epsilon", type=float, help="a budget: prints how many queries it admits")
    add("--answered", type=int, help="of the queries, those answered (default: all)")
    add(
        "--threshold",
        type=float,
        help="as a run has it; the noise on it (--sigma_threshold) decides what it costs",
    )
    add_noise_source(command)


def planned_cost(options: argparse.Namespace) -> dict[str, Any]:
    """The report of `cost`: all from data-independent bounds, so that nothing of it is private."""
    if options.queries is None and options.epsilon is None:
        raise ConfigError("give --queries, --epsilon, or both")
    if options.queries is not None and options.queries < 1:
        raise ConfigError(f"--queries is {options.queries}; allowed is 1 or more")
    distributed = distributed_mechanism(options, options.sigma)
    budget = _budget(options, distributed)
    fit = budget.room()
    queries = options.queries if fit is None else options.queries or fit
    if options.queries is None and options.answered is not None:
        raise ConfigError("--answered goes with --queries: a budget counts all as answered")
    answered = queries if options.answered is None else options.answered
    loss = budget.planned(queries, answered).privacy_loss(options.delta, options.conversion)
    by_parties: dict[str, Any] = {}
    if distributed is not None:
        by_parties = {"parties": options.parties, "colluding": options.colluding}
        by_parties["excess_per_query"] = excess_text(distributed.log_excess)
    return {
        **loss.fields(),
        "sigma": options.sigma,
        "sigma_threshold": options.sigma_threshold,
        "noise": options.noise,
        **by_parties,
        "queries": queries,
        "answered": answered,
        "epsilon_budget": options.epsilon,
        "queries_that_fit": fit,
        "bound": "independent",
        "private": False,
    }


def _budget(options: argparse.Namespace, distributed: Mechanism | None) -> Budget:
    """The rule by which a guardian would charge these queries."""
    refuse_answered(options)
    if distributed is None and options.threshold is not None and options.sigma_threshold is None:
        raise ConfigError("--threshold needs --sigma_threshold, the noise on the comparison")
    return guardian_budget(
        options.epsilon,
        options.sigma,
        options.sigma_threshold,
        options.delta,
        options.conversion,
        parties=None if distributed is None else options.parties,
        colluding=options.colluding,
        threshold=options.threshold,
    )
