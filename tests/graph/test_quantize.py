"""Bounds hold for every input, are met where they can be, and refuse what may leave the ring."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from random_networks import random_images, random_network

from capc.errors import ModelError, RangeError
from capc.fixed_point import MAX_RING_BITS, FixedPoint
from capc.graph.layers import Add, Conv2D, Dense, Input, Layer, Network, Relu, Rescale
from capc.graph.layers.interval import bits_of
from capc.graph.quantize import layer_ranges, quantize, required_ring_bits, to_integers
from capc.graph.ring_choice import require_sums
from capc.inference.reference import encode_images, evaluate_layers

SEEDS = st.integers(0, 2**32 - 1)
UNIT = (0.0, 1.0)


def dense(name: str, source: str, weight: list[list[float]], bias: list[float]) -> Dense:
    return Dense(name, (source,), (len(bias),), weight=np.array(weight), bias=np.array(bias))


def one_layer(weight: list[list[float]], bias: list[float]) -> Network:
    return Network((Input("x", (), (len(weight),)), dense("y", "x", weight, bias)))


@settings(max_examples=400, deadline=None)
@given(SEEDS, st.integers(0, 12), st.integers(1, 6), st.sampled_from([0.0, -1.0, 0.5]))
def test_no_value_leaves_its_bounds(seed: int, bits: int, steps: int, low: float) -> None:
    network = random_network(seed, steps)
    try:
        ring_bits = required_ring_bits(network, bits, (low, 1.0))
    except RangeError:
        assume(False)
        return
    integers = quantize(network, FixedPoint(ring_bits, bits), (low, 1.0))
    images = random_images(network, seed, 40, low)
    values = evaluate_layers(integers, encode_images(integers, images))
    assert set(values) == set(integers.bounds) == set(integers.fraction_bits)
    for name, (lowest, highest) in integers.bounds.items():
        assert lowest <= values[name].min(), name
        assert values[name].max() <= highest, name
        assert -(2 ** (ring_bits - 1)) <= lowest, name
        assert highest < 2 ** (ring_bits - 1), name


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.booleans())
def test_bounds_of_one_linear_layer_are_met(seed: int, spatial: bool) -> None:
    random = np.random.default_rng(seed)
    if spatial:
        kernel, bias = random.normal(size=(3, 3, 1, 2)), random.normal(size=2)
        source = Input("x", (), (3, 3, 1))
        layer: Layer = Conv2D(
            "y", ("x",), (3, 3, 2), kernel=kernel, bias=bias, padding=((1, 1), (1, 1))
        )
    else:
        source = Input("x", (), (5,))
        layer = Dense(
            "y", ("x",), (2,), weight=random.normal(size=(5, 2)), bias=random.normal(size=2)
        )
    low, high = sorted(random.uniform(-1, 1, 2).round(3).tolist())
    network = Network((source, layer))
    integers = quantize(network, FixedPoint(40, 8), (low, high))
    corners = np.array(np.meshgrid(*[[low, high]] * int(np.prod(source.shape)))).reshape(
        int(np.prod(source.shape)), -1
    )
    values = evaluate_layers(
        integers, encode_images(integers, corners.T.reshape(-1, *source.shape))
    )["y"]
    found = (int(values.min()), int(values.max()))
    assert found == integers.bounds["y"]


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(0, 10))
def test_required_bits_are_enough_and_one_less_is_refused(seed: int, bits: int) -> None:
    network = random_network(seed, 3)
    try:
        ring_bits = required_ring_bits(network, bits, UNIT)
    except RangeError:
        assume(False)
        return
    quantize(network, FixedPoint(ring_bits, bits), UNIT)
    if ring_bits > max(2 * bits + 1, 2):
        with pytest.raises(RangeError, match=r"needs \d+ bits"):
            quantize(network, FixedPoint(ring_bits - 1, bits), UNIT)


@pytest.mark.parametrize(
    ("low", "high", "bits"),
    [
        (0, 0, 1),
        (0, 1, 2),
        (-1, 0, 1),
        (-2, 1, 2),
        (-3, 0, 3),
        (0, 127, 8),
        (-128, 0, 8),
        (0, 128, 9),
    ],
)
def test_bits_hold_exactly_the_half_open_range(low: int, high: int, bits: int) -> None:
    assert bits_of(low, high) == bits


def test_error_names_layer_bits_and_way_out() -> None:
    network = Network(
        (
            Input("x", (), (1,)),
            dense("fine", "x", [[1.0]], [0.0]),
            Relu("relu", ("fine",), (1,)),
            dense("wide", "relu", [[1000.0]], [0.0]),
        )
    )
    with pytest.raises(RangeError, match="layer 'wide' needs 19 bits, of which 8 fractional") as e:
        quantize(network, FixedPoint(16, 4), UNIT)
    assert "the ring has 16: use fewer fractional bits" in str(e.value)
    with pytest.raises(RangeError, match="layer 'y' has a weight or bias that needs 76 bits"):
        quantize(one_layer([[1e20]], [0.0]), FixedPoint(40, 8), UNIT)
    with pytest.raises(ModelError, match="layer 'y' has a weight that is not a finite number"):
        quantize(one_layer([[np.inf]], [0.0]), FixedPoint(40, 8), UNIT)


def test_a_deep_network_is_refused_by_name_however_large_its_values() -> None:
    layers: list[Layer] = [Input("x", (), (1,))]
    for place in range(60):
        layers.append(dense(f"d{place}", layers[-1].name, [[1e6]], [0.0]))
        layers.append(Relu(f"r{place}", (f"d{place}",), (1,)))
    layers.append(dense("y", layers[-1].name, [[1.0]], [0.0]))
    network = Network(tuple(layers))
    with pytest.raises(RangeError, match="layer 'd1' needs 57 bits"):
        quantize(network, FixedPoint(48, 8), UNIT)
    with pytest.raises(RangeError, match=f"a ring has {MAX_RING_BITS} at most"):
        required_ring_bits(network, 8, UNIT)
    ranges = layer_ranges(to_integers(network, 8), 8, UNIT)
    bits = {found.name: found.bits for found in ranges}
    assert bits["d0"] == 37  # 1e6 * 2^16
    assert abs(bits["d9"] - (16 + 10 * np.log2(1e6) + 1)) < 2


def test_a_ring_for_sums_of_logits_holds_them() -> None:
    """Votes for sets of labels compare sums of as many logits as a set may have."""
    network = one_layer([[100.0, -100.0]], [0.0, 0.0])  # +-100 * 2^16
    assert required_ring_bits(network, 8, UNIT) == 24
    assert required_ring_bits(network, 8, UNIT, terms=4) == 26
    assert required_ring_bits(network, 8, UNIT, 36.0, terms=4) == 26
    assert required_ring_bits(one_layer([[1.0, 0.0]], [0.0, 0.0]), 8, UNIT, 36.0, terms=4) == 25
    require_sums(quantize(network, FixedPoint(26, 8), UNIT), 4)
    with pytest.raises(RangeError, match="a sum of 4 logits of 'y' may leave the ring of 25 bits"):
        require_sums(quantize(network, FixedPoint(25, 8), UNIT), 4)


def test_weights_and_biases_are_rounded_to_their_bits() -> None:
    network = one_layer([[0.3], [-0.5 / 16]], [0.3])
    integers = quantize(network, FixedPoint(20, 4), UNIT)
    layer = integers.layers[1]
    assert isinstance(layer, Dense)
    assert layer.weight.tolist() == [[5], [0]]  # 4.8 up, -0.5 to even
    assert layer.bias.tolist() == [77]  # 76.8
    assert layer.weight.dtype == layer.bias.dtype == np.int64
    assert dict(integers.fraction_bits) == {"x": 4, "y": 8}
    assert integers.bounds["y"] == (77, 77 + 5 * 16)


def test_linear_after_linear_gets_one_rescale_for_all_its_users() -> None:
    branches = (
        Input("x", (), (1,)),
        dense("a", "x", [[1.5]], [0.0]),
        dense("b", "a", [[1.0]], [0.0]),
        dense("c", "a", [[-1.0]], [0.0]),
        Add("sum", ("b", "c"), (1,)),
    )
    integers = quantize(Network(branches), FixedPoint(24, 6), UNIT)
    kinds = [type(layer).__name__ for layer in integers.layers]
    assert kinds == ["Input", "Dense", "Rescale", "Dense", "Dense", "Add"]
    rescale = integers.layers[2]
    assert isinstance(rescale, Rescale)
    assert rescale.name == "a/rescale"
    assert integers.layers[3].inputs == integers.layers[4].inputs == ("a/rescale",)
    assert integers.fraction_bits["a/rescale"] == 6
    renamed = tuple(
        replace(layer, name="a/rescale", inputs=("a",)) if layer.name == "b" else layer
        for layer in branches[:3]
    )
    names = [layer.name for layer in quantize(Network(renamed), FixedPoint(24, 6), UNIT).layers]
    assert names == ["x", "a", "a/rescale_", "a/rescale"]


def test_bounds_of_a_sum_count_the_aligned_input() -> None:
    layers = (
        Input("x", (), (1,)),
        dense("d", "x", [[0.25]], [0.0]),
        Add("sum", ("x", "d"), (1,)),
    )
    integers = quantize(Network(layers), FixedPoint(12, 4), UNIT)
    assert integers.bounds["sum"] == (0, 256 + 64)
    assert integers.fraction_bits["sum"] == 8


def test_bounds_stay_safe_where_they_are_floats() -> None:
    layers = (
        Input("x", (), (1,)),
        dense("d", "x", [[2.0**40, 1.0]], [0.0, 0.0]),
        Relu("r", ("d",), (2,)),
        dense("y", "r", [[0.0, 0.0], [1.0, 2.0**22]], [2.0**54, 0.0]),
    )
    integers = quantize(Network(layers), FixedPoint(58, 0), UNIT)
    lowest, highest = integers.bounds["y"]
    assert highest >= 2**54 + 1  # which float64 rounds down
    assert lowest <= 0


def test_max_logit_widens_the_ring() -> None:
    network = one_layer([[1.0]], [0.0])
    assert required_ring_bits(network, 8, UNIT) == 18  # 1.0 * 2^16 and a sign
    assert required_ring_bits(network, 8, UNIT, max_logit=36.0) == 23
    with pytest.raises(RangeError, match="max_logit is -1"):
        required_ring_bits(network, 8, UNIT, max_logit=-1.0)
    with pytest.raises(RangeError, match="lower max_logit"):
        required_ring_bits(network, 8, UNIT, max_logit=1e30)


@pytest.mark.parametrize("given", [(1.0, 0.0), (0.0, np.inf), (np.nan, 1.0), (0.0, 2.0**60)])
def test_an_input_range_that_is_none_is_refused(given: tuple[float, float]) -> None:
    with pytest.raises(RangeError, match="input range"):
        quantize(one_layer([[1.0]], [0.0]), FixedPoint(40, 8), given)
