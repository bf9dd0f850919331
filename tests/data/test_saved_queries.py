"""Saved queries: the original's names and shapes, written and read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from capc.data.datasets import normalised
from capc.data.saved_queries import load_saved_queries, save_queries
from capc.errors import ConfigError

RANDOM = np.random.default_rng(4)


def images_of(*shape: int) -> NDArray[Any]:
    return RANDOM.uniform(0, 1, shape).astype(np.float32)


@pytest.mark.parametrize("count", [1, 2, 7])
@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3), (3, 3, 1), (3, 3, 3)])
def test_what_is_saved_comes_back(tmp_path: Path, count: int, shape: tuple[int, ...]) -> None:
    images, labels = images_of(count, *shape), RANDOM.integers(0, 10, count)
    files = save_queries(tmp_path, images, labels, parameters={"n_queries": count, "seed": 2})
    assert sorted(file.name for file in files) == [
        f"labels-(n_queries={count})-(seed=2).npy",
        f"samples-(n_queries={count})-(seed=2).npy",
    ]
    found, found_labels = load_saved_queries(tmp_path, shape)
    assert found.dtype == np.float32
    assert np.array_equal(found, images)
    assert found_labels is not None
    assert found_labels.tolist() == labels.tolist()


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3)])
def test_the_shape_is_guessed_where_it_is_not_told(tmp_path: Path, shape: tuple[int, ...]) -> None:
    for count in (1, 5):
        images = images_of(count, *shape)
        save_queries(tmp_path, images, np.zeros(count))
        assert np.array_equal(load_saved_queries(tmp_path)[0], images)


def test_files_are_squeezed_as_the_original_has_them(tmp_path: Path) -> None:
    raw = RANDOM.integers(0, 256, (4, 28, 28, 1), dtype=np.uint8)
    save_queries(
        tmp_path,
        normalised(raw),
        np.arange(4),
        raw_images=raw,
        aggregated_labels=np.array([9, 9, 9, 9]),
    )
    assert np.load(tmp_path / "samples.npy").shape == (4, 28, 28)
    assert np.load(tmp_path / "raw-samples.npy").dtype == np.uint8
    assert np.load(tmp_path / "aggregated-labels.npy").tolist() == [9, 9, 9, 9]
    images, labels = load_saved_queries(tmp_path)
    assert labels is not None
    assert labels.tolist() == [0, 1, 2, 3]
    (tmp_path / "samples.npy").unlink()
    from_raw, _ = load_saved_queries(tmp_path)
    assert np.array_equal(from_raw, images)


def test_names_of_the_original_with_parameters_around(tmp_path: Path) -> None:
    images = images_of(3, 28, 28)
    np.save(tmp_path / "mnist-samples-(1)-(entropy).npy", images)
    np.save(tmp_path / "mnist-labels-(1)-(entropy).npy", np.array([1, 2, 3]))
    np.save(tmp_path / "mnist-labels-(2)-(entropy).npy", np.array([4, 5, 6]))
    found, labels = load_saved_queries(tmp_path)
    assert found.shape == (3, 28, 28, 1)
    assert labels is not None
    assert labels.tolist() == [1, 2, 3]
    np.save(tmp_path / "mnist-samples-(2)-(entropy).npy", images)
    with pytest.raises(ConfigError, match="holds 2 sets of queries"):
        load_saved_queries(tmp_path)
    _, second = load_saved_queries(tmp_path / "mnist-samples-(2)-(entropy).npy")
    assert second is not None
    assert second.tolist() == [4, 5, 6]


def test_without_labels_there_are_none(tmp_path: Path) -> None:
    np.save(tmp_path / "samples.npy", images_of(3, 28, 28))
    assert load_saved_queries(tmp_path)[1] is None


def test_a_path_without_queries_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        load_saved_queries(tmp_path / "absent")
    with pytest.raises(ConfigError, match="holds no queries"):
        load_saved_queries(tmp_path)
    np.save(tmp_path / "labels.npy", np.arange(3))
    with pytest.raises(ConfigError, match="holds no queries"):
        load_saved_queries(tmp_path)
    with pytest.raises(ConfigError, match="is not a samples file"):
        load_saved_queries(tmp_path / "labels.npy")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.full((3, 28, 28), np.nan, np.float32), "not finite"),
        (np.array(["a"]), "holds no numbers"),
        (np.zeros((0, 28, 28), np.float32), "holds no numbers"),
        (np.zeros(28, np.float32), r"holds images of shape \(28,\)"),
        (np.array([{"a": 1}], dtype=object), "is not a NumPy file of numbers"),
    ],
)
def test_samples_of_another_form_are_refused(
    tmp_path: Path, values: NDArray[Any], message: str
) -> None:
    np.save(tmp_path / "samples.npy", values)
    with pytest.raises(ConfigError, match=message):
        load_saved_queries(tmp_path)


def test_what_is_no_regular_file_is_said(tmp_path: Path) -> None:
    samples, pipe = tmp_path / "samples.npy", tmp_path / "pipe.npy"
    samples.symlink_to(samples)
    with pytest.raises(ConfigError, match="cannot be read: Too many levels of symbolic links"):
        load_saved_queries(tmp_path)
    samples.unlink()
    os.mkfifo(samples)
    with pytest.raises(ConfigError, match="cannot be read: Not a regular file"):
        load_saved_queries(tmp_path)
    os.mkfifo(pipe)
    with pytest.raises(ConfigError, match="is neither a regular file nor a folder"):
        load_saved_queries(pipe)


def test_raw_samples_are_preferred_whatever_lies_beside(tmp_path: Path) -> None:
    """The original's normalised samples are standardised; no model here was trained on them."""
    raw = RANDOM.integers(0, 256, (4, 28, 28), dtype=np.uint8)
    np.save(tmp_path / "mnist-samples-(4).npy", (raw / 255 - 0.13) / 0.31)
    np.save(tmp_path / "mnist-raw-samples-(4).npy", raw)
    images, _ = load_saved_queries(tmp_path, (28, 28, 1))
    assert np.array_equal(images, normalised(raw)[..., np.newaxis])
    np.save(tmp_path / "mnist-raw-samples-(4).npy", raw / 255)
    with pytest.raises(ConfigError, match="holds float64, not uint8"):
        load_saved_queries(tmp_path)


def test_another_image_shape_and_odd_labels_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "samples.npy", images_of(3, 28, 28))
    with pytest.raises(ConfigError, match=r"not \(32, 32, 3\)"):
        load_saved_queries(tmp_path, (32, 32, 3))
    for labels in (np.arange(2), np.array([0.5, 1, 2]), np.array([-1, 0, 1])):
        np.save(tmp_path / "labels.npy", labels)
        with pytest.raises(ConfigError, match="does not hold 3 class numbers"):
            load_saved_queries(tmp_path)
    (tmp_path / "samples.npy").write_bytes(b"nothing")
    with pytest.raises(ConfigError, match="is not a NumPy file"):
        load_saved_queries(tmp_path)
