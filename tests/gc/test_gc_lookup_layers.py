"""Layers of several ReLUs by look-ups: exact at the edges of the ring, counted, freshly masked."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
from lookup_layers_pair import assert_equals_circuit, edges, evaluate

from capc.fixed_point import Int64, modulo
from capc.gc import bounded_relu_circuit, relu_circuit, step_circuit, truncate_circuit
from capc.gc.lookup_layers import (
    LookupLayer,
    bounded_relu_lookups,
    draw,
    maximum_lookups,
    one_function,
    relu_lookups,
    rescale_lookups,
    step_lookups,
)
from capc.gc.lookups import MAX_BITS_OF_FOUR, Lookups

BITS = 20
DOCUMENT = Path(__file__).parents[2] / "docs" / "nonlinear-layers.md"


@pytest.mark.parametrize("cap", [None, 1, 6 << 7, (1 << 14) - 1])
def test_activations_equal_their_circuits(cap: int | None) -> None:
    values: Int64 = edges(-1 << (BITS - 1), 1 << (BITS - 1))
    if cap is not None:
        values = np.concatenate([values, values[:9] + (cap << 5)])
    layer = relu_lookups(BITS, 5) if cap is None else bounded_relu_lookups(BITS, 5, cap)
    circuit = relu_circuit(BITS, 5) if cap is None else bounded_relu_circuit(BITS, 5, cap)
    assert_equals_circuit(layer, circuit, values)


@pytest.mark.parametrize("bits", [2, 9, 19])
def test_activations_in_a_smaller_ring(bits: int) -> None:
    values: Int64 = edges(-1 << (BITS - 1), 1 << (BITS - 1)).reshape(-1, 1)
    for layer in (relu_lookups(BITS, 5, bits), bounded_relu_lookups(BITS, 5, 200, bits)):
        most = 200 if "bounded" in layer.name else 1 << BITS
        shares, opened, _ = evaluate(layer, values)
        expected = np.minimum(np.maximum(values[:, 0], 0) >> 5, most)
        np.testing.assert_array_equal(opened, modulo(bits, expected))
        np.testing.assert_array_equal(shares, modulo(bits, shares))


def test_rescaling_and_steps_equal_their_circuits() -> None:
    values = edges(-1 << (BITS - 1), 1 << (BITS - 1))
    for layer, circuit in (
        (rescale_lookups(BITS, 5), truncate_circuit(BITS, 5)),
        (rescale_lookups(BITS, BITS - 2), truncate_circuit(BITS, BITS - 2)),
        (step_lookups(BITS, 7), step_circuit(BITS, BITS, 7)),
    ):
        assert_equals_circuit(layer, circuit, values)


@pytest.mark.parametrize("fan_in", [2, 4])
@pytest.mark.parametrize(("window", "bits"), [(1, 2), (2, 2), (4, 7), (9, 18)])
def test_maxima_of_small_numbers(window: int, bits: int, fan_in: int) -> None:
    """Their shares need to be right in the small ring alone."""
    rng = np.random.default_rng(window)
    windows = rng.integers(0, 1 << (bits - 1), (60, window))
    windows[0], windows[1] = 0, (1 << (bits - 1)) - 1
    layer = maximum_lookups(BITS, window, bits, fan_in)
    _, opened, _ = evaluate(layer, windows + (rng.integers(0, 1 << 9, windows.shape) << bits))
    np.testing.assert_array_equal(opened, windows.max(axis=1))


@pytest.mark.parametrize(("window", "fan_in"), [(1, 2), (2, 2), (3, 3), (3, 2), (4, 4), (9, 2)])
def test_maxima_are_exact_in_half_of_the_ring(window: int, fan_in: int) -> None:
    values = edges(-1 << (BITS - 2), 1 << (BITS - 2))
    windows = np.random.default_rng(window).permutation(values)[: 45 * window].reshape(-1, window)
    windows[0], windows[1] = windows.min(), windows.max()
    windows[2] = -1 << (BITS - 2)  # as a padded pixel
    windows[2, -1] = (1 << (BITS - 2)) - 1
    layer = maximum_lookups(BITS, window, fan_in=fan_in)
    _, opened, (sent, received, rounds) = evaluate(layer, windows)
    total = np.add(layer.offline_bytes(len(windows)), layer.online_bytes(len(windows)))
    assert [sent, received, rounds] == [*total, layer.rounds]
    np.testing.assert_array_equal(opened, modulo(BITS, windows.max(axis=1)))


@pytest.mark.parametrize(
    ("window", "fan_in", "bits", "groups"),
    [
        *((4, 4, 16, [(4, 1)]), (9, 4, 16, [(3, 3), (3, 1)]), (5, 4, 16, [(4, 1), (2, 1)])),
        *((16, 4, 16, [(4, 4), (4, 1)]), (9, 2, 16, [(2, 4), (2, 2), (2, 1), (2, 1)])),
        *((4, 4, 31, [(4, 1)]), (4, 4, 32, [(2, 2), (2, 1)])),  # too many transfers back for four
    ],
)
def test_maxima_in_a_tree(
    window: int, fan_in: int, bits: int, groups: list[tuple[int, int]]
) -> None:
    """The fewest rounds that the fan-in allows; only the last maximum leads to the large ring."""
    stages = maximum_lookups(41, window, bits, fan_in).stages
    assert [(function.inputs, count) for function, count in stages] == groups
    assert [function.output_bits for function, _ in stages] == [bits] * (len(groups) - 1) + [41]


def test_the_holders_shares_are_fresh_masks() -> None:
    layer = maximum_lookups(BITS, 4)
    masks = [mask for _ in range(2) for _, mask in draw(layer, 64).steps]
    assert len(np.unique(np.concatenate(masks))) > 370  # of 2 * 3 * 64


def test_figures_that_no_layer_has_are_refused() -> None:
    for cap in (0, 1 << 14):
        with pytest.raises(ValueError, match="cap"):
            bounded_relu_lookups(BITS, 5, cap)
    with pytest.raises(ValueError, match="ring_bits"):
        relu_lookups(1, 0)
    with pytest.raises(ValueError, match="output_bits"):
        relu_lookups(BITS, 0, BITS + 1)
    with pytest.raises(ValueError, match="shift"):
        rescale_lookups(BITS, 0)
    for fan_in in (1, 5):
        with pytest.raises(ValueError, match="fan-in"):
            maximum_lookups(BITS, 4, fan_in=fan_in)
    with pytest.raises(ValueError, match="inputs"):
        Lookups.maximum(BITS, 5)
    with pytest.raises(ValueError, match="transfers back"):
        Lookups.maximum(MAX_BITS_OF_FOUR + 1, 4)
    assert Lookups.maximum(MAX_BITS_OF_FOUR, 4).inputs == 4


@pytest.mark.parametrize("n", [2, 5, 9])
def test_the_documented_formulas(n: int) -> None:
    """Bytes and round trips of the layers by those of the functions that they are made of."""
    layers = {
        "ReLU, shift f": relu_lookups(41, 12),
        "bounded ReLU, shift f": bounded_relu_lookups(41, 12, 6 << 12),
        "maximum of n": maximum_lookups(41, n),
        "maximum of n in m bits": maximum_lookups(41, n, 16),
        "maximum of 4 at once in m bits": maximum_lookups(41, 4, 16, 4),
        "rescaling, shift f": rescale_lookups(41, 12),
        "step": step_lookups(41, 0),
    }
    text = DOCUMENT.read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| ([\w, ]+) \| .+ \| (.+ \| .+) \|$", text, re.MULTILINE))
    for name, layer in layers.items():
        size, rounds = (value_of(formula, n) for formula in rows[name].split(" | "))
        assert per_instance(layer) == pytest.approx(size, abs=0.1)
        assert layer.rounds == rounds


def value_of(formula: str, n: int) -> float:
    """A formula of the document at 41 ring bits, a shift of 12, n numbers, and 16 small bits."""
    plain = formula.replace("\u2113", "41").replace("f", "12").replace("\u2212", "-")
    plain = plain.replace("\u2308log2 n\u2309", "ceil(log2(n))*").replace(") M", ")*M")
    names = {
        "R": lambda bits, shift: per_instance(relu_lookups(bits, shift)),
        "r": lambda bits, shift: relu_lookups(bits, shift).rounds,
        "B": lambda bits, shift: per_instance(bounded_relu_lookups(bits, shift, 6 << 12)),
        "S": lambda bits, shift: per_instance(rescale_lookups(bits, shift)),
        "T": lambda bits: per_instance(step_lookups(bits, 0)),
        "M": lambda count, bits, output_bits: per_instance(
            one_function("maximum", Lookups.maximum(bits, count, output_bits))
        ),
        "s": lambda count, bits: Lookups.maximum(bits, count).rounds,
        "m": 16,
    }
    return float(eval(plain, {**names, "ceil": math.ceil, "log2": math.log2, "n": n}))


def per_instance(layer: LookupLayer) -> float:
    """Bytes of an instance in both phases, of many, without headers and checks."""
    one, two = (
        sum(layer.offline_bytes(count)) + sum(layer.online_bytes(count)) for count in (1024, 2048)
    )
    return (two - one) / 1024
