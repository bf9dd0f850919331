"""The plain fixed-point definition against Python integers, floats, and the published model."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from random_networks import activation, convolution, random_images, random_network
from slow_arithmetic import slow_evaluate

from capc.errors import ModelError, RangeError
from capc.fixed_point import FixedPoint
from capc.graph.float_reference import evaluate_float
from capc.graph.layers import Conv2D, Dense, Input, Network, QuantizedNetwork, Relu
from capc.graph.prepared import load_network, prepare
from capc.graph.quantize import quantize, required_ring_bits
from capc.inference.reference import encode_images, evaluate, evaluate_layers

REFERENCE = Path(__file__).parents[2].parent / "shared" / "reference"
SEEDS = st.integers(0, 2**32 - 1)
EXAMPLES = int(os.environ.get("CAPC_EXAMPLES", "500"))  # some 100 a second


def quantized(network: Network, fraction_bits: int, low: float = 0.0) -> QuantizedNetwork:
    try:
        ring_bits = required_ring_bits(network, fraction_bits, (low, 1.0))
    except RangeError:
        assume(False)
        raise
    return quantize(network, FixedPoint(ring_bits, fraction_bits), (low, 1.0))


@settings(max_examples=EXAMPLES, deadline=None)
@given(SEEDS, st.integers(0, 14), st.integers(1, 6), st.sampled_from([0.0, -1.0]))
def test_every_layer_equals_python_integers(
    seed: int, fraction_bits: int, steps: int, low: float
) -> None:
    network = random_network(seed, steps)
    integers = quantized(network, fraction_bits, low)
    images = random_images(network, seed, 2, low)
    found = evaluate_layers(integers, encode_images(integers, images))
    for place, image in enumerate(images):
        expected = slow_evaluate(integers, image)
        for layer in integers.layers:
            assert found[layer.name][place].tolist() == expected[layer.name].tolist(), layer
    assert np.array_equal(evaluate(integers, images), found[integers.output.name])


@settings(max_examples=300, deadline=None)
@given(SEEDS, st.integers(2, 8), st.integers(1, 12))
def test_values_wrap_like_the_ring(seed: int, fraction_bits: int, missing_bits: int) -> None:
    network = random_network(seed)
    integers = quantized(network, fraction_bits)
    narrow = max(integers.fixed_point.ring_bits - missing_bits, 2 * fraction_bits + 2)
    small = replace(integers, fixed_point=FixedPoint(narrow, fraction_bits))
    image = random_images(network, seed, 1)
    expected = slow_evaluate(small, image[0])[small.output.name]
    assert evaluate(small, image)[0].tolist() == expected.tolist()


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(6, 16))
def test_error_to_float_stays_within_the_rounding(seed: int, fraction_bits: int) -> None:
    network = random_network(seed, 4, [convolution, activation_relu])
    integers = quantized(network, fraction_bits)
    if any(type(layer).__name__ == "Rescale" for layer in integers.layers):
        assume(False)
    images = random_images(network, seed, 3)
    error = np.abs(
        np.ldexp(evaluate(integers, images), -integers.fraction_bits[network.output.name])
        - evaluate_float(network, images)
    )
    assert error.max() <= rounding_bound(network, images, fraction_bits)


def activation_relu(maker: object) -> None:
    maker.simple(Relu)  # type: ignore[attr-defined]


def rounding_bound(network: Network, images: NDArray[Any], fraction_bits: int) -> float:
    """Half a unit per rounded number, one unit per floor, carried through the weights."""
    half = 2.0 ** -(fraction_bits + 1)
    errors = {network.input.name: half}
    sizes = {network.input.name: float(np.abs(images).max())}
    for layer in network.layers[1:]:
        error, size = errors[layer.inputs[0]], sizes[layer.inputs[0]]
        if isinstance(layer, Conv2D | Dense):
            weights = layer.kernel if isinstance(layer, Conv2D) else layer.weight
            columns = np.abs(weights).reshape(-1, weights.shape[-1])
            gain, terms = float(columns.sum(axis=0).max()), len(columns)
            error = gain * error + terms * half * (size + error) + half**2 * 2
            size = gain * size + float(np.abs(layer.bias).max())
        elif isinstance(layer, Relu):
            error += 2 * half
        errors[layer.name], sizes[layer.name] = error, size
    return errors[network.output.name] * (1 + 1e-9)


def test_hand_made_network_has_the_logits_worked_out_by_hand() -> None:
    network = Network(
        (
            Input("x", (), (2,)),
            Dense("d", ("x",), (2,), weight=np.array([[1.5, -1], [0.5, 0]]), bias=np.array([0, 1])),
            Relu("r", ("d",), (2,)),
            Dense("y", ("r",), (1,), weight=np.array([[-1.0], [2.0]]), bias=np.array([0.25])),
        )
    )
    integers = quantize(network, FixedPoint(16, 4), (0.0, 1.0))
    # x = (12, 5) / 16; d = (24*12 + 8*5, -16*12 + 256) = (328, 64); r = (20, 4)
    assert evaluate(integers, np.array([[0.75, 0.3]])).tolist() == [[-16 * 20 + 32 * 4 + 64]]


def test_a_pixel_outside_the_range_and_another_shape_are_refused() -> None:
    network = random_network(1)
    integers = quantized(network, 4)
    image = np.zeros((1, *network.input.shape))
    image.flat[0] = 1.01
    with pytest.raises(RangeError, match=r"outside the input range \[0.0, 1.0\]"):
        evaluate(integers, image)
    image.flat[0] = np.nan
    with pytest.raises(RangeError, match="outside"):
        evaluate(integers, image)
    with pytest.raises(ModelError, match="takes images of shape"):
        evaluate(integers, image[0])


def test_published_model_gives_its_published_logits(tmp_path: Path) -> None:
    if not REFERENCE.is_dir():
        pytest.skip("the reference model is not beside the repository")
    network = load_network(prepare(REFERENCE / "cryptonets-relu.pb", cache_dir=tmp_path))
    with np.load(REFERENCE / "cryptonets-relu-example.npz") as example:
        image, logits = example["image"], example["logits"]
    assert np.abs(evaluate_float(network, image) - logits).max() < 1e-4
    ring_bits = required_ring_bits(network, 12, (0.0, 1.0))
    assert ring_bits <= 41
    found = evaluate(quantize(network, FixedPoint(ring_bits, 12), (0.0, 1.0)), image)
    assert np.abs(np.ldexp(found, -24) - logits).max() <= 0.007
    assert found.argmax() == logits.argmax()


def test_batches_give_what_single_images_give() -> None:
    network = random_network(5, 3, [convolution, activation])
    integers = quantized(network, 8)
    images = random_images(network, 5, 600)
    together = evaluate(integers, images)
    assert np.array_equal(
        together[[0, 249, 250, 599]], evaluate(integers, images[[0, 249, 250, 599]])
    )
