"""Models of one architecture have equal plans in a run, whatever their weights are."""

from __future__ import annotations

import math
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from two_party import TINY, assert_bit_for_bit

from capc.errors import CapcError, ConfigError, ModelError, RangeError
from capc.fixed_point import MAX_LOGIT, FixedPoint, Float64
from capc.graph.agreement import Agreement, agree, agreed_integers, architecture, with_agreement
from capc.graph.calibration import Calibration, calibrated, calibration_bounds, with_bounds
from capc.graph.layers import (
    BoundedRelu,
    Conv2D,
    Dense,
    Input,
    LeakyRelu,
    Network,
    QuantizedNetwork,
    Relu,
    Reshape,
    Square,
)
from capc.graph.ring_choice import to_ring
from capc.graph.scaling import in_ring
from capc.inference.server import InferenceServer
from capc.transport.channel import Channel
from capc.transport.framing import MessageType

RANGE = (0.0, 1.0)


def network(seed: int, scale: float, name: str = "", trained: bool = False) -> Network:
    """A convolution, a square and two dense layers with weights of this scale."""
    random = np.random.default_rng(seed)

    def weights(*shape: int) -> Float64:
        return random.normal(0, scale, shape)

    last: Float64 = weights(10, 3)
    if trained:  # the last layer as ridge regression fits it to made labels
        values = random.uniform(0, 1, (200, 10))
        labels = np.eye(3)[random.integers(0, 3, 200)]
        last = np.asarray(np.linalg.solve(values.T @ values + np.eye(10), values.T @ labels))
    layers = (
        Input(f"{name}x", (), (6, 6, 1)),
        Conv2D(
            f"{name}c", (f"{name}x",), (6, 6, 2), weights(3, 3, 1, 2), weights(2),
            padding=((1, 1), (1, 1)),
        ),
        Relu(f"{name}r", (f"{name}c",), (6, 6, 2)),
        Reshape(f"{name}f", (f"{name}r",), (72,)),
        Dense(f"{name}d", (f"{name}f",), (10,), weights(72, 10), weights(10)),
        Square(f"{name}s", (f"{name}d",), (10,)),
        LeakyRelu(f"{name}l", (f"{name}s",), (10,), slope=0.1),
        Dense(f"{name}o", (f"{name}l",), (3,), last, weights(3)),
    )  # fmt: skip
    return Network(layers)


def bounded(model: Network) -> Network:
    """The same with activations that let no factor through, so that no weight is halved."""
    return Network(
        tuple(
            BoundedRelu(layer.name, layer.inputs, layer.shape, cap=1024.0)
            if isinstance(layer, Relu | LeakyRelu)
            else layer
            for layer in model.layers
        )
    )


MODELS = [network(0, 0.05, "a/", trained=True), network(1, 0.1), network(2, 1.0, "dense_7")]


def plan_as_sent(integers: QuantizedNetwork) -> bytes:
    """The first message of an answering party."""
    left, right = socket.socketpair()
    querying, answering = Channel(left, "answering-0"), Channel(right, "querying")
    with ThreadPoolExecutor(1) as pool:

        def serve() -> None:
            with answering:
                InferenceServer(answering, integers, TINY, allow_insecure=True)

        served = pool.submit(serve)
        with querying:
            plan = bytes(querying.recv(MessageType.PLAN, 1 << 20))
        with pytest.raises(CapcError):
            served.result()
    return plan


def served(models: Sequence[Network], ring_bits: int | None = None) -> list[QuantizedNetwork]:
    agreed = agree(models, RANGE, MAX_LOGIT, ring_bits=ring_bits)
    return [
        agreed_integers(model, agreement, RANGE)
        for model, agreement in zip(models, agreed.agreements, strict=True)
    ]


def test_plans_as_sent_are_equal_whatever_the_weights() -> None:
    assert len({plan_as_sent(integers) for integers in served(MODELS)}) == 1
    # Each alone, as the smallest ring and the narrowest square have it: the third is told apart.
    alone = [plan_as_sent(to_ring(model, RANGE, MAX_LOGIT)) for model in MODELS]
    assert alone[2] not in alone[:2]


def test_with_a_fixed_ring_a_plan_does_not_depend_on_the_others_either() -> None:
    together = served(MODELS, ring_bits=49)
    alone = [served([model], ring_bits=49)[0] for model in MODELS]
    assert len({plan_as_sent(integers) for integers in [*together, *alone]}) == 1


def test_one_outlier_cannot_be_told_from_the_others() -> None:
    """But for the constants, which it may move, and which are public."""
    ring = {integers.fixed_point for integers in served(MODELS)}
    alone = {to_ring(model, RANGE, MAX_LOGIT).fixed_point.ring_bits for model in MODELS}
    assert {one.ring_bits for one in ring} == {max(alone)} != alone


def test_calibrated_ends_are_the_largest_of_all(tmp_path: Path) -> None:
    examples = np.random.default_rng(3).uniform(0, 1, (4, 6, 6, 1)).astype(np.float32)
    np.save(tmp_path / "examples.npy", examples)
    calibration = Calibration(tmp_path / "examples.npy")
    ready = [calibrated(model, calibration) for model in MODELS]
    own = [calibration_bounds(model, one) for model, one in zip(MODELS, ready, strict=True)]
    for model, one, bounds in zip(MODELS, ready, own, strict=True):
        again = with_bounds(model, bounds)
        assert architecture(again) == architecture(one)
    assert own[0] != own[2]
    agreed = agree(MODELS, RANGE, MAX_LOGIT, calibrated=ready)
    places = {place for bounds in own for place in bounds}
    assert agreed.agreements[0].bounds == {
        place: max(bounds[place] for bounds in own if place in bounds) for place in places
    }
    plans = {plan_as_sent(agreed_integers(model, agreed.agreements[0], RANGE)) for model in MODELS}
    assert len(plans) == 1
    with pytest.raises(ConfigError, match="layer 0 of the model takes no bound"):
        with_bounds(MODELS[0], {0: 1.0})


def test_it_runs_bit_for_bit_with_the_constants_of_larger_models() -> None:
    images = np.random.default_rng(4).uniform(0, 1, (2, 6, 6, 1))
    assert_bit_for_bit(served(MODELS)[1], images)


def test_a_model_is_made_integers_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Network] = []

    def counted(model: Network, ring: FixedPoint, values: tuple[float, float]) -> QuantizedNetwork:
        made.append(model)
        return in_ring(model, ring, values)

    monkeypatch.setattr("capc.graph.agreement.in_ring", counted)
    agreed = agree(MODELS[:1], RANGE, MAX_LOGIT)
    assert len(made) == 1
    agreed_integers(MODELS[0], agreed.agreements[0], RANGE)
    assert len(made) == 2


def test_too_small_a_ring_halves_weights_and_else_clips_them() -> None:
    halved = agree(MODELS, RANGE, MAX_LOGIT, ring_bits=37)
    assert list(halved.clipped) == [0, 0, 0]
    models = [bounded(model) for model in (*MODELS[:2], network(2, 8.0, "dense_7"))]
    agreed = agree(models, RANGE, MAX_LOGIT, ring_bits=37)
    assert agreed.ring == FixedPoint(37, 12)
    assert agreed.clipped[1] == 0 < agreed.clipped[2]
    assert agreed.networks[1] is models[1]
    clipped = agreed.networks[2].layer("dense_7d")
    given = models[2].layer("dense_7d")
    assert isinstance(clipped, Dense)
    assert isinstance(given, Dense)
    limit = float(np.abs(clipped.weight).max())
    assert math.log2(limit).is_integer()
    np.testing.assert_array_equal(clipped.weight, np.clip(given.weight, -limit, limit))
    with_agreement(agreed.networks[2], agreed.agreements[2], RANGE)
    assert len({plan_as_sent(integers) for integers in served(models, ring_bits=37)}) == 1


def test_architectures_have_constants_of_their_own_but_one_ring() -> None:
    leaky = MODELS[1].layers[6]
    assert isinstance(leaky, LeakyRelu)
    other = replace(leaky, slope=0.2)
    changed = Network((*MODELS[1].layers[:6], other, MODELS[1].layers[7]))
    agreed = agree([MODELS[0], MODELS[2], changed], RANGE, MAX_LOGIT)
    assert agreed.agreements[0] is agreed.agreements[1] is not agreed.agreements[2]
    assert agreed.agreements[2].ring == agreed.ring
    assert agreed.agreements[2].weight_bits < agreed.agreements[0].weight_bits


def test_a_model_that_needs_more_than_was_agreed_is_refused() -> None:
    agreement = agree(MODELS[:2], RANGE, MAX_LOGIT, ring_bits=49).agreements[0]
    with pytest.raises(ModelError, match="the run agreed on"):
        agreed_integers(MODELS[2], agreement, RANGE)


def test_fraction_bits_alone() -> None:
    assert agree(MODELS, RANGE, MAX_LOGIT, fraction_bits=8).ring.fraction_bits == 8
    with pytest.raises(RangeError, match="needs"):
        agree([bounded(network(5, 4e4))], RANGE, MAX_LOGIT, fraction_bits=16)


def test_there_and_back() -> None:
    agreement = Agreement(FixedPoint(41, 12), {2: 0.5, 5: 8.0}, (11, 12), (20,))
    assert Agreement.from_fields(agreement.to_fields()) == agreement
