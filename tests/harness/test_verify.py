"""The check against the plain computation finds every single wrong figure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from capc.errors import ConfigError
from capc.fixed_point import VOTE_BITS, FixedPoint
from capc.graph.layers import BoundedRelu, Dense, Input, Network, Reshape
from capc.graph.quantize import quantize
from capc.harness.expectations import expectations
from capc.harness.queries import Queries
from capc.harness.recorder import Results
from capc.harness.settings import parse_settings
from capc.harness.verify import check_models, check_run, check_shapes, noise_is_off
from capc.inference.costs import LayerCost
from capc.inference.reference import evaluate
from capc.parties.config import PrivacySettings
from capc.transport.control_messages import Answer

RING = FixedPoint(40, 12)
CLASSES, N_QUERIES, N_PARTIES = 4, 6, 3
SILENT = PrivacySettings(0.0, None, 0.0, None, 1e-5, "improved")
NOISY = PrivacySettings(5.0, None, 0.0, None, 1e-5, "improved")
random = np.random.default_rng(7)


def network(seed: int) -> Network:
    weights = np.random.default_rng(seed).normal(size=(6, CLASSES))
    return Network(
        (
            Input("input", (), (2, 3, 1)),
            Reshape("flat", ("input",), (6,)),
            Dense("logits", ("flat",), (CLASSES,), weights, weights[0]),
        )
    )


def with_weights(net: Network, weight: NDArray[Any]) -> Network:
    assert isinstance(net.output, Dense)
    return Network((*net.layers[:-1], replace(net.output, weight=weight)))


def before_a_cap(net: Network, factor: float) -> Network:
    """The network with a bounded activation after weights that this factor enlarges."""
    assert isinstance(net.output, Dense)
    large = replace(net.output, name="large", weight=factor * net.output.weight)
    cap = BoundedRelu("cap", ("large",), (CLASSES,), 6.0)
    same = Dense("logits", ("cap",), (CLASSES,), np.eye(CLASSES), np.zeros(CLASSES))
    return Network((*net.layers[:-1], large, cap, same))


NETWORKS = [network(1), network(5), network(8)]  # the top count is 1, 2 and 3 over the queries
QUERIES = Queries(random.uniform(0, 1, (N_QUERIES, 2, 3, 1)).astype(np.float32), None, (0.0, 1.0))


def reference() -> NDArray[Any]:
    return np.stack([evaluate(quantize(net, RING, (0, 1)), QUERIES.images) for net in NETWORKS])


def votes(query: int) -> NDArray[Any]:
    return np.bincount(np.argmax(reference()[:, query], axis=1), minlength=CLASSES)


def honest(*, opened: bool, noise: NDArray[Any] | None = None) -> Results:
    """What a run of the protocol brings, shares drawn afresh."""
    results = Results(plans={f"answering-{party}": RING for party in range(N_PARTIES)})
    logits = reference()
    for query in range(N_QUERIES):
        drawn = np.zeros(CLASSES, np.int64) if noise is None else noise[query]
        results.answers[query] = Answer(query, True, int(np.argmax(votes(query) + drawn)))
        if not opened:
            continue
        results.opened[query, "guardian", "noise", None] = tuple(int(g) for g in drawn)
        results.opened[query, "guardian", "threshold_noise", None] = (0,)
        for party in range(N_PARTIES):
            name = f"answering-{party}"
            mine, theirs = RING.share(RING.reduce(logits[party, query]))
            one_hot = np.eye(CLASSES, dtype=np.int64)[np.argmax(logits[party, query])]
            mask = random.integers(0, 1 << VOTE_BITS, CLASSES)
            shared = (one_hot - mask) % (1 << VOTE_BITS)
            for key, values in (
                (("querying", "logit_share", name), mine),
                ((name, "logit_share", None), theirs),
                (("querying", "vote_share", name), shared),
                ((name, "vote_share", None), mask),
            ):
                owner, kind, peer = key
                results.opened[query, owner, kind, peer] = tuple(int(value) for value in values)
    return results


PARTS = PrivacySettings(5.0, None, 0.0, None, 1e-5, "improved", None, "distributed", 1)


def distributed(noise: NDArray[Any], threshold: int | None = None) -> Results:
    """An opened run whose parties draw the noise, (parties, queries, classes) in 1/256 votes."""
    results = honest(opened=True)
    for query in range(N_QUERIES):
        for kind in ("noise", "threshold_noise"):
            del results.opened[query, "guardian", kind, None]
        counts = 256 * votes(query) + noise[:, query].sum(axis=0)
        answered = threshold is None or bool(counts.max() >= 256 * threshold)
        label = int(np.argmax(counts)) if answered else None
        results.answers[query] = Answer(query, answered, label)
        for party in range(N_PARTIES):
            name = f"answering-{party}"
            drawn = tuple(int(value) for value in noise[party, query])
            results.opened[query, name, "noise", None] = drawn
            for at in ((query, "querying", "vote_share", name), (query, name, "vote_share", None)):
                share = 256 * np.array(results.opened[at]) % (1 << VOTE_BITS)
                results.opened[at] = tuple(int(value) for value in share)
    return results


def agreement(results: Results, privacy: PrivacySettings) -> list[bool | None]:
    return [found.agrees for found in check_run(NETWORKS, QUERIES, results, privacy).values()]


def test_the_queries_differ() -> None:
    assert {int(votes(query).max()) for query in range(N_QUERIES)} == {1, 2, 3}
    assert len({int(np.argmax(votes(query))) for query in range(N_QUERIES)}) == 3


def test_an_honest_run_agrees() -> None:
    checks = check_run(NETWORKS, QUERIES, honest(opened=False), SILENT)
    assert [found.agrees for found in checks.values()] == [True] * N_QUERIES
    errors = [found.max_logit_error for found in checks.values()]
    assert all(error is not None and 0 < error < 0.01 for error in errors)
    flat = QUERIES.images.reshape(N_QUERIES, 6).astype(np.float64)
    for query, found in checks.items():
        chosen = [
            int(np.argmax(flat[query] @ net.output.weight + net.output.bias))  # type: ignore[attr-defined]
            for net in NETWORKS
        ]
        assert found.float_label == int(np.argmax(np.bincount(chosen, minlength=CLASSES)))


def test_float_labels_are_those_of_the_models_as_trained() -> None:
    """A calibrated model may saturate: what is shown beside it is the float model."""
    turned = [
        with_weights(network, -network.output.weight)  # type: ignore[attr-defined]
        for network in NETWORKS
    ]
    plain = check_run(NETWORKS, QUERIES, honest(opened=False), SILENT)
    checks = check_run(NETWORKS, QUERIES, honest(opened=False), SILENT, turned)
    assert [found.agrees for found in checks.values()] == [True] * N_QUERIES
    assert [found.float_label for found in checks.values()] != [
        found.float_label for found in plain.values()
    ]
    errors = [found.max_logit_error for found in checks.values()]
    assert all(error is not None and error > 0.01 for error in errors)


def test_examples_of_another_scale_and_too_few_bits_are_said(tmp_path: Path) -> None:
    np.save(tmp_path / "examples.npy", np.full((1, *QUERIES.images.shape[1:]), 2.0))
    flags = [f"--calibration={tmp_path / 'examples.npy'}", "--encryption_params=config/deep.json"]
    with pytest.raises(ConfigError, match=r"pixels outside \[0, 1\], the range of the queries"):
        check_models(NETWORKS, QUERIES, parse_settings(flags))
    assert check_models(NETWORKS, QUERIES, parse_settings(flags[1:])).remarks == []
    wide = before_a_cap(NETWORKS[0], 1e10)
    said = check_models([NETWORKS[1], wide], QUERIES, parse_settings([*flags[1:], "--cpu"])).remarks
    assert len(said) == 1
    assert "answering party 1: " in said[0].shown
    assert "--calibration" in said[0].shown
    assert "could need" in (said[0].private or "")


def test_an_expensive_run_is_announced() -> None:
    cheap = LayerCost("", 1_000_000, 2_000_000, 0.2, 0.1, weight_bytes=10_000_000)
    assert expectations([cheap], 1, 600.0, 1 << 30) == []
    four = [cheap] * 4
    assert expectations(four, 10, 600.0, 1 << 30) == []
    (slow,) = expectations(four, 32, 20.0, 1 << 30)
    assert slow.startswith("WARNING: 32 queries of a batch, answered together, may take 38 s, and")
    assert "--timeout is 20 s: give a longer one, or a smaller --batch_size" in slow
    (large,) = expectations(four, 1, 600.0, 79_000_000)
    assert large.startswith("WARNING: the answering parties hold 0.0 GB")
    assert expectations(four, 1, 600.0, 81_000_000) == []
    assert expectations(four, 1, 600.0, None) == []  # nothing is said of memory


@pytest.mark.parametrize("privacy", [SILENT, NOISY], ids=["silent", "noisy"])
def test_an_honest_run_that_opens_its_shares_agrees(privacy: PrivacySettings) -> None:
    noise = random.integers(-5, 6, (N_QUERIES, CLASSES)) if privacy is NOISY else None
    assert agreement(honest(opened=True, noise=noise), privacy) == [True] * N_QUERIES


def test_noise_hides_the_answer() -> None:
    assert agreement(honest(opened=False), NOISY) == [None] * N_QUERIES


def test_a_wrong_label_is_found() -> None:
    results = honest(opened=False)
    answer = results.answers[2]
    assert answer.label is not None
    results.answers[2] = Answer(2, True, (answer.label + 1) % CLASSES)
    assert agreement(results, SILENT) == [True, True, False, True, True, True]


@pytest.mark.parametrize(
    ("party", "name", "peer"),
    [
        ("querying", "logit_share", "answering-1"),
        ("answering-2", "logit_share", None),
        ("querying", "vote_share", "answering-0"),
        ("answering-0", "vote_share", None),
    ],
)
def test_one_bit_of_one_share_is_found(party: str, name: str, peer: str | None) -> None:
    results = honest(opened=True)
    values = list(results.opened[3, party, name, peer])
    values[1] ^= 1
    results.opened[3, party, name, peer] = tuple(values)
    assert agreement(results, SILENT) == [True, True, True, False, True, True]


def test_a_label_that_the_opened_noise_does_not_give_is_found() -> None:
    noise = np.zeros((N_QUERIES, CLASSES), np.int64)
    results = honest(opened=True, noise=noise)
    drawn = [0] * CLASSES
    drawn[(int(np.argmax(votes(1))) + 1) % CLASSES] = 100
    results.opened[1, "guardian", "noise", None] = tuple(drawn)
    assert agreement(results, NOISY) == [True, False, True, True, True, True]


@pytest.mark.parametrize("threshold", [None, 2])
def test_a_run_whose_parties_draw_the_noise(threshold: int | None) -> None:
    noise = random.integers(-400, 400, (N_PARTIES, N_QUERIES, CLASSES))
    noise[0, 1] = [0, 0, 0, 5000]  # a label that the votes alone would not give
    privacy = replace(PARTS, threshold=threshold)
    results = distributed(noise, threshold)
    assert agreement(results, privacy) == [True] * N_QUERIES
    hidden = replace(results, opened=dict(results.opened))
    del hidden.opened[1, "answering-2", "noise", None]
    assert agreement(hidden, privacy)[1] is True  # its shares agree, and nothing more is known
    results.opened[1, "answering-0", "noise", None] = (5000, 0, 0, 0)
    assert agreement(results, privacy) == [True, False, True, True, True, True]
    assert agreement(results, NOISY)[0] is False  # another unit


def test_noise_in_parts_of_a_vote_is_off_much_later() -> None:
    assert not noise_is_off(replace(PARTS, sigma=0.1), 10, 20, N_PARTIES)
    assert noise_is_off(replace(PARTS, sigma=0.0), 10, 20, N_PARTIES)


def test_shares_of_another_length_are_found() -> None:
    results = honest(opened=True)
    for party, peer in (("querying", "answering-0"), ("answering-0", None)):
        results.opened[0, party, "vote_share", peer] = (1, 2)
    assert agreement(results, SILENT)[0] is False


def test_threshold() -> None:
    privacy = PrivacySettings(0.0, 2, 0.0, None, 1e-5, "improved")
    results = honest(opened=False)
    for query, answer in results.answers.items():
        if votes(query).max() < 2:
            results.answers[query] = Answer(query, False, None)
        assert answer.answered
    assert agreement(results, privacy) == [True] * N_QUERIES
    assert any(not answer.answered for answer in results.answers.values())
    wrong = next(q for q, answer in results.answers.items() if not answer.answered)
    results.answers[wrong] = Answer(wrong, True, 0)
    assert agreement(results, privacy)[wrong] is False


def test_without_a_plan_nothing_is_claimed() -> None:
    results = honest(opened=False)
    del results.plans["answering-1"]
    checks = check_run(NETWORKS, QUERIES, results, SILENT)
    assert all(found.agrees is None and found.max_logit_error is None for found in checks.values())


def test_when_noise_is_off() -> None:
    assert noise_is_off(SILENT, 10, 20)
    for sigma in (0.1, 1e-300, 5e-324):
        assert noise_is_off(PrivacySettings(sigma, None, 0.0, None, 1e-5, "classic"), 10, 20)
    assert not noise_is_off(PrivacySettings(0.2, None, 0.0, None, 1e-5, "classic"), 10, 20)
    assert not noise_is_off(NOISY, 10, 1)
    assert not noise_is_off(PrivacySettings(0.0, 3, 1.0, None, 1e-5, "classic"), 10, 1)


def test_models_that_do_not_fit() -> None:
    networks = NETWORKS[:1]
    check_shapes(networks, QUERIES, CLASSES)
    with pytest.raises(ConfigError, match="--num_classes is 10"):
        check_shapes(networks, QUERIES, 10)
    other = Queries(np.zeros((1, 28, 28, 1), np.float32), None, (0, 1))
    with pytest.raises(ConfigError, match=r"shape \(2, 3, 1\)"):
        check_shapes(networks, other, CLASSES)
