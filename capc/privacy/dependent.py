"""Data-dependent RDP: far smaller where the vote is clear, and as private as the votes.

Papernot et al. 2018 (arXiv 1802.08908): q, the probability of an unlikely outcome (Proposition 7),
gives a bound (Theorem 6) at the orders of Proposition 10. All in logarithms.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from capc.errors import ConfigError
from capc.fixed_point import Float64
from capc.privacy.conversion import check_orders
from capc.privacy.rdp import Mechanism, gaussian_rdp
from capc.privacy.tails import log_discrete_difference_tail, log_discrete_tail, log_normal_tail
from capc.privacy.votes import check_votes

NoiseLaw = Literal["continuous", "discrete"]

NOISES: tuple[NoiseLaw, ...] = get_args(NoiseLaw)

_CHUNK = 1 << 19  # elements of (queries, orders) held at once: memory stays flat


def check_noise(noise: str) -> NoiseLaw:
    """The law of the noise by its name; ConfigError for an unknown one."""
    for known in NOISES:
        if noise == known:
            return known
    raise ConfigError(f"noise is {noise!r}; allowed are continuous and discrete")


def log_q_gnmax(votes: ArrayLike, sigma: float, noise: NoiseLaw = "discrete") -> Float64:
    """log of an upper bound on Pr[label is not the class with most votes], shape (queries,).

    The union bound over the other classes (Proposition 7). Discrete noise makes ties likely, and
    here every tie goes against the leading class, so the bound holds whatever the tie rule is. The
    leading class wins with probability 1 / classes at least, which caps q. Without noise (sigma 0)
    the bound is the trivial one. Raises ConfigError for bad votes or sigma.
    """
    counts = check_votes(votes)
    queries, classes = counts.shape
    Mechanism("gnmax", sigma)
    if sigma == 0.0:
        return np.zeros(queries)
    leader = np.argmax(counts, axis=1)
    gaps = np.take_along_axis(counts, leader[:, None], axis=1) - counts
    others = np.ones(counts.shape, dtype=np.bool_)
    others[np.arange(queries), leader] = False
    rival_gaps = gaps[others].reshape(queries, classes - 1)
    if check_noise(noise) == "discrete":
        log_losses = log_discrete_difference_tail(rival_gaps, sigma)
    else:
        log_losses = log_normal_tail(rival_gaps / (np.sqrt(2.0) * sigma))
    union = np.logaddexp.reduce(log_losses, axis=1)
    return np.asarray(np.minimum(union, np.log1p(-1.0 / classes)), dtype=np.float64)


def log_pr_answered(
    votes: ArrayLike, threshold: float, sigma_threshold: float, noise: NoiseLaw = "discrete"
) -> tuple[Float64, Float64]:
    """(log Pr[answered], log Pr[not answered]) of the noisy threshold, each of shape (queries,)."""
    counts = check_votes(votes)
    if not np.isfinite(threshold):
        raise ConfigError(f"threshold is {threshold}; give a number of votes")
    Mechanism("threshold", sigma_threshold)
    missing = threshold - np.max(counts, axis=1).astype(np.float64)
    if sigma_threshold == 0.0:
        with np.errstate(divide="ignore"):
            return np.log((missing <= 0.0).astype(np.float64)), np.log((missing > 0.0) * 1.0)
    if check_noise(noise) == "discrete":
        least = np.ceil(missing)
        upper = log_discrete_tail(least, sigma_threshold)
        return upper, log_discrete_tail(1.0 - least, sigma_threshold)
    scaled = missing / sigma_threshold
    return log_normal_tail(scaled), log_normal_tail(-scaled)


def log_q_threshold(
    votes: ArrayLike, threshold: float, sigma_threshold: float, noise: NoiseLaw = "discrete"
) -> Float64:
    """log-probability of the less likely outcome of the threshold, shape (queries,)."""
    answered, refused = log_pr_answered(votes, threshold, sigma_threshold, noise)
    if sigma_threshold == 0.0:
        return np.zeros(answered.shape)
    return np.minimum(answered, refused)


def dependent_rdp(log_q: ArrayLike, spread: float, orders: ArrayLike) -> Float64:
    """RDP given log q, for a mechanism with RDP(order) = order / spread^2, shape (..., orders).

    Theorem 6 with the orders of Proposition 10: mu_2 = spread sqrt(log 1/q), mu_1 = mu_2 + 1. Where
    its conditions fail, or it is no better, the data-independent bound stands.
    """
    alpha = check_orders(orders)
    independent = gaussian_rdp(spread, alpha)
    lq = np.asarray(log_q, dtype=np.float64)[..., None]
    if bool(np.any(np.isnan(lq))) or bool(np.any(lq > 0.0)):
        raise ConfigError("log_q must hold logarithms of probabilities, at most 0")
    if spread == 0.0:
        return np.broadcast_to(independent, lq.shape[:-1] + alpha.shape).copy()
    with np.errstate(all="ignore"):
        mu2 = spread * np.sqrt(-lq)
        eps2 = mu2 / spread / spread
        eps1 = (mu2 + 1.0) / spread / spread
        usable = mu2 > 1.0  # which is also q exp(eps2) < 1
        log_shrink = np.log1p(1.0 / mu2) - np.log1p(-1.0 / mu2)
        usable &= lq <= (mu2 - 1.0) * eps2 - mu2 * log_shrink
        log_1q = _log_1m_exp(lq)
        log_a = log_1q - _log_1m_exp((lq + eps2) * (mu2 - 1.0) / mu2)
        log_b = eps1 - lq / mu2
        likely = log_1q + (alpha - 1.0) * log_a
        unlikely = lq + (alpha - 1.0) * log_b
        bound = np.logaddexp(likely, unlikely) / (alpha - 1.0)
    bound = np.where(np.isneginf(lq), 0.0, bound)
    usable = (usable | np.isneginf(lq)) & (alpha <= mu2 + 1.0) & (bound < independent)
    return np.asarray(np.where(usable, np.maximum(bound, 0.0), independent), dtype=np.float64)


def _log_1m_exp(x: Float64) -> Float64:
    """log(1 - exp(x)) for x < 0, accurate near 0 and far below it."""
    near = np.log(-np.expm1(x))
    return np.asarray(np.where(x > -np.log(2.0), near, np.log1p(-np.exp(x))), dtype=np.float64)


def total_dependent_rdp(
    log_q: ArrayLike, spread: float, orders: ArrayLike, weights: ArrayLike | None = None
) -> Float64:
    """Sum of `dependent_rdp` over queries, times its weight (else 1), shape (orders,)."""
    lq = np.atleast_1d(np.asarray(log_q, dtype=np.float64))
    weight = np.ones(lq.shape) if weights is None else np.asarray(weights, dtype=np.float64)
    total = np.zeros(check_orders(orders).shape)
    if spread == 0.0:
        return total + (np.inf if bool(np.any(weight > 0.0)) else 0.0)
    rows = max(1, _CHUNK // total.size)
    for start in range(0, lq.size, rows):
        part = slice(start, start + rows)
        total += weight[part] @ dependent_rdp(lq[part], spread, orders)
    return total


def expected_cost_rdp(
    votes: ArrayLike,
    sigma: float,
    threshold: float,
    sigma_threshold: float,
    orders: ArrayLike,
    *,
    noise: NoiseLaw = "discrete",
    dependent: bool = True,
) -> Float64:
    """RDP of Confident-GNMax by the original's rule: GNMax times its probability, shape (orders,).

    Not an account of what happened: half of the runs spend more than this. It is here to compare
    with figures published by that rule. Private, for the probabilities come from the votes.
    """
    alpha = check_orders(orders)
    counts = check_votes(votes)
    answered, _ = log_pr_answered(counts, threshold, sigma_threshold, noise)
    lq_label = lq_threshold = np.zeros(answered.shape)  # the trivial bound: data-independent
    if dependent:
        lq_label = log_q_gnmax(counts, sigma, noise)
        lq_threshold = log_q_threshold(counts, threshold, sigma_threshold, noise)
    gate = total_dependent_rdp(lq_threshold, Mechanism("threshold", sigma_threshold).spread, alpha)
    return gate + total_dependent_rdp(lq_label, sigma, alpha, np.exp(answered))
