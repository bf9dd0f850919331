"""Random networks of every layer there is, odd shapes included, encrypted between two parties.

More, from other seeds: pytest tests/inference/test_random_graphs.py --random_graphs=300
--random_seed=7. A failure names the seed of its network.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from two_party import TINY, assert_bit_for_bit

from capc.errors import ConfigError, ModelError, RangeError
from capc.fixed_point import FixedPoint
from capc.graph.calibration import Calibration, calibrated
from capc.graph.layers import (
    BoundedRelu,
    LeakyRelu,
    Network,
    QuantizedNetwork,
    Relu,
    Square,
    WeightedLayer,
)
from capc.graph.quantize import quantize, required_ring_bits
from capc.he import cheapest_packing
from capc.he.cheapest_packing import Weighing
from capc.he.packing import Blocks
from capc.he.parameters import EncryptionParameters
from capc.inference import layout, protocols
from capc.inference.choice import NonlinearChoice
from capc.inference.costs import check_encrypted
from capc.inference.layout import linear_packing
from capc.inference.link import Link
from capc.inference.transfer_forms import transferable

sys.path.insert(0, str(Path(__file__).parents[1] / "graph"))
from random_networks import random_images, random_network

ROOT = Path(__file__).resolve().parents[2]
PER_TEST = 10
GROUPS_A_SEED = 1000


def integers(network: Network, fraction_bits: int) -> QuantizedNetwork | None:
    """The network in the ring it needs, None where no ring is large enough."""
    try:
        bits = required_ring_bits(network, fraction_bits, (-1.0, 1.0))
        quantized = quantize(network, FixedPoint(bits, fraction_bits), (-1.0, 1.0))
        check_encrypted(quantized, TINY)
    except (RangeError, ConfigError):
        return None
    return quantized


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Groups of networks, as many as the command line asks for."""
    if "group" in metafunc.fixturenames:
        count = metafunc.config.getoption("--random_graphs", 100)
        first = metafunc.config.getoption("--random_seed", 0) * GROUPS_A_SEED
        metafunc.parametrize("group", range(first, first - (-count // PER_TEST)))
    if "transfer_group" in metafunc.fixturenames:  # one with all kinds, or as many as are asked for
        count = metafunc.config.getoption("--random_graphs", 100)
        count = count if count > 100 else 1
        metafunc.parametrize("transfer_group", range(5, 5 - (-count // PER_TEST)))


def seeds_that_fit(first: int) -> list[tuple[int, QuantizedNetwork]]:
    found: list[tuple[int, QuantizedNetwork]] = []
    seed = 1000 * first
    while len(found) < PER_TEST:
        network = integers(random_network(seed, steps=2 + seed % 5), 2 + seed % 9)
        if network is not None:
            found.append((seed, network))
        seed += 1
    return found


def test_two_parties_compute_the_reference(group: int) -> None:
    for seed, network in seeds_that_fit(group):
        images = random_images(network, seed, 1 + seed % 2, -1.0)
        try:
            assert_bit_for_bit(network, images)
        except Exception as error:
            kinds = [type(layer).__name__ for layer in network.layers]
            raise AssertionError(f"seed {seed}: {kinds}: {error}") from error


FAR = Link(1.0, math.inf)  # maxima take as few round trips as they can


class Coins(NonlinearChoice):
    """Each layer that has both forms runs by transfers or in a circuit, as a coin says."""

    def transfers(self, network: QuantizedNetwork) -> set[str]:
        places = [
            k for k, layer in enumerate(network.layers) if layer.name in transferable(network)
        ]
        seed = (len(network.layers), *places)
        coins = np.random.default_rng(seed).integers(0, 2, len(places))
        return {network.layers[k].name for k, coin in zip(places, coins, strict=True) if coin}


@pytest.mark.parametrize(
    "choice", [NonlinearChoice("transfers"), Coins(link=FAR)], ids=["all", "mixed"]
)
def test_transfers_compute_the_reference_too(
    choice: NonlinearChoice, transfer_group: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = set()
    if isinstance(choice, Coins):  # some layers not ahead of the query, and all in pieces
        monkeypatch.setattr(layout, "MAX_KEPT_BYTES", 1 << 13)
        monkeypatch.setattr(layout, "PIECE_BYTES", 1 << 11)
    for seed, network in seeds_that_fit(transfer_group):
        if found := choice.transfers(network):
            kinds |= {type(network.layer(name)) for name in found}
            images = random_images(network, seed, 1 + seed % 2, -1.0)
            assert_bit_for_bit(network, images, choice=choice)
    if transfer_group == 5 and choice.way == "transfers":
        assert kinds >= {Relu, BoundedRelu, LeakyRelu, Square}


def test_random_graphs_with_merged_replies(monkeypatch: pytest.MonkeyPatch) -> None:
    """All layers merge fours, with few filters in a polynomial; some have fewer sums than that."""
    four = Weighing(4, 1.0)
    monkeypatch.setattr(cheapest_packing, "_channel_blocks", multiples_of_four)
    monkeypatch.setattr(cheapest_packing, "cheapest", with_the_most_sums)
    for party in ("server", "client"):
        monkeypatch.setattr(f"capc.inference.{party}.weighing_of", lambda *_: four)
    sums: set[int] = set()
    for seed, given in seeds_that_fit(3):
        for layer in given.layers:
            if isinstance(layer, WeightedLayer):
                packing = linear_packing(given, layer, TINY.poly_modulus_degree, 1, four)
                assert packing.blocks.merged == 4
                sums.add(packing.sums)
        assert_bit_for_bit(given, random_images(given, seed, 1 + seed % 2, -1.0))
    assert sums >= {1, 2, 3, 4}


def multiples_of_four(*_: int) -> list[tuple[int, int]]:
    """In place of the counts that suit the layer: merged four by four."""
    return [(4, 4 << doublings) for doublings in range(7)]


def with_the_most_sums(*arguments: Any) -> tuple[float, Blocks]:
    return min(cheapest_packing._candidates(*arguments), key=lambda found: found[1].filters)


def test_every_kind_of_layer_is_among_them() -> None:
    kinds = {
        type(layer).__name__
        for group in range(6)
        for _, network in seeds_that_fit(group)
        for layer in network.layers
    }
    assert kinds == {kind.__name__ for kind in protocols.PROTOCOLS}


@pytest.mark.parametrize("config", ["fast.json", "deep.json"])
def test_secure_parameters(config: str) -> None:
    parameters = EncryptionParameters.from_json(str(ROOT / "config" / config))
    for seed, network in seeds_that_fit(7)[:3]:
        assert_bit_for_bit(network, random_images(network, seed, 1, -1.0), parameters)


def test_in_pieces_and_without_preparation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers too large to keep run both phases online, all of them in pieces."""
    monkeypatch.setattr(layout, "PIECE_BYTES", 1 << 14)
    for kept in (0, 1 << 17):
        monkeypatch.setattr(layout, "MAX_KEPT_BYTES", kept)
        for seed, network in seeds_that_fit(8)[:4]:
            assert_bit_for_bit(network, random_images(network, seed, 2, -1.0))


def test_a_window_of_padding_alone_is_refused() -> None:
    from capc.graph.layers import Dense, Input, MaxPool, Reshape  # noqa: PLC0415

    padding = ((2, 0), (0, 0))
    layers = (
        Input("x", (), (2, 2, 1)),
        MaxPool("p", ("x",), (2, 1, 1), window=(2, 2), strides=(2, 2), padding=padding),
        Reshape("f", ("p",), (2,)),
        Dense("d", ("f",), (2,), np.zeros((2, 2), np.int64), np.zeros(2, np.int64)),
    )
    bits = {"x": 4, "p": 4, "f": 4, "d": 8}
    network = QuantizedNetwork(
        fixed_point=FixedPoint(30, 4),
        input_range=(0.0, 1.0),
        layers=layers,
        bounds={},
        fraction_bits=bits,
    )
    with pytest.raises(ModelError, match=r"'p': a window of .* lies in its padding .*--cpu"):
        protocols.require_supported(network)


def test_calibrated_networks_saturate_alike(tmp_path: Path) -> None:
    """Far beyond the examples, where most activations are at their ends."""
    compared = 0
    for seed in range(9000, 9012):
        network = random_network(seed, steps=4)
        examples = tmp_path / "examples.npy"
        images = random_images(network, seed, 2, -1.0)
        np.save(examples, (0.05 * images).astype(np.float32))
        clipped = integers(calibrated(network, Calibration(examples, 1.0, (-1.0, 1.0))), 6)
        if clipped is not None:
            assert_bit_for_bit(clipped, np.sign(images))
            compared += 1
    assert compared > 4
