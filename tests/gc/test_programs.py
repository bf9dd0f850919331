"""The circuit programs as sessions, two processes over loopback, against plain arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from programs_pair import (
    ARGMAX,
    BACK_ENDS,
    CLASSES,
    RING,
    VOTES,
    Pair,
    both,
    count,
    open_pair,
    signed,
    vote,
)

from capc.fixed_point import uniform_bits
from capc.gc.circuits import noisy_argmax_inputs
from capc.gc.program_files import BackEnd

MODEST = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module", params=BACK_ENDS)
def argmax(request: pytest.FixtureRequest) -> Iterator[Pair]:
    with open_pair("argmax_1", **ARGMAX, backend=request.param) as pair:
        yield pair


@pytest.fixture(scope="module", params=BACK_ENDS)
def histogram(request: pytest.FixtureRequest) -> Iterator[Pair]:
    task = {"classes": CLASSES, "with_threshold": True, "backend": request.param}
    with open_pair("sum_histogram", **task) as pair:
        yield pair


@pytest.fixture(scope="module", params=BACK_ENDS)
def plain_histogram(request: pytest.FixtureRequest) -> Iterator[Pair]:
    with open_pair("sum_histogram", classes=CLASSES, backend=request.param) as pair:
        yield pair


EDGES = [0, 1, 2, -1, -2, (1 << (RING - 1)) - 1, -(1 << (RING - 1)), 1 << (RING - 2)]
edge_logits = st.lists(
    st.lists(
        st.one_of(
            st.sampled_from(EDGES),
            st.integers(min_value=-(1 << (RING - 1)), max_value=(1 << (RING - 1)) - 1),
        ),
        min_size=CLASSES,
        max_size=CLASSES,
    ),
    min_size=1,
    max_size=20,
)


@MODEST
@given(rows=edge_logits)
def test_argmax_is_one_hot_of_the_lowest_largest_logit(argmax: Pair, rows: list[list[int]]) -> None:
    logits = np.array(rows, dtype=np.int64)
    expected = np.eye(CLASSES, dtype=np.int64)[signed(logits, RING).argmax(axis=1)]
    np.testing.assert_array_equal(vote(argmax, logits), expected)


@pytest.mark.parametrize("back_end", BACK_ENDS)
def test_a_vote_may_count_in_finer_parts(back_end: BackEnd) -> None:
    logits = np.array([[7] * CLASSES, [-3, 5, 5] + [-9] * 7], dtype=np.int64)
    expected = 256 * np.eye(CLASSES, dtype=np.int64)[[0, 1]]
    with open_pair("argmax_1", **ARGMAX, vote_shift=8, backend=back_end) as pair:
        np.testing.assert_array_equal(vote(pair, logits), expected)


def test_argmax_ties_go_to_the_lowest_class(argmax: Pair) -> None:
    logits = np.array([[7] * CLASSES, [-3, 5, 5] + [-9] * 7, [-1] * 9 + [-1]], dtype=np.int64)
    assert vote(argmax, logits).argmax(axis=1).tolist() == [0, 1, 0]


def test_many_queries_in_one_batch(argmax: Pair) -> None:
    logits = signed(uniform_bits(RING, (300, CLASSES)), RING)
    np.testing.assert_array_equal(vote(argmax, logits).argmax(axis=1), logits.argmax(axis=1))


def test_prepared_batches_are_used_in_order(argmax: Pair) -> None:
    garbler, evaluator = argmax
    logits = signed(uniform_bits(RING, (3, 2, CLASSES)), RING)
    masks = uniform_bits(RING, logits.shape)
    vote_shares = uniform_bits(VOTES, logits.shape)
    for batch in vote_shares:
        both(partial(garbler.prepare, 2, batch), lambda: evaluator.prepare(2))
    for i, batch in enumerate(vote_shares):
        _, shares = both(
            partial(garbler.evaluate, masks[i]),
            partial(evaluator.evaluate, logits[i] - masks[i]),
        )
        found = ((shares + batch) % (1 << VOTES)).argmax(axis=1)
        np.testing.assert_array_equal(found, logits[i].argmax(axis=1))
    with pytest.raises(ValueError, match="prepare"):
        garbler.evaluate(masks[0])


@st.composite
def elections(draw: st.DrawFn) -> tuple[list[int], list[int], int, int]:
    """Votes, their noise, the threshold and its noise, close to each other."""
    votes = draw(st.lists(st.integers(0, 12), min_size=CLASSES, max_size=CLASSES))
    noise = draw(st.lists(st.integers(-20, 20), min_size=CLASSES, max_size=CLASSES))
    threshold_noise = draw(st.integers(-20, 20))
    threshold = max(votes) + threshold_noise + draw(st.integers(-2, 2))
    return votes, noise, threshold, threshold_noise


@MODEST
@given(election=elections())
def test_threshold_and_label(
    histogram: Pair, election: tuple[list[int], list[int], int, int]
) -> None:
    votes, noise, threshold, threshold_noise = election
    words = noisy_argmax_inputs(
        VOTES,
        [0] * CLASSES,
        noise,
        voters=12,
        threshold=threshold,
        threshold_noise=threshold_noise,
    )
    opened, learnt = count(histogram, words, np.array([votes], dtype=np.int64))
    answered = max(votes) + threshold_noise >= threshold
    label = int(np.argmax(np.add(votes, noise))) if answered else 0
    assert opened is not None
    assert opened.tolist() == [[int(answered)]]
    assert learnt.tolist() == [[int(answered), label]]


def test_threshold_is_reached_by_equality(histogram: Pair) -> None:
    votes = np.array([[0, 5, 0, 0, 0, 0, 0, 0, 0, 0]] * 2, dtype=np.int64)
    nothing = np.zeros((2, CLASSES), dtype=np.int64)
    words = noisy_argmax_inputs(
        VOTES, nothing, nothing, voters=5, threshold=5, threshold_noise=[0, -1]
    )
    opened, learnt = count(histogram, words, votes)
    assert opened is not None
    assert opened.tolist() == [[1], [0]]
    assert learnt.tolist() == [[1, 1], [0, 0]]


@pytest.mark.parametrize("lowest", [-(1 << 30), -1, 0])
def test_a_negative_noisy_count_never_wins(plain_histogram: Pair, lowest: int) -> None:
    noise = np.full((1, CLASSES), lowest - 1, dtype=np.int64)
    noise[0, 6] = lowest
    nothing, learnt = count(plain_histogram, noise, np.zeros((1, CLASSES), dtype=np.int64))
    assert nothing is None
    assert learnt.tolist() == [[6]]


@MODEST
@given(noise=st.lists(st.integers(-(1 << 29), 1 << 29), min_size=CLASSES, max_size=CLASSES))
def test_without_a_threshold_the_label_alone(plain_histogram: Pair, noise: list[int]) -> None:
    votes = np.arange(CLASSES, dtype=np.int64)[np.newaxis]
    _, learnt = count(plain_histogram, np.array([noise], dtype=np.int64), votes)
    assert learnt.tolist() == [[int(np.argmax(votes[0] + noise))]]


def test_traffic_is_counted_alike_on_both_sides() -> None:
    with open_pair("argmax_1", **ARGMAX) as (garbler, evaluator):
        both(garbler.wait_until_ready, evaluator.wait_until_ready)
        before = garbler.traffic
        logits = np.zeros((5, CLASSES), dtype=np.int64)
        vote((garbler, evaluator), logits)
        spent = garbler.traffic - before
        there, back = (
            sum(both_phases)
            for both_phases in zip(
                garbler.circuit.offline_bytes(5), garbler.circuit.online_bytes(5), strict=True
            )
        )
        assert (spent.bytes_sent, spent.bytes_received) == (there, back)
        assert garbler.traffic.bytes_sent == evaluator.traffic.bytes_received
        assert garbler.traffic.bytes_received == evaluator.traffic.bytes_sent
        assert spent.rounds >= 1


def test_two_sessions_at_once() -> None:
    with (
        open_pair("argmax_1", **ARGMAX) as first,
        open_pair("sum_histogram", classes=3) as second,
    ):
        words = np.array([[1, 5, 2]], dtype=np.int64)
        votes, (_, learnt) = both(
            lambda: vote(first, np.eye(CLASSES, dtype=np.int64)),
            lambda: count(second, words, np.zeros((1, 3), dtype=np.int64)),
        )
        assert votes.tolist() == np.eye(CLASSES).tolist()
        assert learnt.tolist() == [[1]]
