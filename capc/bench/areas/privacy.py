"""Area privacy: a year of votes in the account, one step of the live budget, one draw of noise."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from capc.bench.rows import Row, measured
from capc.fixed_point import Int64
from capc.privacy.accountant import Accountant
from capc.privacy.budget import Budget
from capc.privacy.noise import reserved_range, sample_noise

HISTOGRAMS = 10_000
PARTIES, CLASSES = 250, 10
SIGMA, THRESHOLD, SIGMA_THRESHOLD = 40.0, 300.0, 200.0
DELTA = 1e-6


def run(repeat: int) -> list[Row]:
    """At the paper's setting for SVHN: 250 parties, sigma 40, T 300, sigma_T 200."""
    votes = _histograms(HISTOGRAMS)

    def account() -> None:
        spent = Accountant()
        spent.charge_votes(votes, SIGMA, THRESHOLD, SIGMA_THRESHOLD)
        spent.privacy_loss(DELTA, "improved")

    budget = Budget(1e6, DELTA, SIGMA, THRESHOLD, SIGMA_THRESHOLD)

    def step() -> None:
        budget.check()
        budget.charge(answered=True)
        _ = budget.epsilon_spent

    reserved = reserved_range(PARTIES, THRESHOLD)

    def draw() -> None:
        sample_noise(SIGMA, CLASSES, reserved=reserved)
        sample_noise(SIGMA_THRESHOLD, 1, reserved=reserved)

    few = max(3, repeat // 10)
    return [
        measured("account_10000_histograms", "builtin", _timed(account, few), note="dependent"),
        measured("budget_step", "builtin", _timed(step, repeat), note="check, charge, epsilon"),
        measured("noise_of_a_query", "builtin", _timed(draw, repeat), note="11 exact draws"),
    ]


def _histograms(count: int) -> Int64:
    """Counts of 250 votes each, from an even split to full agreement."""
    leaders = np.linspace(PARTIES // CLASSES, PARTIES, count).astype(np.int64)
    places = np.arange(CLASSES - 1, dtype=np.int64)
    rest = (PARTIES - leaders)[:, None] + places
    return np.hstack([leaders[:, None], rest // (CLASSES - 1)])


def _timed(call: Callable[[], object], repeat: int) -> list[float]:
    call()
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return seconds
