"""Small weights are doubled and large ones halved: the same function up to a power of two."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from random_networks import random_images, random_network

from capc.errors import ModelError, RangeError
from capc.fixed_point import FixedPoint
from capc.graph.agreement import agree, agreed_integers
from capc.graph.float_reference import evaluate_float
from capc.graph.layers import (
    Add,
    Bias,
    BoundedRelu,
    Conv2D,
    Dense,
    Input,
    Layer,
    LeakyRelu,
    MaxPool,
    Network,
    PiecewiseLinear,
    Relu,
    Reshape,
    Square,
    Step,
    WeightedLayer,
)
from capc.graph.quantize import quantize, required_ring_bits
from capc.graph.ring_choice import to_ring, why_fewer_bits, why_vanishing
from capc.graph.scaling import in_ring, scaled
from capc.inference.plan import plan_to_json, public_part
from capc.inference.reference import evaluate

UNIT = (0.0, 1.0)
RING = FixedPoint(37, 12)
SEEDS = st.integers(0, 2**32 - 1)


def shrunk(network: Network, factors: dict[str, float]) -> Network:
    """The weights of some layers times a factor, and biases times all the factors up to there."""
    layers: list[Layer] = []
    so_far = 1.0
    for layer in network.layers:
        factor = factors.get(layer.name, 1.0)
        so_far *= so_far if isinstance(layer, Square) else factor
        if isinstance(layer, Conv2D):
            layers.append(replace(layer, kernel=layer.kernel * factor, bias=layer.bias * so_far))
        elif isinstance(layer, Dense):
            layers.append(replace(layer, weight=layer.weight * factor, bias=layer.bias * so_far))
        else:
            layers.append(layer)
    return Network(tuple(layers))


def chain(*middle: type[Layer] | Layer, width: int = 12) -> Network:
    """Dense layers d0, d1, ... with an activation after each but the last."""
    random = np.random.default_rng(4)
    layers: list[Layer] = [Input("x", (), (3, 4, 1)), Reshape("flat", ("x",), (12,))]
    for place in range(len(middle) + 1):
        outputs = 5 if place == len(middle) else width
        weight = random.normal(0, 0.4, (12 if not place else width, outputs))
        bias = random.normal(0, 0.3, outputs)
        layers.append(Dense(f"d{place}", (layers[-1].name,), (outputs,), weight, bias))
        if place < len(middle):
            given = middle[place]
            fields = (f"a{place}", (f"d{place}",), (outputs,))
            if isinstance(given, type):
                layers.append(given(*fields))
            else:
                layers.append(
                    replace(given, name=f"a{place}", inputs=(f"d{place}",), shape=(outputs,))
                )
    last = layers[-1]  # every class is the largest for some image
    assert isinstance(last, Dense)
    network = Network(tuple(layers))
    typical = evaluate_float(network, random_images(network, 1, 200)).mean(axis=0)
    return Network((*layers[:-1], replace(last, bias=last.bias - typical)))


BOUNDED = BoundedRelu("", (), (), cap=6.0)
LEAKY = LeakyRelu("", (), (), slope=0.25)
MODELS = {
    "last layer": (chain(Relu), {"d1": 1 / 3000}),
    "first layer": (chain(Relu), {"d0": 1e-4}),
    "every layer": (chain(Relu, LEAKY, Relu), dict.fromkeys(("d0", "d1", "d2", "d3"), 1e-5)),
    "made up for later": (chain(Relu), {"d0": 2.0**-12, "d1": 2.0**11}),
    "square": (chain(Square), {"d0": 1e-3}),
    "step": (chain(Step), {"d0": 1e-6, "d1": 1e-6}),
    "sigmoid, last layer": (chain(PiecewiseLinear("", (), (), function="sigmoid")), {"d1": 1e-4}),
    "bounded, last layer": (chain(BOUNDED), {"d1": 1e-4}),
}


@pytest.mark.parametrize("name", MODELS)
def test_labels_are_those_of_the_float_model(name: str) -> None:
    network, factors = MODELS[name]
    small = shrunk(network, factors)
    images = random_images(small, 3, 300)
    expected = evaluate_float(small, images)
    integers = to_ring(small, UNIT, 36.0)
    found = integers.model_logits(evaluate(integers, images))
    spread = expected.max() - expected.min()
    near = np.abs(found - expected).max(axis=1) < 0.01 * spread
    assert near.mean() > (0.97 if name == "step" else 0.999)  # a step may fall on the other side
    order = np.sort(expected, axis=1)
    clear = near & (order[:, -1] - order[:, -2] > 0.02 * spread)
    assert clear.mean() > 0.5
    assert np.array_equal(found.argmax(axis=1)[clear], expected.argmax(axis=1)[clear])
    assert len(set(found.argmax(axis=1))) > 2
    assert integers.fixed_point == RING
    assert why_vanishing(small, UNIT, RING) is None


LARGE = {
    "last layer": (chain(Relu), {"d1": 1e9}),
    "first layer": (chain(Relu), {"d0": 1e9}),
    "every layer": (chain(Relu, LEAKY, Relu), dict.fromkeys(("d0", "d1", "d2", "d3"), 3e3)),
    "made up for later": (chain(Relu), {"d0": 1e10, "d1": 1e-10}),
    "square": (chain(Square), {"d0": 1e6}),
    "step": (chain(Step), {"d0": 1e9, "d1": 1e9}),
    "sigmoid, last layer": (chain(PiecewiseLinear("", (), (), function="sigmoid")), {"d1": 1e10}),
}


@pytest.mark.parametrize("name", LARGE)
def test_large_weights_cost_no_fractional_bits(name: str) -> None:
    network, factors = LARGE[name]
    large = shrunk(network, factors)
    with pytest.raises(RangeError):
        required_ring_bits(large, 12, UNIT, most=57)
    images = random_images(large, 3, 300)
    expected = evaluate_float(large, images)
    integers = to_ring(large, UNIT, 36.0)
    assert integers.fixed_point.fraction_bits == 12
    assert integers.logit_scale <= 1
    found = integers.model_logits(evaluate(integers, images))
    spread = expected.max() - expected.min()
    near = np.abs(found - expected).max(axis=1) < 0.01 * spread
    assert near.mean() > (0.97 if name == "step" else 0.999)
    order = np.sort(expected, axis=1)
    clear = near & (order[:, -1] - order[:, -2] > 0.02 * spread)
    assert np.array_equal(found.argmax(axis=1)[clear], expected.argmax(axis=1)[clear])
    assert why_fewer_bits(large, UNIT, integers.fixed_point) is None


def test_a_ring_that_is_given_holds_large_weights_halved_and_none_clipped() -> None:
    large = shrunk(chain(Relu), {"d1": 1e6})
    agreed = agree([large], UNIT, 36.0, ring_bits=41)
    assert agreed.clipped == [0]
    served = agreed_integers(large, agreed.agreements[0], UNIT)
    images = random_images(large, 6, 50)
    labels = evaluate_float(large, images).argmax(axis=1)
    assert (evaluate(served, images).argmax(axis=1) == labels).mean() > 0.9


def test_large_weights_that_cannot_be_halved_cost_bits_and_are_named() -> None:
    """A bounded activation lets no factor through, and neither does a bias."""
    bounded = chain(BOUNDED)
    first = next(layer for layer in bounded.layers if isinstance(layer, Dense))
    for changed in (
        replace(first, weight=first.weight * 1e11),
        replace(first, bias=first.bias + 1e14),
    ):
        large = Network(tuple(changed if one is first else one for one in bounded.layers))
        ring = to_ring(large, UNIT, 36.0).fixed_point
        assert ring.fraction_bits < 12
        said = why_fewer_bits(large, UNIT, ring)
        assert said is not None and "with 12, layer 'd0'" in said


def test_a_network_whose_weights_are_large_enough_stays_as_it_is() -> None:
    network = chain(Relu, LEAKY, Square)
    found = scaled(network, RING, UNIT)
    assert found.network is network
    assert (found.logit_scale, found.vanishing) == (1.0, ())
    assert in_ring(network, RING, UNIT).logit_scale == 1.0


def test_the_plan_says_nothing_of_the_factors() -> None:
    network = chain(Relu, LEAKY)
    plans = []
    for factor in (1.0, 1e-3, 1e-6):
        integers = to_ring(shrunk(network, {"d1": factor, "d2": factor}), UNIT, 36.0)
        assert (integers.logit_scale == 1.0) == (factor == 1.0)
        plans.append(plan_to_json(public_part(integers)))
        assert public_part(integers).logit_scale == 1.0
    assert plans[0] == plans[1] == plans[2]


def residual(end: type[Layer]) -> Network:
    random = np.random.default_rng(5)

    def conv(name: str, source: str, depth: int) -> Conv2D:
        kernel = random.normal(0, 0.4, (3, 3, depth, 4))
        padding = ((1, 1), (1, 1))
        return Conv2D(name, (source,), (6, 6, 4), kernel, random.normal(size=4), padding=padding)

    return Network(
        (
            Input("x", (), (6, 6, 1)),
            conv("stem", "x", 1),
            Relu("r", ("stem",), (6, 6, 4)),
            conv("inner", "r", 4),
            end("e", ("inner",), (6, 6, 4)),
            conv("outer", "e", 4),
            Add("sum", ("r", "outer"), (6, 6, 4)),
            Bias("bias", ("sum",), (6, 6, 4), value=random.normal(size=4) * 1e-3),
            MaxPool("pool", ("bias",), (3, 3, 4), (2, 2), (2, 2)),
            Reshape("flat", ("pool",), (36,)),
            Dense("y", ("flat",), (3,), random.normal(0, 0.3, (36, 3)), random.normal(size=3)),
        )
    )


@pytest.mark.parametrize("end", [Relu, Step])
def test_what_is_added_is_scaled_alike(end: type[Layer]) -> None:
    small = shrunk(residual(end), {"stem": 1e-3, "outer": 1e-3, "y": 1e-3})
    found = scaled(small, FixedPoint(49, 12), UNIT)
    assert found.logit_scale > 1
    assert not found.vanishing
    images = random_images(small, 4, 20)
    expected = evaluate_float(small, images)
    np.testing.assert_allclose(
        evaluate_float(found.network, images), expected * found.logit_scale, rtol=1e-9
    )


def test_different_powers_that_are_added_are_left_alone() -> None:
    layers = chain(Relu).layers[:-1]
    square = Square("square", ("a0",), (12,))
    both = Add("both", ("a0", "square"), (12,))
    last = replace(chain(Relu).output, inputs=("both",))
    small = shrunk(Network((*layers, square, both, last)), {"d0": 2.0**-11, "d1": 2.0**-9})
    found = scaled(small, RING, UNIT)
    assert isinstance(found.network.layer("d0"), Dense)
    assert found.network.layer("d0").weights is not None  # type: ignore[attr-defined]
    assert {name for name, _ in found.vanishing} >= {"d0"}
    assert found.logit_scale > 1


@pytest.mark.parametrize("end", ["sigmoid", "bounded"])
def test_what_cannot_be_scaled_is_said(end: str) -> None:
    kinds: dict[str, Layer] = {
        "sigmoid": PiecewiseLinear("", (), (), function="sigmoid"),
        "bounded": BOUNDED,
    }
    small = shrunk(chain(kinds[end]), {"d0": 1e-4})
    said = why_vanishing(small, UNIT, RING)
    assert said is not None
    assert said.startswith("layer 'd0'")


def test_weights_that_are_no_numbers_are_refused_as_before() -> None:
    for bad in (np.nan, np.inf):
        network = shrunk(chain(Relu), {"d0": bad})
        with pytest.raises(ModelError):
            to_ring(network, UNIT, 36.0)


def test_weights_too_large_to_square_are_refused_without_a_warning() -> None:
    network = shrunk(chain(Relu), {"d0": 1e300})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RangeError):
            in_ring(network, RING, UNIT)


@settings(max_examples=150, deadline=None)
@given(SEEDS, st.integers(1, 6), st.integers(4, 12), st.sampled_from([0.0, -1.0]))
def test_scaling_changes_no_function_and_no_ring(
    seed: int, steps: int, bits: int, low: float
) -> None:
    random = np.random.default_rng(seed)
    network = random_network(seed, steps)
    weighted = [layer.name for layer in network.layers if isinstance(layer, WeightedLayer)]
    small = shrunk(network, {name: 10.0 ** random.uniform(-6, 0) for name in weighted})
    needed = required_ring_bits(small, bits, (low, 1.0))
    assume(needed <= 57)
    ring = FixedPoint(max(needed, 37), bits)
    found = scaled(small, ring, (low, 1.0))
    assert math.frexp(found.logit_scale)[0] == 0.5
    assert found.logit_scale >= 1
    assert required_ring_bits(found.network, bits, (low, 1.0)) <= ring.ring_bits
    quantize(found.network, ring, (low, 1.0))
    images = random_images(small, seed, 10, low)
    expected = evaluate_float(small, images) * found.logit_scale
    largest = max(float(np.abs(expected).max()), 1e-9)
    steps_inside = any(isinstance(layer, Step) for layer in network.layers)
    error = np.abs(evaluate_float(found.network, images) - expected)
    assert steps_inside or error.max() <= 1e-9 * largest
