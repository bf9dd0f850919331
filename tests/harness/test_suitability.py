"""Models, data and noise that do not suit each other are named before a run starts."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from capc.errors import ConfigError
from capc.graph.layers import Dense, Input, Network, Relu, Reshape
from capc.harness.queries import data_range, load_queries
from capc.harness.settings import Settings, parse_settings, with_classes, with_range
from capc.harness.suitability import (
    data_warnings,
    noise_record,
    noise_warnings,
    unanimous_accuracy,
    unanimous_answers,
)
from capc.harness.verify import check_models, check_shapes
from capc.parties.config import PartyConfig
from capc.parties.queries import load_queries as own_queries

COUNT, CLASSES = 60, 4
LABELS = np.arange(COUNT) % CLASSES


def bright(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Bytes whose class is the brightness: 10, 80, 150 or 220, give or take."""
    noise = np.random.default_rng(3).integers(0, 20, (COUNT, *shape))
    return (noise + 10 + 70 * LABELS.reshape(-1, *(1 for _ in shape))).astype(np.uint8)


def network(shape: tuple[int, ...], most: float, low: float = 0.0) -> Network:
    """The class by the mean of values in [low, most]: the nearest of four levels."""
    size = int(np.prod(shape))
    levels = low + (most - low) * (np.arange(CLASSES) * 70 + 20) / 255
    weight = np.tile(2 * levels / size, (size, 1)) / (most - low) ** 2
    flat = Reshape("flat", ("input",), (size,))
    logits = Dense("logits", ("flat",), (CLASSES,), weight, -((levels / (most - low)) ** 2))
    return Network((Input("input", (), shape), flat, logits))


def settings_for(folder: Path, *flags: str) -> Settings:
    settings = parse_settings([f"--dataset_path={folder}", "--n_queries=3", *flags])
    return with_classes(with_range(settings, data_range(settings)), CLASSES)


def save(folder: Path, values: NDArray[Any]) -> None:
    np.save(folder / "samples.npy", values)
    np.save(folder / "labels.npy", LABELS)


@pytest.mark.parametrize("flags", [(), ("--input_range", "0", "255"), ("--input_range", "-1", "1")])
def test_a_model_of_the_datas_range_is_not_suspected(
    tmp_path: Path, flags: tuple[str, ...]
) -> None:
    save(tmp_path, bright((4, 4)))
    settings = settings_for(tmp_path, *flags)
    low, high = settings.input_range or (0.0, 1.0)
    assert data_warnings([network((4, 4, 1), high, low)], settings) == []


@pytest.mark.parametrize(("low", "high"), [(0, 255), (-1, 1)])
def test_another_range_is_named(tmp_path: Path, low: float, high: float) -> None:
    save(tmp_path, bright((4, 4)))
    (said,) = data_warnings([network((4, 4), high, low)], settings_for(tmp_path))
    assert said.shown.startswith("WARNING: answering party 0:")
    assert f"give --input_range {low} {high}" in (said.private or "")
    save(tmp_path, bright((4, 4)) / 255.0)
    (said,) = data_warnings([network((4, 4), high, low)], settings_for(tmp_path))
    assert "save the samples in that range" in (said.private or "")


def test_a_model_near_chance_is_named(tmp_path: Path) -> None:
    save(tmp_path, np.random.default_rng(1).normal(0, 2, (COUNT, 16)))
    (said,) = data_warnings([network((16,), 1.0)], settings_for(tmp_path))
    assert "which 4 classes give by chance" in (said.private or "")
    assert "--input_range LOW HIGH" in said.shown


@pytest.mark.parametrize("model", [(16,), (4, 4), (1, 4, 4), (4, 4, 1)])
@pytest.mark.parametrize("data", [(16,), (4, 4), (1, 4, 4), (4, 4, 1)])
def test_every_party_gets_the_queries_in_its_models_shape(
    tmp_path: Path, data: tuple[int, ...], model: tuple[int, ...]
) -> None:
    save(tmp_path, bright(data))
    settings = settings_for(tmp_path)
    queries = load_queries(settings, model)
    networks = [network(model, 1.0), network((4, 4), 1.0)]
    check_shapes(networks, queries, CLASSES)
    assert queries.labels == [0, 1, 2]
    assert data_warnings(networks, settings) == []
    with pytest.raises(ConfigError, match=r"\(5, 5\)"):
        check_shapes([network((5, 5), 1.0)], queries, CLASSES)


def test_the_querying_party_loads_what_the_run_checked(tmp_path: Path) -> None:
    from capc.parties.config import QuerySource  # noqa: PLC0415

    save(tmp_path, bright((4, 4)))
    settings = settings_for(tmp_path, "--input_range", "-1", "1", "--start_batch=2")
    queries = load_queries(settings, (1, 4, 4))
    config = PartyConfig(
        party="querying",
        index=0,
        n_parties=1,
        num_classes=CLASSES,
        n_queries=3,
        batch_size=1,
        encryption_parameters=settings.encryption_parameters,
        input_range=queries.input_range,
        with_threshold=False,
        queries=QuerySource("mnist", 2, str(tmp_path), tuple(queries.images.shape[1:])),
    )
    assert PartyConfig.from_json(config.to_json()) == config
    assert np.array_equal(own_queries(config), queries.images)


def test_values_outside_the_given_range_say_so(tmp_path: Path) -> None:
    save(tmp_path, np.full((COUNT, 4, 4), 3.0))
    settings = settings_for(tmp_path, "--input_range", "0", "1")
    with pytest.raises(ConfigError, match=r"values from 3 to 3, outside the input range \[0, 1\]"):
        load_queries(settings, (4, 4))
    assert load_queries(settings_for(tmp_path), (4, 4)).input_range == (0.0, 255.0)


@pytest.mark.parametrize("given", [("1", "0"), ("0", "nan"), ("0", "inf")])
def test_a_range_that_is_none(given: tuple[str, str]) -> None:
    with pytest.raises(ConfigError, match="--input_range is"):
        parse_settings(["--input_range", *given])


def test_labels_that_are_no_class(tmp_path: Path) -> None:
    save(tmp_path, bright((4, 4)))
    settings = dataclasses.replace(settings_for(tmp_path), num_classes=2)
    with pytest.raises(ConfigError, match="holds the label 2; there are 2 classes"):
        load_queries(settings, (4, 4))
    np.savez(tmp_path / "own.npz", x_test=bright((4, 4)), y_test=LABELS)
    own = parse_settings([f"--dataset=mine={tmp_path / 'own.npz'}"])
    own = with_classes(with_range(own, data_range(own)), 2)
    assert load_queries(own).labels == [0]
    two = network((4, 4, 1), 1.0)
    logits = two.layers[-1]
    assert isinstance(logits, Dense)
    logits = Dense("logits", ("flat",), (2,), logits.weight[:, :2], logits.bias[:2])
    (said,) = data_warnings([Network((*two.layers[:-1], logits))], own)
    assert "the model has 2 classes and mine has 4: labels from 2 up are never right" in said.shown


def test_precision_that_changes_labels_is_named_before_the_run(tmp_path: Path) -> None:
    save(tmp_path, bright((4, 4)))
    settings = dataclasses.replace(settings_for(tmp_path), unencrypted=True)
    queries = load_queries(settings, (4, 4))
    good = network((4, 4), 1.0)
    hidden = Dense("hidden", ("flat",), (4,), np.full((16, 4), 1e-3), np.zeros(4))
    bad = Network(
        (
            *good.layers[:2],
            hidden,
            Relu("relu", ("hidden",), (4,)),
            Dense("logits", ("relu",), (CLASSES,), np.eye(4), np.array([0.0, 0.0, 0.1, 0.0])),
        )
    )
    assert check_models([good], queries, settings).remarks == []
    said = check_models([bad], queries, settings, [good]).remarks
    assert any(
        "another label than the float model for 2 of the 3" in (line.private or "") for line in said
    )


def test_what_noise_leaves_of_a_vote() -> None:
    assert unanimous_accuracy(3, 10, 0) == 1
    assert unanimous_accuracy(50, 10, 7) > 0.9999
    draws = np.rint(np.random.default_rng(5).normal(0, 7, (100_000, 10)))
    draws[:, 0] += 3
    assert unanimous_accuracy(3, 10, 7) == pytest.approx(
        np.mean(draws.argmax(axis=1) == 0), abs=0.02
    )
    assert unanimous_accuracy(3, 10, 1e9) == pytest.approx(0.1, abs=0.001)


def test_where_the_parties_draw_it_labels_see_the_noise_of_all_of_them() -> None:
    flags = ["--noise=distributed", "--n_parties=4", "--colluding=3", "--sigma=2", "--threshold=5"]
    settings = with_classes(parse_settings(flags), 3)
    assert noise_record(settings)["label_sigma"] == 4.0
    draws = np.random.default_rng(5).normal(0, 4, (200_000, 3))
    draws[:, 0] += 4
    expected = np.mean(draws.max(axis=1) >= 5)
    found = unanimous_answers(4, settings.privacy, classes=3)
    assert found == pytest.approx(expected, abs=0.006)
    said = noise_warnings(settings)
    assert said[0].startswith("noise: each of 4 answering parties draws its part, and that of any")
    assert "adds 0 to what a query costs" in said[0]  # of one noise there is no sum
    assert "noise of scale 4 swamps 4 votes" in said[1]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--sigma=7", "--n_parties=3"), ["WARNING: noise of scale 7 swamps 3 votes"]),
        (("--sigma=7", "--n_parties=50"), []),
        (("--sigma=14", "--n_parties=50"), ["expected: with noise of scale 14"]),
        ((), []),
        (
            ("--n_parties=50", "--threshold=50", "--sigma_threshold=30"),
            ["expected: 50.7% of unanimous queries reach --threshold 50"],
        ),
    ],
)
def test_noise_that_swamps_is_said(flags: tuple[str, ...], said: list[str]) -> None:
    found = noise_warnings(with_classes(parse_settings(list(flags)), 10))
    assert len(found) == len(said)
    for line, start in zip(found, said, strict=True):
        assert line.startswith(start)
