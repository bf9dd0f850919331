"""Maxima and ReLUs change places without changing an integer, where that helps."""

from __future__ import annotations

import math

import numpy as np
import pytest
from padded_pool import convolution, padded_maximum
from two_party import assert_bit_for_bit

from capc.fixed_point import FixedPoint
from capc.gc.lookup_layers import MAX_FAN_IN, LookupLayer
from capc.graph.layers import (
    Add,
    BoundedRelu,
    Dense,
    Layer,
    MaxPool,
    Network,
    QuantizedNetwork,
    Relu,
    Reshape,
)
from capc.graph.quantize import quantize
from capc.inference import arrangement
from capc.inference.arrangement import _swapped, arranged
from capc.inference.choice import GARBLED, NonlinearChoice, both_costs
from capc.inference.costs import LayerCost
from capc.inference.link import Link
from capc.inference.plan import check_plan, public_part
from capc.inference.protocols import functions_of
from capc.inference.reference import evaluate
from capc.inference.small_rings import bits_of_outputs
from capc.inference.transfer_forms import transferable

TRANSFERS = NonlinearChoice("transfers")
IMAGES = np.random.default_rng(5).uniform(0, 1, (3, 6, 6, 1))


def network(*, cap: float | None = None, used_twice: bool = False) -> QuantizedNetwork:
    """Convolution, padded maximum, ReLU or bounded ReLU, dense."""
    random = np.random.default_rng(11)
    relu: Layer = Relu("r", ("p",), (6, 6, 2))
    if cap is not None:
        relu = BoundedRelu("r", ("p",), (6, 6, 2), cap=cap)
    end = "s" if used_twice else "r"
    layers: tuple[Layer, ...] = (
        *convolution(random, 0.9),
        padded_maximum("c"),
        relu,
        *((Add("s", ("p", "r"), (6, 6, 2)),) if used_twice else ()),
        Reshape("f", (end,), (72,)),
        Dense("z", ("f",), (3,), random.normal(0, 0.3, (72, 3)), np.zeros(3)),
    )
    return quantize(Network(layers), FixedPoint(41, 8), (0.0, 1.0))


@pytest.mark.parametrize(("cap", "kinds"), [(None, "RM"), (0.5, "BM")])
def test_a_relu_before_its_maximum_gives_the_same_integers(cap: float | None, kinds: str) -> None:
    given = network(cap=cap)
    assert arranged(given, GARBLED) is given
    other = arranged(given, TRANSFERS)
    middle = [type(layer).__name__[0] for layer in other.layers[2:-2]]
    assert "".join(middle) == kinds
    assert len(transferable(other)) == len(kinds)
    check_plan(public_part(other))
    assert set(other.bounds) == set(other.fraction_bits) == {layer.name for layer in other.layers}
    np.testing.assert_array_equal(evaluate(other, IMAGES), evaluate(given, IMAGES))
    assert_bit_for_bit(given, IMAGES, choice=TRANSFERS)


def test_auto_changes_places_where_that_is_faster() -> None:
    given = network()
    assert arranged(given, NonlinearChoice("auto", Link.parse("2s,10gbit"))) is given
    other = arranged(given, NonlinearChoice("auto", Link.parse("0.1ms,10mbit")))
    assert [layer.name for layer in other.layers] == ["x", "c", "r/each", "p", "f", "z"]


def test_the_cap_stays_behind_where_that_is_faster() -> None:
    """Both orders give the reference's integers; a few small windows have the cap before them."""
    given = network(cap=0.5)
    orders = [_swapped(given, "p", "r", cap_first=first) for first in (True, False)]
    assert [type(layer).__name__[0] for layer in orders[1].layers[2:-2]] == ["R", "M", "B"]
    for order in orders:
        assert set(order.bounds) == set(order.fraction_bits)
        np.testing.assert_array_equal(evaluate(order, IMAGES), evaluate(given, IMAGES))
        assert_bit_for_bit(order, IMAGES, choice=TRANSFERS)


def test_maxima_of_capped_numbers_run_in_few_bits() -> None:
    """A cap of 0.5 at 8 fractional bits is 128: 9 bits, of the ReLU's outputs as well."""
    order = arranged(network(cap=0.5), TRANSFERS)
    names = [layer.name for layer in order.layers if isinstance(layer, (BoundedRelu, MaxPool))]
    assert bits_of_outputs(order, names) == dict.fromkeys(names, 9)
    assert bits_of_outputs(order, names[:1]) == {}  # a pool in a circuit takes all bits
    relu = functions_of(order, names)[names[0]]
    assert isinstance(relu, LookupLayer) and relu.output_bits == 9


def test_windows_are_compared_at_once_over_long_lines() -> None:
    """Three numbers of 3 x 3 at once, in as many rounds as are needed, and the same integers."""
    fan_ins, rounds = [], []
    for link in (Link.parse("0.1ms,10mbit"), Link(1.0, math.inf)):
        choice = NonlinearChoice("transfers", link)
        given = network(cap=0.5)
        order = arranged(given, choice)
        pool = order.layer("p")
        assert isinstance(pool, MaxPool)
        function = functions_of(order, transferable(order))["p"]
        assert isinstance(function, LookupLayer)
        fan_ins.append(pool.fan_in)
        rounds.append(function.rounds)
        check_plan(public_part(order))
        assert arranged(order, choice).layer("p") is pool
        if math.isinf(link.rate):
            assert_bit_for_bit(given, IMAGES, choice=choice)
    assert fan_ins == [2, MAX_FAN_IN] and rounds == [4 * 3, 2 * 4]


def test_an_order_does_not_depend_on_other_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    """What another one takes, as tables that are kept or not, changes with its own place."""

    def with_another(given: QuantizedNetwork, link: Link) -> dict[str, object]:
        swapped = any(layer.name == "r/each" for layer in given.layers)
        other = LayerCost("", 0, 0, 0.0, 1e6 if swapped else 0.0)
        return {**both_costs(given, link), "other": (other, None)}

    monkeypatch.setattr(arrangement, "both_costs", with_another)
    order = arranged(network(), NonlinearChoice("auto", Link.parse("0.1ms,10mbit")))
    assert [layer.name for layer in order.layers[2:4]] == ["r/each", "p"]


def test_a_maximum_that_others_take_stays_where_it_is() -> None:
    given = network(used_twice=True)
    assert arranged(given, TRANSFERS) is given
