"""Calibration: nothing that the examples reach changes, what lies beyond saturates, never wraps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from random_networks import random_images, random_network

from capc.cli import main
from capc.errors import ConfigError, RangeError
from capc.fixed_point import MAX_RING_BITS, FixedPoint
from capc.graph.calibration import Calibration, bound_exponent, calibrated
from capc.graph.float_reference import evaluate_float
from capc.graph.layers import (
    BoundedRelu,
    Dense,
    Input,
    Layer,
    LeakyRelu,
    Network,
    PiecewiseLinear,
    Relu,
    Square,
)
from capc.graph.piecewise import FUNCTIONS
from capc.graph.prepared import cache_key, load_network, prepare
from capc.graph.quantize import layer_ranges, quantize, required_ring_bits, to_integers
from capc.graph.ring_choice import FRACTION_BITS, to_ring, why_fewer_bits
from capc.inference.reference import encode_images, evaluate_layers

SHIPPED = Path(__file__).parents[2] / "models" / "cryptonets-relu.pb"


def examples_in(
    folder: Path, values: NDArray[Any], input_range: tuple[float, float] = (-1.0, 1.0)
) -> Calibration:
    folder.mkdir(exist_ok=True)
    np.save(folder / "examples.npy", values.astype(np.float32))
    return Calibration(folder / "examples.npy", input_range=input_range)


def one_activation(make: type[Layer], **fields: object) -> Network:
    """y = activation(10 x), and its negative, for one pixel x."""
    layers: tuple[Layer, ...] = (
        Input("x", (), (1,)),
        Dense("ten", ("x",), (1,), np.array([[10.0]]), np.zeros(1)),
        make(name="act", inputs=("ten",), shape=(1,), **fields),
        Dense("out", ("act",), (2,), np.array([[1.0, -1.0]]), np.zeros(2)),
    )
    return Network(layers)


def deep_network(depth: int, width: int = 64) -> Network:
    """Dense and ReLU, `depth` times, with values that stay of the size of the input."""
    draw = np.random.default_rng(8)
    layers: list[Layer] = [Input("x", (), (width,))]
    for place in range(depth):
        weight = draw.normal(0, np.sqrt(2 / width), (width, width))
        dense = Dense(f"d{place}", (layers[-1].name,), (width,), weight, np.zeros(width))
        layers += [dense, Relu(f"r{place}", (dense.name,), (width,))]
    weight = draw.normal(0, 0.3, (width, 4))
    layers.append(Dense("logits", (layers[-1].name,), (4,), weight, np.zeros(4)))
    return Network(tuple(layers))


@pytest.mark.parametrize(
    ("largest", "margin", "exponent"),
    [(1, 1, 0), (1, 2, 1), (1.001, 2, 2), (0.25, 1, -2), (3, 1, 2), (0, 2, -4), (1e30, 2, 40)],
)
def test_bounds_are_rounded_up_to_powers_of_two(
    largest: float, margin: float, exponent: int
) -> None:
    assert bound_exponent(largest, margin) == exponent


@given(st.floats(0.07, 1e11), st.floats(1, 8))
def test_a_bound_is_the_next_power(largest: float, margin: float) -> None:
    exponent = bound_exponent(largest, margin)
    assert 2.0 ** (exponent - 1) < largest * margin <= 2.0**exponent


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_examples_are_unchanged_and_no_value_leaves_its_bounds(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    network = random_network(seed, 5)
    seen = 0.01 * random_images(network, seed, 3, -1.0).astype(np.float32)
    clipped = calibrated(network, examples_in(tmp_path_factory.mktemp("examples"), seen))
    assert_idle_bounds_are_left_out(network, clipped)
    expected = evaluate_float(network, seen)
    np.testing.assert_allclose(evaluate_float(clipped, seen), expected, rtol=1e-9, atol=1e-9)
    try:
        ring = FixedPoint(required_ring_bits(clipped, 6, (-1.0, 1.0)), 6)
    except RangeError:
        return  # linear layers alone can be too wide
    integers = quantize(clipped, ring, (-1.0, 1.0))
    far = np.sign(random_images(network, seed + 1, 2, -1.0))
    for name, values in evaluate_layers(integers, encode_images(integers, far)).items():
        low, high = integers.bounds[name]
        assert low <= values.min() <= values.max() <= high


def assert_idle_bounds_are_left_out(network: Network, clipped: Network) -> None:
    """Every bound can be reached, and where a Relu has none it is kept as it was."""
    integers = to_integers(clipped, FRACTION_BITS)
    ranges = {found.name: found for found in layer_ranges(integers, FRACTION_BITS, (-1.0, 1.0))}
    given = {layer.name: layer for layer in network.layers}
    for layer in clipped.layers:
        if isinstance(layer, BoundedRelu) and given.get(layer.name) != layer:
            source = ranges[layer.inputs[0]]
            low = 0 if layer.name not in given else source.low
            top = np.ldexp(layer.cap, source.fraction_bits)
            assert source.high > top or source.low < min(low, 0)


def test_a_bound_that_no_value_reaches_is_left_out(tmp_path: Path) -> None:
    """10 x is 10 at most for pixels up to 1, and examples of 0.45 suggest 16 with this margin."""
    seen = np.array([[0.45], [-0.45]])
    for network in (
        one_activation(Relu),
        one_activation(Square),
        one_activation(PiecewiseLinear, function="gelu"),
    ):
        close = replace(examples_in(tmp_path, seen), margin=3.0)
        assert calibrated(network, close).layers == network.layers
        further = replace(close, input_range=(-1.0, 1.7))
        assert len(calibrated(network, further).layers) == (
            4 if isinstance(network.layers[2], Relu) else 7
        )
        assert any(isinstance(layer, BoundedRelu) for layer in calibrated(network, further).layers)
    below = replace(close, input_range=(-1.7, 1.0))
    assert not any(
        isinstance(layer, BoundedRelu) for layer in calibrated(one_activation(Relu), below).layers
    )
    assert len(calibrated(one_activation(Square), below).layers) == 7


@pytest.mark.parametrize(
    ("network", "beyond"),
    [
        (one_activation(Relu), [16.0, 0.0]),
        (one_activation(LeakyRelu, slope=0.25), [16.0, -4.0]),
        (one_activation(Square), [256.0, 256.0]),
        (one_activation(PiecewiseLinear, function="gelu"), [16.0, 0.0]),
    ],
    ids=["relu", "leaky", "square", "gelu"],
)
def test_what_lies_beyond_saturates(tmp_path: Path, network: Network, beyond: list[float]) -> None:
    calibration = examples_in(tmp_path, np.array([[0.5], [-0.7]]), (-100.0, 100.0))
    clipped = calibrated(network, calibration)
    pixels = np.array([[100.0], [-100.0]])
    np.testing.assert_allclose(evaluate_float(clipped, pixels)[:, 0], beyond, atol=1e-9)
    ring = to_ring(clipped, (-100.0, 100.0), 1.0)
    logits = evaluate_layers(ring, encode_images(ring, pixels))["out"]
    np.testing.assert_allclose(logits[:, 0] * 2.0**-24, beyond, atol=0.01)


def test_a_smooth_function_with_an_end_is_left_alone(tmp_path: Path) -> None:
    network = one_activation(PiecewiseLinear, function="sigmoid")
    assert FUNCTIONS["sigmoid"].above is not None
    clipped = calibrated(network, examples_in(tmp_path, np.array([[0.5]])))
    assert [layer.name for layer in clipped.layers] == ["x", "ten", "act", "out"]


def test_a_deep_network_keeps_its_fractional_bits(tmp_path: Path) -> None:
    network = deep_network(15)
    images = np.random.default_rng(3).uniform(0, 1, (40, 64))
    plain = to_ring(network, (0.0, 1.0), 1.0)
    assert plain.fixed_point.fraction_bits < FRACTION_BITS
    reason = why_fewer_bits(network, (0.0, 1.0), plain.fixed_point)
    assert reason is not None
    assert "layer 'logits'" in reason
    assert "--calibration" in reason
    clipped = calibrated(network, examples_in(tmp_path, images[:20], (0.0, 1.0)))
    ring = to_ring(clipped, (0.0, 1.0), 1.0)
    assert ring.fixed_point == FixedPoint(37, FRACTION_BITS)
    assert why_fewer_bits(clipped, (0.0, 1.0), ring.fixed_point) is None
    logits = evaluate_layers(ring, encode_images(ring, images))["logits"]
    error = np.abs(logits * 2.0**-24 - evaluate_float(network, images)).max()
    assert error < 0.02
    with pytest.raises(RangeError, match=rf"has {MAX_RING_BITS} at most.*--calibration"):
        required_ring_bits(network, 20, (0.0, 1.0))


BAD = {
    "shape": (np.zeros((2, 27, 28)), r"has the shape \(2, 27, 28\); the model takes \('n', 28"),
    "nan": (np.full((1, 28, 28, 1), np.nan), "not finite numbers"),
    "empty": (np.zeros((0, 28, 28, 1)), "with n >= 1"),
    "bytes": (np.zeros((1, 28, 28, 1), np.uint8), "holds uint8, not float32"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_examples_are_named(tmp_path: Path, kind: str) -> None:
    values, message = BAD[kind]
    np.save(tmp_path / "bad.npy", values)
    with pytest.raises(ConfigError, match=f"--calibration .*{message}"):
        Calibration(tmp_path / "bad.npy").load((28, 28, 1))


def test_bad_files_and_margins_end_with_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.npy").write_text("no array")
    command = ["graph", "prepare", "--cache_dir", str(tmp_path), str(SHIPPED)]
    for flags, message in (
        (["--calibration", str(tmp_path / "absent.npy")], "cannot be read"),
        (["--calibration", str(tmp_path / "text.npy")], "is not a NumPy file of numbers"),
        (["--calibration", "x.npy", "--calibration_margin", "0.9"], "a number of at least 1"),
        (["--calibration", "x.npy", "--calibration_margin", "nan"], "a number of at least 1"),
        (["--calibration_margin", "2"], "needs --calibration"),
    ):
        assert main([*command, *flags]) == 2
        said = capsys.readouterr().err
        assert message in said
        assert said.count("\n") == 1


def test_inspect_shows_the_bounds_and_refuses_another_scale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    examples = examples_in(tmp_path / "one", np.full((1, 28, 28), 0.5)).examples
    command = ["graph", "inspect", "--cache_dir", str(tmp_path), str(SHIPPED)]
    assert main([*command, "--calibration", str(examples)]) == 0
    shown = capsys.readouterr().out
    assert "BoundedRelu <= " in shown
    assert "The ring needs 34 bits with 12 fractional" in shown
    assert main([*command, "--calibration", str(examples), "--input_range", "-1", "0"]) == 2
    assert "outside [-1, 0], the range of the queries" in capsys.readouterr().err


def test_prepared_models_are_kept_by_examples_and_margin(tmp_path: Path) -> None:
    calibration = examples_in(tmp_path / "one", np.full((1, 28, 28), 0.5))
    other = examples_in(tmp_path / "two", np.full((1, 28, 28), 0.25))
    wider = replace(calibration, margin=3.0)
    keys = {cache_key(SHIPPED, "a", "b", given) for given in (None, calibration, other, wider)}
    assert len(keys) == 4
    ready = prepare(SHIPPED, cache_dir=tmp_path / "cache", calibration=calibration)
    assert len(list((tmp_path / "cache").iterdir())) == 2
    kinds = [type(layer) for layer in load_network(ready).layers]
    assert kinds.count(BoundedRelu) == 2
    assert Relu not in kinds
    stamp = ready.stat().st_mtime_ns
    assert prepare(SHIPPED, cache_dir=tmp_path / "cache", calibration=calibration) == ready
    assert ready.stat().st_mtime_ns == stamp
