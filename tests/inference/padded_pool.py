"""A convolution and a padded maximum: where networks begin that are tried with both forms."""

from __future__ import annotations

import numpy as np

from capc.graph.layers import Conv2D, Input, Layer, MaxPool


def convolution(random: np.random.Generator, deviation: float) -> tuple[Layer, Layer]:
    """The input x (6, 6, 1), and c (6, 6, 2) with kernel weights of this standard deviation."""
    return (
        Input("x", (), (6, 6, 1)),
        Conv2D(
            *("c", ("x",), (6, 6, 2)),
            kernel=random.normal(0, deviation, (3, 3, 1, 2)),
            bias=np.zeros(2),
            padding=((1, 1), (1, 1)),
        ),
    )


def padded_maximum(source: str) -> MaxPool:
    """The layer p (6, 6, 2)."""
    padding = ((1, 1), (2, 0))
    return MaxPool(*("p", (source,), (6, 6, 2)), window=(3, 3), strides=(1, 1), padding=padding)
