"""Data of the user's own: shapes that fit, ranges, archives, folders of images, data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from capc.data.datasets import dataset_info, load_dataset, queries, require_task
from capc.data.fitting import assumed_range, fitted, range_of, scaled
from capc.data.saved_queries import asked_queries, load_saved_queries, read_saved_queries
from capc.errors import ConfigError

Values = NDArray[Any]

RANDOM = np.random.default_rng(8)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ((28, 28, 1), (28, 28)),
        ((28, 28, 1), (784,)),
        ((28, 28, 1), (1, 28, 28)),
        ((28, 28), (28, 28, 1)),
        ((784,), (28, 28, 1)),
        ((30,), (30, 1)),
        ((30,), (1, 30)),
        ((32, 32, 3), (1024, 3)),
        ((32, 32, 3), (3072,)),
        ((50, 4), (50, 1, 4)),
        ((8, 8), (8, 8)),
    ],
)
def test_the_same_numbers_in_another_shape(given: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    values = RANDOM.normal(size=(3, *given))
    assert np.array_equal(fitted(values, wanted), values.reshape(3, *wanted))


def test_channels_move() -> None:
    images = RANDOM.normal(size=(2, 5, 4, 3))
    assert np.array_equal(fitted(images, (3, 5, 4)), images.transpose(0, 3, 1, 2))
    assert np.array_equal(fitted(fitted(images, (3, 5, 4)), (5, 4, 3)), images)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ((28, 20), (28, 28)),
        ((32, 32, 3), (3, 1024)),
        ((28, 28), (49, 16)),
        ((4, 50), (50, 4)),
        ((5, 4, 3), (4, 5, 3)),
    ],
)
def test_what_would_scramble_is_refused_with_both_shapes(
    given: tuple[int, ...], wanted: tuple[int, ...]
) -> None:
    with pytest.raises(ConfigError) as error:
        fitted(np.zeros((2, *given)), wanted)
    assert str(given) in str(error.value)
    assert str(wanted) in str(error.value)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, (0.0, 1.0)),
        (0.2, 0.3, (0.0, 1.0)),
        (-0.5, 1.0, (-1.0, 1.0)),
        (0.0, 254.0, (0.0, 255.0)),
        (-0.42, 2.8, (-4.0, 4.0)),
        (0.0, 300.0, (0.0, 512.0)),
        (-300.0, 2.0, (-512.0, 512.0)),
    ],
)
def test_a_range_holds_the_data_and_says_little(
    low: float, high: float, expected: tuple[float, float]
) -> None:
    assert range_of(np.array([low, high])) == expected


def test_a_range_that_is_assumed_is_said() -> None:
    assert assumed_range("values", (0.0, 1.0)) is None
    said = assumed_range("the values of samples", (-4.0, 4.0))
    assert said is not None and said.startswith("the values of samples are no bytes")
    assert "[-4, 4] holds them and is assumed for every query" in said


def test_bytes_are_scaled_and_other_values_are_not() -> None:
    values = np.array([0, 51, 255], np.uint8)
    assert scaled(values).tolist() == pytest.approx([0, 0.2, 1])
    assert scaled(values, (0, 255)).tolist() == [0, 51, 255]
    assert scaled(values, (-1, 1)).tolist() == pytest.approx([-1, -0.6, 1])
    assert scaled(values.astype(np.float64), (-1, 1)).tolist() == [0, 51, 255]


@pytest.mark.parametrize(("samples", "labels"), [("samples", "labels"), ("x_test", "y_test")])
def test_an_archive_of_queries(tmp_path: Path, samples: str, labels: str) -> None:
    values = RANDOM.uniform(0, 1, (5, 30))
    arrays: dict[str, Any] = {samples: values, labels: np.arange(5)[:, np.newaxis]}
    np.savez(tmp_path / "mine.npz", **arrays)
    for path in (tmp_path, tmp_path / "mine.npz"):
        found, known = asked_queries("mnist", path, 1, 3, shape=(30,))
        assert np.array_equal(found, values[1:4].astype(np.float32))
        assert known is not None
        assert known.tolist() == [1, 2, 3]


def test_any_npy_file_is_samples_and_labels_lie_beside(tmp_path: Path) -> None:
    values = RANDOM.normal(size=(4, 8, 8))
    np.save(tmp_path / "digits.npy", values)
    assert read_saved_queries(tmp_path / "digits.npy").labels is None
    np.save(tmp_path / "labels.npy", np.arange(4))
    found, labels = asked_queries("mnist", tmp_path / "digits.npy", 0, 4, shape=(8, 8, 1))
    assert found.shape == (4, 8, 8, 1)
    assert labels is not None
    assert labels.tolist() == [0, 1, 2, 3]


def test_one_sample_without_its_axis(tmp_path: Path) -> None:
    np.save(tmp_path / "samples.npy", RANDOM.normal(size=(8, 8)))
    found, _ = asked_queries("mnist", tmp_path, 0, 1, shape=(8, 8, 1))
    assert found.shape[0] == 1


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"pixels": np.zeros((2, 3))}, "holds pixels; queries are samples and labels"),
        ({"samples": np.array(["a"])}, "samples holds no numbers"),
        ({"samples": np.array([[np.nan]])}, "not finite"),
        ({"samples": np.zeros((2, 30)), "labels": np.eye(2)}, "argmax"),
        ({"samples": np.zeros((2, 30)), "labels": np.array([0.5, 1])}, "class numbers"),
        ({"samples": np.zeros((2, 30)), "labels": np.array([0, -1])}, "class numbers"),
        ({"samples": np.zeros((2, 30)), "labels": np.arange(3)}, "2 class numbers"),
        ({"samples": np.zeros((2, 31))}, r"\(31,\), not \(30,\)"),
    ],
)
def test_archives_of_another_form(tmp_path: Path, arrays: dict[str, Any], said: str) -> None:
    np.savez(tmp_path / "mine.npz", **arrays)
    with pytest.raises(ConfigError, match=said):
        asked_queries("mnist", tmp_path / "mine.npz", 0, 1, shape=(30,))


def test_a_file_that_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "mine.npz").write_bytes(b"no archive")
    with pytest.raises(ConfigError, match=r"is not an \.npz file"):
        read_saved_queries(tmp_path / "mine.npz")


def image(path: Path, pixels: Values) -> None:
    pillow = pytest.importorskip("PIL.Image")
    path.parent.mkdir(parents=True, exist_ok=True)
    pillow.fromarray(pixels).save(path)


def test_folders_of_images_are_classes(tmp_path: Path) -> None:
    grey = RANDOM.integers(0, 256, (4, 6, 5), dtype=np.uint8)
    for place, name in enumerate(("3/a.png", "3/b.PNG", "10/c.png", "0/d.png")):
        image(tmp_path / name, grey[place])
    images, labels = load_saved_queries(tmp_path, (6, 5, 1))
    assert labels is not None
    assert labels.tolist() == [0, 10, 3, 3]
    assert np.array_equal(images[..., 0] * 255, grey[[3, 2, 0, 1]])
    colours, _ = asked_queries("mnist", tmp_path, 0, 4, shape=(3, 6, 5))
    assert colours.shape == (4, 6, 5, 3)


def test_names_of_classes_are_sorted_and_images_may_have_none(tmp_path: Path) -> None:
    colour = RANDOM.integers(0, 256, (2, 6, 5, 3), dtype=np.uint8)
    image(tmp_path / "dogs" / "a.png", colour[0])
    image(tmp_path / "cats" / "b.png", colour[1])
    images, labels = load_saved_queries(tmp_path)
    assert labels is not None
    assert labels.tolist() == [0, 1]
    assert np.array_equal(np.rint(images * 255), colour[::-1])
    assert load_saved_queries(tmp_path / "cats")[1] is None


def test_grey_images_of_other_kinds_have_the_same_bytes(tmp_path: Path) -> None:
    grey = RANDOM.integers(0, 256, (6, 5), dtype=np.uint8)
    image(tmp_path / "0.png", grey)
    image(tmp_path / "1.png", grey.astype(np.uint16) * 256 + 7)
    image(tmp_path / "2.png", np.stack([grey, np.full_like(grey, 9)], axis=-1))
    image(tmp_path / "3.png", np.stack([grey, grey, grey, np.zeros_like(grey)], axis=-1))
    images, _ = load_saved_queries(tmp_path, (6, 5, 1))
    assert np.array_equal(np.rint(images[..., 0] * 255), np.stack([grey] * 4))


def test_samples_of_every_kind_of_numbers(tmp_path: Path) -> None:
    bits = RANDOM.integers(0, 2, (4, 6, 5, 1))
    for kind in (bool, np.int8, np.float16, ">f4", np.float64):
        np.save(tmp_path / "samples.npy", np.asfortranarray(bits.astype(kind)))
        samples, _ = load_saved_queries(tmp_path, (6, 5, 1))
        assert samples.dtype == np.float32
        assert np.array_equal(samples, bits)
    np.save(tmp_path / "samples.npy", np.array([bits, None], dtype=object), allow_pickle=True)
    with pytest.raises(ConfigError, match="not a NumPy file of numbers: it holds objects"):
        load_saved_queries(tmp_path)


def test_images_of_two_sizes_and_files_that_are_none(tmp_path: Path) -> None:
    image(tmp_path / "a.png", np.zeros((6, 5), np.uint8))
    image(tmp_path / "b.png", np.zeros((5, 6), np.uint8))
    with pytest.raises(ConfigError, match=r"b\.png has 6 x 5 pixels, a\.png 5 x 6"):
        load_saved_queries(tmp_path)
    (tmp_path / "b.png").write_bytes(b"nothing")
    with pytest.raises(ConfigError, match=r"b\.png is not an image"):
        load_saved_queries(tmp_path)


def dataset_file(folder: Path, **changes: Values | None) -> Path:
    arrays: dict[str, Values | None] = {
        "x_train": RANDOM.integers(0, 256, (20, 9, 9), dtype=np.uint8),
        "y_train": np.arange(20) % 5,
        "x_test": RANDOM.integers(0, 256, (6, 9, 9), dtype=np.uint8),
        "y_test": np.arange(6)[:, np.newaxis] % 5,
    }
    arrays |= changes
    given: dict[str, Any] = {name: values for name, values in arrays.items() if values is not None}
    np.savez(folder / "set.npz", **given)
    return folder / "set.npz"


def test_a_data_set_of_ones_own(tmp_path: Path) -> None:
    name = f"digits={dataset_file(tmp_path)}"
    info = dataset_info(name)
    assert (info.image_shape, info.train_size, info.test_size) == ((9, 9, 1), 20, 6)
    assert (info.num_classes, info.input_range) == (5, (0.0, 1.0))
    dataset = load_dataset(name)
    assert dataset.test_labels.tolist() == [0, 1, 2, 3, 4, 0]
    images, labels = queries(name, 2, 3, (0, 255))
    assert np.array_equal(images, dataset.test_images[2:5])
    assert labels.tolist() == [2, 3, 4]
    with pytest.raises(ConfigError, match="digits has 0 to 5"):
        queries(name, 5, 2)


def test_a_data_set_that_is_only_asked(tmp_path: Path) -> None:
    table = RANDOM.normal(size=(6, 30))
    file = dataset_file(tmp_path, x_train=None, y_train=None, x_test=table)
    name = f"tab={file}"
    assert dataset_info(name).image_shape == (30,)
    assert dataset_info(name).input_range[1] >= table.max()
    assert np.array_equal(queries(name, 0, 6)[0], table.astype(np.float32))
    with pytest.raises(ConfigError, match="nothing to train on"):
        load_dataset(name)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"y_test": None}, "a data set has x_test and y_test"),
        ({"y_train": None}, "a data set has x_test and y_test"),
        ({"y_test": np.arange(5)}, "y_test does not hold 6 class numbers"),
        ({"y_train": np.arange(20) - 1}, "y_train does not hold 20 class numbers"),
        ({"y_train": np.eye(20)}, "argmax"),
        (
            {"y_train": np.arange(20) * 10_000},
            "holds the class 190000; .* has room for [0-9]+ classes",
        ),
        ({"y_train": np.eye(20), "y_test": np.eye(6)}, "rows of as many labels in both"),
        ({"x_test": np.zeros((6, 9, 8))}, "x_train and x_test have the shapes"),
        ({"x_test": np.zeros(6)}, "x_test has the shape"),
        ({"x_test": np.full((6, 9, 9), np.inf)}, "not finite"),
    ],
)
def test_data_sets_of_another_form(
    tmp_path: Path, changes: dict[str, Values | None], said: str
) -> None:
    file = dataset_file(tmp_path, **changes)
    with pytest.raises(ConfigError, match=said):
        dataset_info(f"mine={file}")


def test_a_data_set_without_its_file() -> None:
    with pytest.raises(ConfigError, match=r"there is no file nowhere\.npz"):
        dataset_info("mine=nowhere.npz")


def test_rows_of_labels_are_sets_and_need_their_task(tmp_path: Path) -> None:
    rows = np.array([[0, 0, 0], [1, 0, 1], [0, 1, 0], [1, 1, 1], [0, 0, 1], [1, 0, 0]])
    name = f"mine={dataset_file(tmp_path, y_train=np.tile(rows, (4, 1))[:20], y_test=rows)}"
    info = require_task(name, multi_label=True)
    assert (info.num_classes, info.multi_label) == (3, True)
    assert load_dataset(name).test_labels.tolist() == [0, 5, 2, 7, 4, 1]
    with pytest.raises(ConfigError, match="has 3 labels a sample: give the task multi-label"):
        require_task(name, multi_label=False)
    with pytest.raises(ConfigError, match="one class a sample, and the task is multi-label"):
        require_task("mnist", multi_label=True)
