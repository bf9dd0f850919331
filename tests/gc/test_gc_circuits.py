"""Circuits in the clear against NumPy, at the edges of the ring and through hypothesis."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capc.errors import ConfigError
from capc.fixed_point import FixedPoint
from capc.gc import (
    Circuit,
    _engine,
    argmax_circuit,
    bounded_relu_circuit,
    leaky_relu_circuit,
    maximum_circuit,
    noisy_argmax_circuit,
    noisy_argmax_inputs,
    relu_circuit,
    square_circuit,
    step_circuit,
    top_k_circuit,
    truncate_circuit,
)


@st.composite
def ring_values(draw: st.DrawFn) -> tuple[int, int, list[int]]:
    """A width, a shift, and values with both edges of the signed range well represented."""
    bits = draw(st.integers(32, 60))
    shift = draw(st.integers(0, min(30, bits - 2)))
    half = 1 << (bits - 1)
    near_edges = st.sampled_from([0, 1, half - 1, half, half + 1, 2 * half - 1])
    values = draw(st.lists(near_edges | st.integers(0, 2 * half - 1), min_size=1, max_size=8))
    return bits, shift, values


@given(ring_values(), st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_rescaling_circuits_equal_the_plain_formula(
    case: tuple[int, int, list[int]], seed: int
) -> None:
    bits, shift, values = case
    rng = np.random.default_rng(seed)
    numbers = FixedPoint(bits, 0)
    x = np.array(values, dtype=np.int64)
    a = rng.integers(0, 1 << bits, x.shape)
    mask = rng.integers(0, 1 << bits, x.shape)
    b = numbers.reduce(x - a)
    signed = numbers.signed(x)
    for circuit, y in (
        (relu_circuit(bits, shift), np.maximum(signed, 0) >> shift),
        (truncate_circuit(bits, shift), signed >> shift),
    ):
        out, to_garbler = circuit.plain_evaluate(a, mask, b)
        assert to_garbler.size == 0
        np.testing.assert_array_equal(out[:, 0], numbers.reduce(y - mask))


@given(st.integers(20, 60), st.integers(0, 12), st.integers(1, 12), st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_other_layers_equal_the_plain_formula(
    bits: int, shift: int, fraction: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    numbers = FixedPoint(bits, 0)
    x = rng.integers(-(1 << (bits - 1)), 1 << (bits - 1), (30, 4)) >> rng.integers(0, bits, (30, 4))
    x[0] = [-(1 << (bits - 1)), (1 << (bits - 1)) - 1, 0, -1]
    a = rng.integers(0, 1 << bits, x.shape)
    masks = rng.integers(0, 1 << bits, x.shape)
    slope = int(rng.integers(0, 1 << fraction))
    cap = min(6 << fraction, (1 << (bits - 1 - shift)) - 1)
    exact = x.astype(object)
    sloped = np.where(x >= 0, exact >> shift, (exact * slope) >> (shift + fraction))
    cases = [
        (bounded_relu_circuit(bits, shift, cap), np.minimum(np.maximum(x, 0) >> shift, cap)),
        (leaky_relu_circuit(bits, shift, slope, fraction), sloped.astype(np.int64)),
        (step_circuit(bits, bits), (x >= 0).astype(np.int64)),
        (step_circuit(bits, bits, bits - 2), (x >= 0).astype(np.int64) << (bits - 2)),
    ]
    for circuit, y in cases:
        out, _ = circuit.plain_evaluate(a.ravel(), masks.ravel(), numbers.reduce(x - a).ravel())
        np.testing.assert_array_equal(out.reshape(x.shape), numbers.reduce(y - masks))
    out, _ = maximum_circuit(bits, 4).plain_evaluate(a, masks[:, :1], numbers.reduce(x - a))
    np.testing.assert_array_equal(out, numbers.reduce(x.max(axis=1) - masks[:, 0])[:, None])
    out, _ = top_k_circuit(bits, 4, 2, bits).plain_evaluate(a, masks, numbers.reduce(x - a))
    chosen = numbers.reduce(out + masks)
    order = np.argsort(-x, axis=1, kind="stable")[:, :2]
    expected = np.zeros_like(chosen)
    np.put_along_axis(expected, order, 1, axis=1)
    np.testing.assert_array_equal(chosen, expected)


@given(st.integers(24, 60), st.integers(0, 12), st.integers(1, 12), st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_squares_equal_the_plain_formula(bits: int, shift: int, fraction: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    numbers = FixedPoint(bits, 0)
    root = math.isqrt((1 << (bits - 1 + fraction)) - 1)
    reach = min(((root + 1) << shift) - 1, (1 << (bits - 1)) - 1)
    x = rng.integers(-(root << shift) if root << shift < reach else -reach, reach + 1, 60)
    x[:4] = [reach, 0, -1, 1]
    y = ((x.astype(object) >> shift) ** 2 >> fraction).astype(np.int64)
    a, masks = rng.integers(0, 1 << bits, (2, 60))
    circuit = square_circuit(bits, shift, fraction)
    out, _ = circuit.plain_evaluate(a, masks, numbers.reduce(x - a))
    np.testing.assert_array_equal(out[:, 0], numbers.reduce(y - masks))


@given(
    st.integers(2, 12),
    st.sampled_from([16, 37, 47, 60]),
    st.integers(0, 2**32),
)
@settings(max_examples=60, deadline=None)
def test_argmax_equals_numpy_with_ties_to_the_lowest(classes: int, bits: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    numbers = FixedPoint(bits, 0)
    logits = rng.choice(rng.integers(-(1 << (bits - 1)), 1 << (bits - 1), 4), (20, classes))
    a = rng.integers(0, 1 << bits, logits.shape)
    masks = rng.integers(0, 1 << 32, logits.shape)
    circuit = argmax_circuit(bits, classes, 32)
    out, to_garbler = circuit.plain_evaluate(a, masks, numbers.reduce(logits - a))
    votes = (out + masks) & (2**32 - 1)
    np.testing.assert_array_equal(votes, np.eye(classes, dtype=np.int64)[logits.argmax(axis=1)])
    assert to_garbler.size == 0


@given(st.integers(1, 12), st.integers(0, 31), st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_a_vote_in_parts_is_shared_with_every_bit_of_its_mask(
    classes: int, shift: int, seed: int
) -> None:
    """What a sum with finer noise needs: the mask is not cut to multiples of the vote."""
    rng = np.random.default_rng(seed)
    logits = rng.integers(-100, 100, (20, classes))
    masks = rng.integers(0, 1 << 32, logits.shape)
    circuit = argmax_circuit(30, classes, 32, shift)
    out, _ = circuit.plain_evaluate(np.zeros_like(logits), masks, logits)
    one_hot = np.eye(classes, dtype=np.int64)[logits.argmax(axis=1)]
    np.testing.assert_array_equal((out + masks) & (2**32 - 1), one_hot << shift)
    assert circuit.and_count == argmax_circuit(30, classes, 32).and_count


@given(
    st.integers(1, 12),
    st.none() | st.integers(-100, 400),
    st.integers(0, 1000),
    st.integers(0, 2**32),
)
@settings(max_examples=100, deadline=None)
def test_step_3_answers_and_labels(
    classes: int, threshold: int | None, scale: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    votes = rng.integers(0, 300, (20, classes))
    noise = rng.integers(-scale, scale + 1, (20, classes))
    threshold_noise = rng.integers(-scale, scale + 1, 20)
    mask_sums = rng.integers(0, 1 << 32, (20, classes))
    online = noisy_argmax_inputs(
        32, mask_sums, noise, voters=300, threshold=threshold, threshold_noise=threshold_noise
    )
    assert 0 <= online.min() <= online.max() < 1 << 32
    circuit = noisy_argmax_circuit(32, classes, threshold is not None)
    out, to_garbler = circuit.plain_evaluate(online, np.zeros((20, 0)), votes - mask_sums)
    label = (votes + noise).argmax(axis=1)
    if threshold is None:
        np.testing.assert_array_equal(out[:, 0], label)
        assert to_garbler.size == 0
        return
    answered = votes.max(axis=1) + threshold_noise >= threshold
    np.testing.assert_array_equal(out[:, 0], answered)
    np.testing.assert_array_equal(to_garbler[:, 0], answered)
    np.testing.assert_array_equal(out[:, 1], np.where(answered, label, 0))


def test_a_negative_noisy_count_loses() -> None:
    """An unsigned comparison would let it win: it is the greatest number modulo 2^32."""
    circuit = noisy_argmax_circuit(32, 3, False)
    online = noisy_argmax_inputs(32, [0, 0, 0], [-5, -7, -6], voters=1)
    out, _ = circuit.plain_evaluate(online, np.zeros((1, 0)), [[1, 1, 1]])
    assert out.tolist() == [[0]]
    online = noisy_argmax_inputs(32, [0, 0, 0], [-5, 1, -6], voters=1)
    assert circuit.plain_evaluate(online, np.zeros((1, 0)), [[1, 1, 1]])[0].tolist() == [[1]]


@pytest.mark.parametrize(
    ("noise", "threshold", "threshold_noise"),
    [
        ((1 << 15) - 10, None, 0),
        (-(1 << 15) - 1, None, 0),
        (0, 1 << 15, -1),
        (0, 1, (1 << 15) - 9),
    ],
)
def test_noise_that_could_wrap_around_is_refused(
    noise: int, threshold: int | None, threshold_noise: int
) -> None:
    """With ten voters; one less, or one voter less, is the largest that fits."""
    given: dict[str, Any] = {"threshold": threshold, "threshold_noise": threshold_noise}
    with pytest.raises(ConfigError, match="smaller sigma"):
        noisy_argmax_inputs(16, [0, 0], [0, noise], voters=10, **given)
    nearer = noise - (noise > 0) + (noise < 0)
    given["threshold_noise"] -= (threshold_noise > 0) - (threshold_noise < 0)
    noisy_argmax_inputs(16, [0, 0], [0, nearer], voters=10, **given)


@pytest.mark.parametrize("bits", [2, 17, 37, 47, 64])
def test_gate_counts_follow_their_formulas(bits: int) -> None:
    for shift in {0, (bits - 2) // 2, bits - 2}:
        assert relu_circuit(bits, shift).and_count == 2 * (bits - 1) - shift
        assert truncate_circuit(bits, shift).and_count == bits - 1
    for classes in (2, 3, 10, 100):
        tournament = (2 * classes - 3) * bits + classes - 2
        assert argmax_circuit(bits, classes, 32).and_count == classes * (bits - 1) + tournament
        noisy = noisy_argmax_circuit(bits, classes, False).and_count
        assert noisy == classes * (bits - 1) + tournament
        with_threshold = noisy_argmax_circuit(bits, classes, True).and_count
        assert with_threshold == noisy + classes * (bits - 1) + classes


def test_circuits_cost_less_than_the_published_program() -> None:
    """EMP's ten-class argmax has 1,355 AND gates, its 47-bit ReLU 139."""
    assert argmax_circuit(47, 10, 32).and_count < 1355
    assert relu_circuit(47, 0).and_count < 139
    down, up = relu_circuit(47, 0).offline_bytes(1080)
    assert down < 4.85e6
    assert up < 0.84e6


@pytest.mark.parametrize(
    "make",
    [
        lambda: relu_circuit(1, 0),
        lambda: relu_circuit(65, 0),
        lambda: relu_circuit(8, 7),
        lambda: argmax_circuit(8, 0, 32),
        lambda: argmax_circuit(8, 10, 65),
        lambda: argmax_circuit(8, 10, 32, 32),
        lambda: noisy_argmax_circuit(1, 10, True),
    ],
)
def test_widths_out_of_range_name_what_is_allowed(make: Callable[[], Circuit]) -> None:
    with pytest.raises(ValueError, match="allowed are"):
        make()


def test_shapes_are_checked() -> None:
    circuit = argmax_circuit(8, 3, 8)
    with pytest.raises(ValueError, match=r"online has shape \(2, 2\); the circuit needs \(2, 3\)"):
        circuit.plain_evaluate(np.zeros((2, 2)), np.zeros((2, 3)), np.zeros((2, 3)))


def test_circuits_with_the_same_arguments_have_the_same_digest() -> None:
    digests = [
        _engine.relu_circuit(47, 0).digest,
        _engine.relu_circuit(47, 1).digest,
        _engine.truncate_circuit(47, 0).digest,
        _engine.relu_circuit(47, 0).lowered().digest,
    ]
    assert len(set(digests)) == len(digests)
    assert _engine.relu_circuit(47, 0).digest == digests[0]
