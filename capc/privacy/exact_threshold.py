"""The threshold's RDP from its exact output, one bit: tighter than the Gaussian bound.

The Gaussian bound counts the noisy number as published; the circuit publishes a bit. The supremum
over every count that the parties can give is data-independent. The live budget does not use it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from capc.errors import ConfigError
from capc.fixed_point import Float64
from capc.privacy.conversion import check_orders
from capc.privacy.dependent import NoiseLaw, log_pr_answered
from capc.privacy.rdp import threshold_rdp


def exact_threshold_rdp(
    threshold: float,
    sigma_threshold: float,
    parties: int,
    orders: ArrayLike,
    noise: NoiseLaw = "discrete",
) -> Float64:
    """Largest Renyi divergence of the bit between a count and its neighbour, shape (orders,).

    Over all counts 0 to `parties` and both directions; never above the Gaussian bound.
    Infinite without noise.
    """
    alpha = check_orders(orders)
    if parties < 1:
        raise ConfigError(f"parties is {parties}; give 1 or more")
    if sigma_threshold == 0.0:
        return threshold_rdp(sigma_threshold, alpha)
    counts = np.arange(parties + 1)
    histograms = np.stack([counts, np.zeros_like(counts)], axis=1)
    bits = np.stack(log_pr_answered(histograms, threshold, sigma_threshold, noise))
    fewer, more = bits[:, :-1], bits[:, 1:]
    both_ways = [
        _bernoulli_divergence(fewer, more, alpha),
        _bernoulli_divergence(more, fewer, alpha),
    ]
    largest = np.max(both_ways, axis=(0, 1))
    return np.asarray(np.minimum(largest, threshold_rdp(sigma_threshold, alpha)), dtype=np.float64)


def _bernoulli_divergence(log_p: Float64, log_r: Float64, alpha: Float64) -> Float64:
    """D_alpha(P || R) of two coins, from log-probabilities (2, n); shape (n, orders)."""
    with np.errstate(invalid="ignore"):
        tilt = (alpha - 1.0) * (log_p - log_r)[:, :, None]
        divergence = np.logaddexp.reduce(log_p[:, :, None] + tilt, axis=0) / (alpha - 1.0)
    # Where both probabilities underflow the Gaussian bound stands.
    return np.asarray(np.where(np.isnan(divergence), np.inf, divergence), dtype=np.float64)
