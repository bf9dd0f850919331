"""A few inputs on which a model is tried: its zeros, its corners, and noise; always the same."""

from __future__ import annotations

import numpy as np

from capc.fixed_point import Float64
from capc.graph.kernels import Shape

_SEED = 20201


def probe_images(shape: Shape, input_range: tuple[float, float], noise: int = 4) -> Float64:
    """Images (noise + 4, *shape) in the closed `input_range`.

    First the value nearest to zero everywhere, then the lowest, the highest, the two ends at
    random, then uniform noise of growing contrast up to the whole range.
    """
    low, high = (float(end) for end in input_range)
    random = np.random.default_rng(_SEED)
    nearest = min(max(0.0, low), high)
    flat = [np.full(shape, value) for value in (nearest, low, high)]
    ends = np.where(random.random(shape) < 0.5, low, high)
    noises = [
        nearest + (share + 1) / noise * (random.uniform(low, high, shape) - nearest)
        for share in range(noise)
    ]
    return np.stack([*flat, ends, *noises])
