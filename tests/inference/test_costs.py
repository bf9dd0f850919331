"""What `inspect` expects is what travels; what does not run is said with a way out."""

from __future__ import annotations

import itertools
import math
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from two_party import run

from capc.errors import ConfigError, ModelError, RangeError
from capc.fixed_point import FixedPoint
from capc.graph.layers import Conv2D, Dense, Input, Layer, MaxPool, Network, Relu, Reshape, Square
from capc.graph.prepared import save_network
from capc.graph.quantize import quantize
from capc.graph.ring_choice import FRACTION_BITS, to_ring
from capc.he.context import context
from capc.he.noise import DISTANCE_BITS, result_mask
from capc.he.parameters import EncryptionParameters
from capc.he.server import HEServer, new_key_seed
from capc.inference import layout
from capc.inference.arrangement import arranged
from capc.inference.choice import GARBLED, NonlinearChoice
from capc.inference.client import KeyRing
from capc.inference.costs import (
    LayerCost,
    expected_seconds,
    query_costs,
    session_bytes,
    total_cost,
)
from capc.inference.graph_command import main
from capc.inference.layout import linear_packing
from capc.inference.link import WITHIN_A_MACHINE, Link
from capc.inference.plan import plan_to_json, public_part
from capc.transport.framing import HEADER

ROOT = Path(__file__).resolve().parents[2]
FAST = EncryptionParameters.from_json(str(ROOT / "config" / "fast.json"))


def small(scale: float = 0.3) -> Network:
    random = np.random.default_rng(4)
    kernel = random.normal(0, scale, (3, 3, 1, 4))
    weight = random.normal(0, scale, (64, 5))
    layers: tuple[Layer, ...] = (
        Input("x", (), (8, 8, 1)),
        Conv2D("c", ("x",), (8, 8, 4), kernel, np.zeros(4), padding=((1, 1), (1, 1))),
        MaxPool("p", ("c",), (4, 4, 4), window=(2, 2), strides=(2, 2)),
        Relu("r", ("p",), (4, 4, 4)),
        Square("s", ("r",), (4, 4, 4)),
        Reshape("f", ("s",), (64,)),
        Dense("d", ("f",), (5,), weight, np.zeros(5)),
    )
    return Network(layers)


@pytest.mark.parametrize("kept", [1 << 28, 1 << 17, 0])
@pytest.mark.parametrize(("queries", "choice"), [(1, GARBLED), (7, NonlinearChoice("transfers"))])
def test_expected_bytes_are_those_that_travel(
    kept: int, queries: int, choice: NonlinearChoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "MAX_KEPT_BYTES", kept)
    network = arranged(quantize(small(), FixedPoint(41, 12), (0.0, 1.0)), choice)
    costs = query_costs(network, FAST, queries, choice.transfers(network))
    assert set(costs) == {"c", "p", "r" if choice == GARBLED else "r/each", "s", "d"}
    assert costs["d"].work.startswith("8 images: " if queries == 7 else "1 in, ")
    expected = total_cost(costs)
    counts: list[Any] = []
    run(network, np.zeros((queries, 8, 8, 1)), FAST, counts, choice)
    for before, after, promised in (
        (counts[0], counts[1], expected.offline_bytes),
        (counts[1], counts[2], expected.online_bytes),
    ):
        spent = after - before
        moved = spent.bytes_sent + spent.bytes_received
        headers = 40 * queries * HEADER.size
        assert queries * (promised - 1) <= moved <= queries * (promised + 1) + headers
    once = session_bytes(network, FAST, queries, choice.transfers(network))
    plan = len(str(plan_to_json(public_part(network), [], None)))
    sent = counts[0].bytes_sent + counts[0].bytes_received
    assert once <= sent <= once + plan + 40 * HEADER.size


@pytest.mark.parametrize("choice", [GARBLED, NonlinearChoice("transfers")])
def test_expected_round_trips_are_those_that_are_waited_for(choice: NonlinearChoice) -> None:
    network = arranged(quantize(small(), FixedPoint(41, 12), (0.0, 1.0)), choice)
    expected = total_cost(query_costs(network, FAST, transfers=choice.transfers(network)))
    counts: list[Any] = []
    run(network, np.zeros((1, 8, 8, 1)), FAST, counts, choice)
    rounds = [(after - before).rounds for before, after in itertools.pairwise(counts)]
    assert rounds == [expected.offline_rounds, expected.online_rounds]


def test_a_model_too_large_for_the_parameters_names_layer_and_way_out() -> None:
    network = quantize(small(), FixedPoint(57, 12), (0.0, 1.0))
    with pytest.raises(ConfigError, match=r"layer 'd' .*larger primes, as config/deep.json has"):
        query_costs(network, FAST)
    query_costs(network, EncryptionParameters.from_json(str(ROOT / "config" / "deep.json")))


def test_a_network_without_a_linear_layer_is_refused_before_it_runs() -> None:
    layers = (*small().layers[:1], Relu("r", ("x",), (8, 8, 1)))
    network = quantize(Network(layers), FixedPoint(41, 12), (0.0, 1.0))
    with pytest.raises(ModelError, match=r"no layer up to 'r' is linear.*--output_node, or use"):
        query_costs(network, FAST)


def test_the_distance_is_that_of_the_bound_a_run_checks() -> None:
    network = quantize(small(), FixedPoint(41, 12), (0.0, 1.0))
    costs = query_costs(network, FAST)
    assert {name for name, cost in costs.items() if cost.distance} == {"c", "d"}
    setting = context(FAST, 41)
    dense = network.output
    assert isinstance(dense, Dense)
    # One output polynomial: all its weights add up.
    bits = network.weight_bits["d"]
    mask = result_mask(setting, dense.weight.size << bits)
    assert mask is not None
    assert costs["d"].coefficient_distance == pytest.approx(float(mask.distance))
    assert costs["d"].distance == pytest.approx(5 * float(mask.distance))
    # A bit more doubles the guards, as long as the noise of the weights outweighs the rest.
    spare = int(-math.log2(mask.distance) - DISTANCE_BITS)
    seed = new_key_seed()
    key = KeyRing(FAST).client(network.fixed_point).public_key(seed)
    server = HEServer(FAST, network.fixed_point, seed, key)
    packing = linear_packing(network, dense, 8192)
    server.prepare_layer("d", packing, dense.weight, bits + spare)
    with pytest.raises(ConfigError, match="layer 'd' needs"):
        server.prepare_layer("d", packing, dense.weight, bits + spare + 1)


def test_a_deep_model_gets_the_fraction_bits_that_fit() -> None:
    assert to_ring(small(), (0.0, 1.0), 1.0).fixed_point.fraction_bits == FRACTION_BITS
    wide = to_ring(small(), (0.0, 1000.0), 1.0)
    wider = to_ring(small(), (0.0, 1e5), 1.0)
    assert FRACTION_BITS > wider.fixed_point.fraction_bits < wide.fixed_point.fraction_bits
    with pytest.raises((RangeError, ConfigError)):
        to_ring(small(), (0.0, 1e9), 1.0)


def test_of_a_whole_query_the_longer_of_work_and_bytes_counts() -> None:
    layer = LayerCost("", 500_000, 50_000, 1.0, 0.5, offline_rounds=1, online_rounds=2)
    costs = {"a": layer, "b": layer}
    near = expected_seconds(costs, WITHIN_A_MACHINE)
    assert 1.0 < near[0] < 2.0 and 0.5 < near[1] < 1.0  # both parties work at the same time
    fast = expected_seconds(costs, Link.parse("100ms,1gbit"))
    assert fast == pytest.approx((near[0] + 0.2, near[1] + 0.4))
    slow = expected_seconds(costs, Link.parse("100ms,1mbit"))
    assert slow == pytest.approx((8.2, 1.2), rel=0.01)
    layer = replace(layer, offline_asked=200_000, online_asked=30_000)  # a line takes both ways
    both_ways = expected_seconds({"a": layer, "b": layer}, Link.parse("100ms,1mbit"))
    assert both_ways == pytest.approx((5.0, 1.0), rel=0.01)


def test_inspect_prints_expectations_and_refusals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ready = tmp_path / "model.npz"
    monkeypatch.setenv("COLUMNS", "140")
    monkeypatch.setattr("capc.inference.graph_command.prepare", lambda *_, **__: ready)
    save_network(small(), ready)
    assert main(["inspect", "model.pb"]) == 0
    shown = capsys.readouterr().out
    assert "1 in, 1 out, 1 products" in shown
    assert "2^-58." in shown or "2^-57." in shown or "2^-56." in shown
    assert "For all replies to one query it is 2^-52.0." in shown
    assert "Expected for one query:" in shown
    assert main(["inspect", "--nonlinear=transfers", "--link=2ms,100mbit", "model.pb"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"256 x \d+ look-ups", shown)  # the ReLUs, before the maxima
    assert "Non-linear layers of one query, both phases, 2ms,100mbit" in shown
    ends = ("garbled      │", "by transfers │")
    runs = {line.split()[1]: line for line in shown.splitlines() if line.endswith(ends)}
    assert {name for name, line in runs.items() if "by transfers" in line} == {"r/each", "p", "s"}
    assert runs.keys() == {"p", "r/each", "s"}
    with pytest.raises(ConfigError, match="--link measured needs two parties"):
        main(["inspect", "--link=measured", "model.pb"])
    assert main(["inspect", "--batch_size", "100", "model.pb"]) == 0
    shown = capsys.readouterr().out
    assert "of a batch of 100 that runs 64 at a time" in shown
    assert "64 images: " in shown
    assert "for all 100: " in shown
    padded: list[Any] = list(small().layers)
    padded[2] = replace(padded[2], padding=((2, 0), (2, 0)), shape=(5, 5, 4))
    padded[3:6] = [replace(layer, shape=(5, 5, 4)) for layer in padded[3:5]] + [
        replace(padded[5], shape=(100,))
    ]
    padded[6] = replace(padded[6], weight=np.ones((100, 5)))
    save_network(Network(tuple(padded)), ready)
    assert main(["inspect", "model.pb"]) == 0
    assert "Does not run: layer 'p': a window of (2, 2) lies in its padding" in (
        capsys.readouterr().out
    )


@pytest.mark.slow
def test_a_row_of_the_models_table() -> None:
    from capc.bench.areas.models import measure_model  # noqa: PLC0415  TensorFlow

    try:
        row = measure_model("cryptonets-relu", 20, 2, NonlinearChoice("transfers"))
    except (ConfigError, ModelError) as error:
        if "mnist" in str(error).lower():
            pytest.skip(str(error))
        raise
    finally:
        sys.stdout.flush()
    assert row.agrees
    assert (row.nonlinear, row.non_linear_values, row.and_gates) == ("transfers", 1080, 0)
    assert row.queries == 2
    assert row.distinct_labels > 2
    assert row.max_logit_error < 0.05 < row.max_logit
    assert row.labels_equal >= 18
