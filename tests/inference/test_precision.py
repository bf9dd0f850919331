"""Integers that are too coarse for a model are said, or refused, before any run relies on them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from capc.errors import ModelError
from capc.fixed_point import FixedPoint
from capc.graph.layers import (
    Dense,
    Input,
    Layer,
    Network,
    PiecewiseLinear,
    Relu,
    Reshape,
    Step,
)
from capc.graph.prepared import save_network
from capc.graph.ring_choice import to_ring
from capc.graph.scaling import in_ring
from capc.harness.queries import Queries
from capc.harness.settings import parse_settings
from capc.harness.verify import check_models
from capc.inference import graph_command
from capc.inference.precision import measured_precision, why_imprecise

UNIT = (0.0, 1.0)


def network(middle: Layer, first: float = 1.0, last: float = 1.0) -> Network:
    random = np.random.default_rng(8)
    return Network(
        (
            Input("x", (), (3, 4, 1)),
            Reshape("flat", ("x",), (12,)),
            Dense("d0", ("flat",), (16,), random.normal(0, first, (12, 16)), np.zeros(16)),
            replace(middle, name="middle", inputs=("d0",), shape=(16,)),
            Dense("d1", ("middle",), (5,), random.normal(0, last, (16, 5)), np.zeros(5)),
        )
    )


RELU = Relu("", (), ())
TANH = PiecewiseLinear("", (), (), function="tanh")


@pytest.mark.parametrize("kind", [RELU, TANH, Step("", (), ())], ids=lambda k: type(k).__name__)
def test_usual_weights_are_precise_enough(kind: Layer) -> None:
    given = network(kind)
    assert why_imprecise(given, to_ring(given, UNIT, 36.0)) is None


def test_scaled_weights_are_compared_in_the_units_of_the_model() -> None:
    given = network(RELU, last=1e-4)
    found = measured_precision(given, to_ring(given, UNIT, 36.0))
    assert (found.images, found.labels_apart) == (16, 0)
    assert found.error < 1e-3
    assert 0 < found.spread < 0.1


def test_an_error_is_said_with_the_layer_and_the_numbers() -> None:
    given = network(TANH, first=5e-4)
    said = why_imprecise(given, to_ring(given, UNIT, 36.0))
    assert said is not None
    assert "with 12 fractional bits, logits are off by up to" in said
    assert "on 16 inputs of zeros, corners and noise" in said
    assert said.endswith("the first layer that is off is 'd0'")


def test_labels_that_differ_are_refused() -> None:
    given = network(TANH, first=1e-4)
    with pytest.raises(ModelError, match=r"labels differ from .* is 'd0': calibrate on public"):
        why_imprecise(given, to_ring(given, UNIT, 36.0))
    coarse = network(TANH)
    with pytest.raises(ModelError, match="with 0 fractional bits"):
        why_imprecise(coarse, in_ring(coarse, FixedPoint(40, 0), UNIT))


def test_prepare_says_and_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ready = tmp_path / "network.npz"
    monkeypatch.setattr(graph_command, "prepare", lambda *_, **__: ready)
    for first, warns in ((1.0, False), (5e-4, True)):
        save_network(network(TANH, first), ready)
        assert graph_command.main(["prepare", "model.pb"]) == 0
        captured = capsys.readouterr()
        assert json.loads(captured.out)["prepared"] == str(ready)
        assert captured.err.startswith("WARNING: model.pb: with 12") == warns
    save_network(network(TANH, 1e-4), ready)
    with pytest.raises(ModelError, match=r"model.pb: with 12 fractional bits"):
        graph_command.main(["prepare", "model.pb"])
    save_network(network(RELU, 1e9, 1e9), ready)  # what no ring holds, a run refuses
    assert graph_command.main(["prepare", "model.pb"]) == 0


def test_a_run_is_warned(monkeypatch: pytest.MonkeyPatch) -> None:
    given = network(TANH, first=5e-4)
    queries = Queries(np.zeros((1, 3, 4, 1), np.float32), None, UNIT)
    settings = parse_settings(["--n_parties=1", "--num_classes=5"])
    said = check_models([given], queries, settings).remarks
    assert all(line.is_warning for line in said)
    assert any("logits are off by up to" in (line.private or "") for line in said)
    assert not any("logits are off by" in line.shown for line in said)
    refused = network(TANH, first=1e-4)
    with pytest.raises(ModelError, match="labels differ"):
        check_models([refused], queries, parse_settings(["--n_parties=1", "--num_classes=5"]))
