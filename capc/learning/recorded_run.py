"""`capc recorded-run`: the published MNIST run, re-derived from histograms of the same make.

See docs/privacy.md.

The histograms: 250 parties, each with a uniform disjoint shard of 240 MNIST images and a model of
its own; party 0 asks, the other 249 vote on test images in their order. The model is kernel ridge
regression (Gaussian kernel on images of unit length). Its two settings were fixed beforehand at
round values and not tuned to the published figures.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from capc.arrays import load_array
from capc.command_line import ExitStatus, Parser
from capc.data.datasets import load_dataset, normalised
from capc.errors import ConfigError
from capc.files import REPOSITORY
from capc.fixed_point import Float64, Int64
from capc.privacy.accountant import Accountant
from capc.privacy.conversion import default_orders, epsilons
from capc.privacy.dependent import expected_cost_rdp, log_pr_answered
from capc.privacy.rdp import Mechanism

SIGMA, THRESHOLD, SIGMA_THRESHOLD, DELTA, BUDGET = 40.0, 200.0, 150.0, 1e-5, 2.5
RECORDED = {"queries": 1621, "answered": 883, "epsilon": 2.4989, "right": 92.64}
VOTES = REPOSITORY / "tests" / "privacy" / "data" / "mnist_250_votes.npy"

_PARTIES, _SHARD, _QUERIES, _CLASSES = 250, 240, 2000, 10
_GAMMA, _RIDGE = 5.0, 0.1
_DRAWS = 400
_REMAKE = "capc recorded-run --remake votes.npy"


def make_votes() -> NDArray[np.uint8]:
    """Counts (queries, classes) of 249 models."""
    mnist = load_dataset("mnist")
    images, queries = _unit(mnist.train_images), _unit(mnist.test_images[:_QUERIES])
    order = np.random.default_rng(2).permutation(len(images))
    votes = np.zeros((_QUERIES, _CLASSES), dtype=np.uint8)
    for party in range(1, _PARTIES):
        shard = order[party * _SHARD : (party + 1) * _SHARD]
        own, targets = images[shard], np.eye(_CLASSES)[mnist.train_labels[shard]] - 1 / _CLASSES
        kernel = np.exp(_GAMMA * (own @ own.T - 1))
        weights = np.linalg.solve(kernel + _RIDGE * np.eye(_SHARD), targets)
        label = np.argmax(np.exp(_GAMMA * (queries @ own.T - 1)) @ weights, axis=1)
        votes[np.arange(_QUERIES), label] += 1
    return votes


def _saved_votes(path: Path) -> Int64:
    """Counts (queries, classes) of a file. Raises ConfigError where it does not hold them."""
    try:
        votes = load_array(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}; remake it: {_REMAKE}") from error
    if not isinstance(votes, np.ndarray) or votes.ndim != 2 or votes.dtype.kind not in "iu":
        raise ConfigError(f"{path} does not hold counts, one row a query; remake it: {_REMAKE}")
    return votes.astype(np.int64)


def _unit(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    flat = normalised(images).reshape(len(images), -1)
    unit: NDArray[np.float32] = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    return unit


def spent_by_the_original_rule(votes: Int64) -> Float64:
    """epsilon after each query (n,): data-dependent, continuous, expected cost, classic."""
    orders = default_orders()
    rule = (SIGMA, THRESHOLD, SIGMA_THRESHOLD, orders)
    curves = np.cumsum([expected_cost_rdp(row, *rule, noise="continuous") for row in votes], axis=0)
    spent: Float64 = epsilons(curves, orders, DELTA, "classic").min(axis=1)
    return spent


def within_budget(spent: Float64) -> int:
    """The queries whose total stays at or below the budget."""
    return int(np.searchsorted(spent, BUDGET, side="right"))


def _answers(votes: Int64, truth: Int64) -> tuple[Float64, Float64]:
    """Answered queries, and the share of right labels among them, in each of many draws."""
    generator = np.random.default_rng(1)
    answered, right = [], []
    for _ in range(_DRAWS):
        reached = (
            votes.max(axis=1) + generator.normal(0.0, SIGMA_THRESHOLD, len(votes)) >= THRESHOLD
        )
        labels = np.argmax(votes + generator.normal(0.0, SIGMA, votes.shape), axis=1)
        answered.append(reached.sum())
        right.append((labels == truth)[reached].mean())
    return np.array(answered, dtype=np.float64), np.array(right)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the recorded figures beside those of the histograms; the exit status."""
    parser = Parser(
        "capc recorded-run",
        description="Print the published MNIST run beside its re-derivation.",
        examples=["capc recorded-run", f"{_REMAKE}     (ten seconds)"],
    )
    parser.add_argument(
        "--remake", metavar="FILE", type=Path, help="make the histograms again, into FILE"
    )
    flags = parser.parse_args(arguments)
    sys.stdout.write("\n".join(_report(flags.remake)) + "\n")
    return ExitStatus.OK


def _report(remake: Path | None) -> list[str]:
    if remake is not None:
        try:
            with remake.open("wb") as file:  # np.save would add .npy to the name
                np.save(file, make_votes())
        except OSError as error:
            raise ConfigError(f"{remake} cannot be written: {error.strerror}") from None
    every = _saved_votes(Path(remake or VOTES))
    spent = spent_by_the_original_rule(every)
    queries = within_budget(spent)
    votes = every[:queries]
    log_answered, _ = log_pr_answered(votes, THRESHOLD, SIGMA_THRESHOLD, "continuous")
    answered, right = _answers(votes, load_dataset("mnist").test_labels[:queries])
    expected = float(np.exp(log_answered).sum())
    happened = Accountant()
    happened.charge(Mechanism("threshold", SIGMA_THRESHOLD), int(RECORDED["queries"]))
    happened.charge(Mechanism("gnmax", SIGMA), int(RECORDED["answered"]))
    classic = happened.privacy_loss(DELTA, "classic").epsilon
    improved = happened.privacy_loss(DELTA, "improved").epsilon
    return [
        f"{'':24}{'recorded':>10}  from these histograms",
        f"{f'queries within {BUDGET}':24}{RECORDED['queries']:>10}  {queries}",
        f"{'answered':24}{RECORDED['answered']:>10}  {expected:.0f} expected "
        f"(standard deviation {answered.std():.0f} over draws)",
        f"{'epsilon':24}{RECORDED['epsilon']:>10}  {spent[queries - 1]:.4f}",
        f"{'labels right, percent':24}{RECORDED['right']:>10}  {100 * right.mean():.1f} "
        f"(standard deviation {100 * right.std():.1f})",
        f"the record by what happened, data-independent: epsilon {classic:.4f} (classic), "
        f"{improved:.4f} (improved)",
    ]
