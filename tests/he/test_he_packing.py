"""Packing alone, in plain integers: products of polynomials against a direct convolution."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from he_reference import CRYPTONETS, linear, negacyclic
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from capc.he.cheapest_packing import WORK_ALONE, Weighing, cheapest, plan_packing
from capc.he.packing import Packing
from capc.he.shapes import LinearShape


@st.composite
def shapes(draw: st.DrawFn) -> LinearShape:
    def small(low: int, high: int) -> int:
        return draw(st.integers(low, high))

    groups = small(1, 4)
    try:
        return LinearShape(
            height=small(1, 11),
            width=small(1, 11),
            channels=groups * small(1, 3),
            kernel=(small(1, 5), small(1, 5)),
            filters=groups * small(1, 3),
            strides=(small(1, 4), small(1, 4)),
            padding=((small(0, 3), small(0, 3)), (small(0, 3), small(0, 3))),
            dilations=(small(1, 3), small(1, 3)),
            groups=groups,
        )
    except ValueError:
        assume(False)
        raise


def through_polynomials(
    packing: Packing, values: NDArray[Any], weight: NDArray[Any]
) -> NDArray[Any]:
    inputs = np.zeros((packing.input_polynomials, packing.degree), dtype=np.int64)
    inputs[:, : packing.input_length] = packing.pack_input(values)
    weights = list(packing.pack_weights(weight))
    assert len(weights) == packing.weight_polynomials
    outputs = np.zeros((packing.output_polynomials, packing.degree), dtype=np.int64)
    merged = packing.blocks.merged
    for place in range(packing.sums):
        total = np.zeros(packing.degree, dtype=np.int64)
        for source, index in packing.products(place):
            total += np.array(negacyclic(inputs[source].tolist(), weights[index].tolist()))
        # Of each sum that is merged, the coefficients at multiples of `merged` alone are kept.
        outputs[place // merged, place % merged :: merged] = total[::merged]
    used = zip(outputs, packing.output_positions, strict=True)
    return packing.unpack_output([output[positions] for output, positions in used])


def check(shape: LinearShape, degree: int, seed: int, weighing: Weighing = WORK_ALONE) -> None:
    try:
        packing = plan_packing(shape, degree, 1, weighing)
    except ValueError:
        span = [(k - 1) * d // s for k, d, s in zip(shape.kernel, shape.dilations, shape.strides)]  # noqa: B905
        assert (span[0] + 1) * (span[1] + 1) > degree
        return
    generator = np.random.default_rng(seed)
    values = generator.integers(-50, 50, shape.input_shape)
    weight = generator.integers(-50, 50, shape.weight_shape)
    result = through_polynomials(packing, values, weight)
    np.testing.assert_array_equal(result, linear(shape, values, weight))


@settings(max_examples=150, deadline=None)
@given(shapes(), st.sampled_from([8, 16, 32, 64, 128, 256, 512]), st.integers(0, 1000))
def test_any_convolution(shape: LinearShape, degree: int, seed: int) -> None:
    check(shape, degree, seed)


@settings(max_examples=40, deadline=None)
@given(shapes(), st.sampled_from([64, 256, 512]), st.sampled_from([2, 4, 8]), st.integers(0, 1000))
def test_any_convolution_with_merged_replies(
    shape: LinearShape, degree: int, merged: int, seed: int
) -> None:
    check(shape, degree, seed, Weighing(merged, polynomial_cost=1000.0))


def test_a_slow_line_has_fewer_polynomials() -> None:
    shape = LinearShape.convolution((4, 4, 512), (3, 3, 512, 512), padding=((1, 1), (1, 1)))
    found = [
        plan_packing(shape, 8192, 1, weighing)
        for weighing in (WORK_ALONE, Weighing(1, 500.0), Weighing(16, 500.0))
    ]
    counts = [(packing.input_polynomials, packing.output_polynomials) for packing in found]
    assert counts[0] == (37, 32)
    assert [sum(count) for count in counts] == sorted(
        (sum(count) for count in counts), reverse=True
    )
    assert sum(counts[2]) < sum(counts[0]) / 3
    assert found[2].blocks.channels % found[2].blocks.merged == 0


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(1, 40), st.sampled_from([4, 16, 64, 256]))
def test_any_dense_layer(n_in: int, n_out: int, degree: int) -> None:
    check(LinearShape.dense(n_in, n_out), degree, n_in)


@pytest.mark.parametrize(
    ("shape", "polynomials"),
    [
        (CRYPTONETS["conv"], (1, 1)),
        (CRYPTONETS["dense"], (3, 4)),
        (CRYPTONETS["logits"], (1, 1)),
        (LinearShape.dense(3072, 1000), (29, 13)),
        (
            LinearShape.convolution((32, 32, 64), (3, 3, 64, 64), padding=((1, 1), (1, 1))),
            (32, 22),
        ),
        (
            LinearShape.convolution(
                (32, 32, 64), (3, 3, 1, 64), padding=((1, 1), (1, 1)), groups=64
            ),
            (32, 32),
        ),
    ],
)
def test_known_choices_at_degree_8192(shape: LinearShape, polynomials: tuple[int, int]) -> None:
    packing = plan_packing(shape, 8192)
    assert (packing.input_polynomials, packing.output_polynomials) == polynomials


@settings(max_examples=100, deadline=None)
@given(shapes(), st.sampled_from([32, 128, 512, 1024]), st.integers(2, 20), st.integers(0, 1000))
def test_images_that_share_polynomials(
    shape: LinearShape, degree: int, images: int, seed: int
) -> None:
    try:
        packing = plan_packing(shape, degree, images)
    except ValueError:
        return
    together = packing.blocks.images
    assert together < 2 * images
    generator = np.random.default_rng(seed)
    values = generator.integers(-50, 50, packing.input_shape)
    weight = generator.integers(-50, 50, shape.weight_shape)
    result = through_polynomials(packing, values, weight)
    assert result.shape == packing.output_shape
    if together == 1:
        values, result = values[None], result[None]
    for one, expected in zip(values, result, strict=True):
        np.testing.assert_array_equal(linear(shape, one, weight), expected)


def test_known_choices_for_a_batch() -> None:
    packing = plan_packing(CRYPTONETS["dense"], 8192, 32)
    assert packing.blocks.images == 32
    assert (packing.input_polynomials, packing.output_polynomials) == (24, 17)
    # Tiles of one image fill their polynomials already.
    wide = LinearShape.convolution((96, 96, 3), (3, 3, 3, 8), padding=((1, 1), (1, 1)))
    assert plan_packing(wide, 8192, 32).blocks.images == 1


@pytest.mark.parametrize("layer", ["conv", "dense", "logits"])
def test_images_that_a_last_group_lacks_are_counted(layer: str) -> None:
    def work(images: int, most: int) -> float:
        """Of so many images, in groups of the packing for `most`."""
        cost, blocks = cheapest(CRYPTONETS[layer], 8192, most, WORK_ALONE)
        return cost * -(-images // blocks.images) * blocks.images

    for images in range(1, 65):
        cost, blocks = cheapest(CRYPTONETS[layer], 8192, images, WORK_ALONE)
        assert blocks.images.bit_count() == 1
        assert cost * images == pytest.approx(min(work(images, 1 << k) for k in range(7)))
    # One group of 64, of which 24 are not there, rather than two of 32.
    assert plan_packing(CRYPTONETS["dense"], 8192, 40).blocks.images == 64
    assert plan_packing(CRYPTONETS["dense"], 8192, 32).blocks.images == 32


def test_known_answer_by_hand() -> None:
    # (1 + 2X) as (x0, x1); weights of two filters over two channels, written out by hand.
    packing = plan_packing(LinearShape.dense(2, 2), 4)
    assert packing.pack_input([5, 7]).tolist() == [[5, 7]]
    assert [w.tolist() for w in packing.pack_weights([[1, 2], [3, 4]])] == [[3, 1, 4, 2]]
    assert packing.output_positions[0].tolist() == [1, 3]


def test_both_parties_get_one_packing() -> None:
    assert plan_packing(LinearShape.dense(9, 4), 64) is plan_packing(LinearShape.dense(9, 4), 64)


def test_output_round_trip() -> None:
    packing = plan_packing(CRYPTONETS["conv"], 8192)
    values = np.arange(980).reshape(14, 14, 5)
    np.testing.assert_array_equal(packing.unpack_output(packing.pack_output(values)), values)


def test_wrong_array_shapes() -> None:
    packing = plan_packing(LinearShape.dense(3, 2), 64)
    with pytest.raises(ValueError, match="input has shape"):
        packing.pack_input(np.zeros(4))
    with pytest.raises(ValueError, match="weights have shape"):
        next(packing.pack_weights(np.zeros((2, 3))))
    with pytest.raises(ValueError, match="output has shape"):
        packing.pack_output(np.zeros(3))


def test_impossible_layers() -> None:
    with pytest.raises(ValueError, match="kernel is larger"):
        LinearShape.convolution((4, 4, 1), (5, 5, 1, 1))
    with pytest.raises(ValueError, match="must divide"):
        LinearShape(4, 4, 3, (1, 1), 4, groups=2)
    with pytest.raises(ValueError, match="does not fit an input"):
        LinearShape.convolution((4, 4, 3), (1, 1, 2, 4))
    with pytest.raises(ValueError, match="below 1"):
        LinearShape.dense(0, 4)
    with pytest.raises(ValueError, match="padding"):
        LinearShape(4, 4, 1, (1, 1), 1, padding=((-1, 0), (0, 0)))
    with pytest.raises(ValueError, match="does not fit degree 16"):
        plan_packing(LinearShape.convolution((9, 9, 1), (5, 5, 1, 1)), 16)
