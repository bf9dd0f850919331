"""The room of a layer: a class that says less than all of its meaning does not come to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capc.fixed_point import Float64, Int64
from capc.graph.layers import (
    KINDS,
    Activation,
    BoundedRelu,
    Layer,
    LeakyRelu,
    PiecewiseLinear,
    Relu,
    Rescale,
    Scales,
    Square,
    Step,
)
from capc.graph.layers.interval import Interval
from capc.graph.piecewise import FUNCTIONS
from capc.inference.protocols import PROTOCOLS, GarbledCircuit, OnShares, require_complete
from capc.piecewise import PiecewiseTable

MEANING = {
    "real": lambda self, inputs: inputs[0],
    "integer": lambda self, inputs, scales: inputs[0],
    "interval": lambda self, inputs, scales: inputs[0],
    "output_bits": lambda self, input_bits, fraction_bits: fraction_bits,
    "rounded": lambda self, fraction_bits, output_bits: self,
    "label": lambda self: "Made",
}


def made(without: str, base: Any = Layer, **more: Any) -> type[Layer]:
    """A class of layer that lacks one method."""
    return type("Made", (base,), {k: v for k, v in MEANING.items() if k != without} | more)


@pytest.mark.parametrize("method", MEANING)
def test_a_class_that_lacks_a_method_cannot_be_made(method: str) -> None:
    with pytest.raises(TypeError, match=f"the layer Made lacks {method}"):
        made(method)
    assert "Made" not in KINDS


def test_an_activation_also_says_whether_it_needs_a_bound() -> None:
    with pytest.raises(TypeError, match="the layer Made lacks needs_bound"):
        made("", Activation)


def test_a_layer_without_a_protocol_is_an_error_at_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("capc.graph.layers.base.KINDS", {})
    alone = made("")
    monkeypatch.undo()
    monkeypatch.setitem(KINDS, "Made", alone)
    with pytest.raises(TypeError, match="do not agree on Made"):
        require_complete(PROTOCOLS)
    require_complete({**PROTOCOLS, alone: OnShares()})


def test_every_layer_has_one_protocol_and_a_label() -> None:
    assert set(PROTOCOLS) == set(KINDS.values())
    for kind, protocol in PROTOCOLS.items():
        assert issubclass(kind, Activation) <= isinstance(protocol, GarbledCircuit)


ACTIVATIONS: list[Activation] = [
    Relu("y", ("x",), (1,)),
    BoundedRelu("y", ("x",), (1,), cap=6.0),
    LeakyRelu("y", ("x",), (1,), slope=0.2),
    Square("y", ("x",), (1,)),
    Step("y", ("x",), (1,)),
    Rescale("y", ("x",), (1,)),
    *(PiecewiseLinear("y", ("x",), (1,), function=function) for function in FUNCTIONS),
]


def test_the_list_above_is_complete() -> None:
    kinds = {kind for kind in KINDS.values() if issubclass(kind, Activation)}
    assert {type(layer) for layer in ACTIVATIONS} == kinds


def integers(layer: Layer, values: Sequence[int], scales: Scales) -> Int64:
    return layer.integer([np.array(values, np.int64).reshape(-1, 1)], scales)[:, 0]


@pytest.mark.slow
@pytest.mark.parametrize("layer", ACTIVATIONS, ids=lambda layer: layer.label())
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_integer_leaves_the_interval(layer: Activation, data: st.DataObject) -> None:
    """For exact ends, and for the estimates that take their place in wide networks."""
    fraction, shift = 8, data.draw(st.sampled_from([0, 8]))
    scales = Scales((fraction + shift,), fraction, fraction)
    ready = layer.rounded(fraction, fraction)
    ends = st.integers(-(1 << 24), 1 << 24)
    low, high = sorted((data.draw(ends), data.draw(ends)))
    inside = [low, high, *data.draw(st.lists(st.integers(low, high), max_size=8))]
    values = integers(ready, inside, scales)
    whole = Interval(np.array([[low]]), np.array([[high]]))
    for argument in (whole, whole.as_float()):
        found = ready.interval([argument], scales)
        assert np.all(found.low <= values) and np.all(values <= found.high)


@pytest.mark.parametrize("layer", ACTIVATIONS, ids=lambda layer: layer.label())
def test_integers_stand_for_the_real_function(layer: Activation) -> None:
    fraction = 12
    x: Float64 = np.asarray(np.linspace(-7.5, 7.5, 2001).reshape(-1, 1), dtype=np.float64)
    encoded = np.rint(np.ldexp(x, fraction)).astype(np.int64)
    ready = layer.rounded(fraction, fraction)
    scales = Scales((fraction,), fraction, fraction)
    decoded = np.ldexp(ready.integer([encoded], scales).astype(np.float64), -fraction)
    assert np.abs(decoded - layer.real([x])).max() < 0.01


@pytest.mark.parametrize("layer", ACTIVATIONS, ids=lambda layer: layer.label())
def test_what_grows_never_falls(layer: Activation) -> None:
    """`grows` lets a maximum move before the activation: over integers too."""
    if not layer.grows:
        return
    scales = Scales((10,), 5, 5)
    values = integers(layer.rounded(5, 5), range(-9000, 9000, 7), scales)
    assert np.all(np.diff(values) >= 0)


@dataclass(frozen=True, eq=False)
class _Between(Layer, abstract=True):
    """A class between Layer and the layers may leave methods open."""


def test_a_class_between_may_be_abstract() -> None:
    assert "_Between" not in KINDS


@pytest.mark.parametrize(
    "fields",
    [
        {"reach": 70},
        {"slope_bits": -1},
        {"slopes": (1, 2, 3), "bases": (1, 2, 3)},
        {"bases": (1,)},
        {"slopes": (0.5, 1)},
        {"slopes": (), "bases": ()},
    ],
)
def test_a_table_that_is_none_is_refused(fields: dict[str, Any]) -> None:
    good: dict[str, Any] = {
        "reach": 3,
        "slope_bits": 4,
        "slopes": (1, 2),
        "bases": (0, 5),
        "below": 0,
        "above": None,
    }
    PiecewiseTable(**good)
    with pytest.raises(ValueError, match=r"piecewise-linear|reach|segments"):
        PiecewiseTable(**{**good, **fields})
