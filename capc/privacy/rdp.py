"""Renyi differential privacy of the mechanisms, whatever the votes are.

Neighbouring: one answering party's training set replaced, so at most one vote moves, from one
class to another: two counts change by 1 and the largest count by at most 1. The same bounds hold
for continuous and for discrete Gaussian noise (Canonne, Kamath and Steinke 2020, section 2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from capc.errors import ConfigError
from capc.fixed_point import Float64
from capc.privacy.conversion import check_orders
from capc.privacy.distributed import log_excess

MechanismKind = Literal["gnmax", "threshold", "distributed", "labels"]


def check_sigma(sigma: float, name: str = "sigma") -> float:
    """sigma; ConfigError unless it is finite and not negative (0: no noise)."""
    if not 0.0 <= sigma < math.inf:
        raise ConfigError(f"{name} is {sigma}; give a finite scale of 0 or more (0: no noise)")
    return float(sigma)


@dataclass(frozen=True)
class Mechanism:
    """One noisy answer: the label (`gnmax`) or the bit "enough votes" (`threshold`).

    Or both at once (`distributed`), from counts to which `parties` answering parties added noise
    of their own, of which `colluding` are known to others. Or several labels, each from a count of
    its own (`labels`), of which one party's data move `changes`, by 1 each. `log_q`, when given,
    makes the charge data-dependent: an upper bound on the log-probability that the outcome was not
    the likely one. It comes from the votes and is as private as they are.
    """

    kind: MechanismKind
    sigma: float
    log_q: float | None = None
    parties: int | None = None
    colluding: int = 0
    changes: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(MechanismKind):
            raise ConfigError(
                f"mechanism is {self.kind!r}; allowed are {', '.join(get_args(MechanismKind))}"
            )
        check_sigma(self.sigma, f"sigma of {self.kind}")
        if self.log_q is not None and not self.log_q <= 0.0:
            raise ConfigError(f"log_q is {self.log_q}; the logarithm of a probability is <= 0")
        if self.kind == "distributed":
            if self.parties is None or self.log_q is not None:
                raise ConfigError("distributed noise needs the number of parties, and knows no q")
            log_excess(self.sigma, self.parties, self.colluding)
        elif self.parties is not None or self.colluding:
            raise ConfigError(f"parties and colluding go with distributed noise, not {self.kind}")
        if (self.kind == "labels") != (self.changes is not None):
            raise ConfigError("changes goes with labels, and labels needs it")
        if self.changes is not None and (self.changes < 1 or self.log_q is not None):
            raise ConfigError("labels needs one count or more that change, and knows no q")

    @property
    def spread(self) -> float:
        """s with RDP(order) = order / s^2 + excess."""
        if self.changes is not None:
            return math.sqrt(2.0 / self.changes) * self.sigma
        return math.sqrt(2.0) * self.sigma if self.kind == "threshold" else self.sigma

    @property
    def excess(self) -> float:
        """What is added at every order: 2 tau for distributed noise, else 0."""
        return 0.0 if self.parties is None else math.exp(self.log_excess)

    @property
    def log_excess(self) -> float:
        """log of `excess`, also where that is too small for a float."""
        if self.parties is None:
            return -math.inf
        return log_excess(self.sigma, self.parties, self.colluding)


def gaussian_rdp(spread: float, orders: ArrayLike) -> Float64:
    """order / spread^2 at each order; infinite without noise."""
    with np.errstate(divide="ignore", over="ignore"):
        return np.asarray(check_orders(orders) / np.float64(spread) / spread, dtype=np.float64)


def gnmax_rdp(sigma: float, orders: ArrayLike) -> Float64:
    """RDP of GNMax, order / sigma^2: L2 sensitivity sqrt 2 (Papernot et al. 2018, Prop. 8)."""
    return gaussian_rdp(Mechanism("gnmax", sigma).spread, orders)


def labels_rdp(sigma: float, changes: int, orders: ArrayLike) -> Float64:
    """RDP of label counts of which `changes` move by 1, order * changes / (2 sigma^2).

    Their L2 sensitivity is sqrt(changes): what each label's decision is computed from (binary and
    tau-voting of "Private Multi-Winner Voting for Machine Learning", PoPETs 2023).
    """
    return gaussian_rdp(Mechanism("labels", sigma, changes=changes).spread, orders)


def distributed_rdp(
    sigma: float, parties: int, orders: ArrayLike, *, colluding: int = 0
) -> Float64:
    """RDP of a query under distributed noise, order / sigma^2 + 2 tau, answered or not.

    Label and bit come from the same noisy counts, whose L2 sensitivity is sqrt 2 votes; see
    distributed.py for tau.
    """
    mechanism = Mechanism("distributed", sigma, parties=parties, colluding=colluding)
    return gaussian_rdp(mechanism.spread, orders) + mechanism.excess


def threshold_rdp(sigma_threshold: float, orders: ArrayLike) -> Float64:
    """RDP of the threshold on the largest count, order / (2 sigma_T^2): sensitivity 1."""
    return gaussian_rdp(Mechanism("threshold", sigma_threshold).spread, orders)
