"""What `simplify` rewrites computes the same."""

from __future__ import annotations

import numpy as np
import pytest
from random_networks import random_images, random_network

from capc.graph.float_reference import evaluate_float
from capc.graph.layers import Bias, Conv2D, Input, Layer, Network
from capc.graph.simplify import simplify

CHANNELS = 3
IMAGE = (4, 4, CHANNELS)


def scale(name: str, source: str, seed: int) -> Conv2D:
    """A factor and an offset a channel, as a batch normalisation or a 1x1 depthwise layer is."""
    random = np.random.default_rng(seed)
    kernel = random.uniform(0.5, 2, (1, 1, 1, CHANNELS))
    bias = random.normal(0, 0.3, CHANNELS)
    return Conv2D(name, (source,), IMAGE, kernel=kernel, bias=bias, groups=CHANNELS)


@pytest.mark.parametrize("scales", [1, 2, 3, 4])
def test_scales_in_a_row_before_a_convolution(scales: int) -> None:
    layers: list[Layer] = [Input("input", (), IMAGE)]
    for place in range(scales):
        layers.append(scale(f"scale_{place}", layers[-1].name, place))
    kernel = np.random.default_rng(9).normal(0, 0.5, (4, 4, CHANNELS, 2))
    end = Conv2D("end", (layers[-1].name,), (1, 1, 2), kernel=kernel, bias=np.ones(2))
    network = Network((*layers, end))
    simpler = simplify(network)
    assert sum(isinstance(layer, Bias) for layer in simpler.layers) == scales
    images = np.random.default_rng(8).normal(0, 1, (5, *IMAGE))
    expected = evaluate_float(network, images)
    np.testing.assert_allclose(evaluate_float(simpler, images), expected, rtol=1e-9)


@pytest.mark.parametrize("group", range(2))
def test_networks_at_random(group: int) -> None:
    for seed in range(50 * group, 50 * group + 50):
        network = random_network(seed, steps=2 + seed % 6)
        images = random_images(network, seed, 3)
        expected = evaluate_float(network, images)
        found = evaluate_float(simplify(network), images)
        np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-7, err_msg=f"seed {seed}")
