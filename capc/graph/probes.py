"""A few inputs on which a model is tried: its zeros, its corners, and noise; always the same."""

from __future__ import annotations

import math

import numpy as np

from capc.fixed_point import Float64
from capc.graph.kernels import Shape


def probe_images(shape: Shape, input_range: tuple[float, float], noise: int = 4) -> Float64:
    """Images (noise + 4, *shape) in the closed `input_range`.

    First the value nearest to zero everywhere, then the lowest, the highest, the two ends mixed,
    then uniform noise of growing contrast up to the whole range.
    """
    low, high = (float(end) for end in input_range)
    nearest = min(max(0.0, low), high)
    flat = [np.full(shape, value) for value in (nearest, low, high)]
    ends = np.where(_uniform(shape, 2) < 0.5, low, high)
    noises = []
    for place in range(noise):
        uniform = low + (high - low) * _uniform(shape, 4 * place + 3)
        noises.append(nearest + (place + 1) / noise * (uniform - nearest))
    return np.stack([*flat, ends, *noises])


def _uniform(shape: Shape, seed: int) -> Float64:
    """The fractions of k^2 sqrt(seed), equidistributed in [0, 1) where seed is no square (Weyl)."""
    places = np.arange(1, math.prod(shape) + 1, dtype=np.float64)
    return np.asarray(np.mod(places * places * math.sqrt(seed), 1.0).reshape(shape))
