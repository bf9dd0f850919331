"""Data of the user's own: archives as Keras names their arrays, and folders of images.

A data set is named NAME=FILE.npz wherever one of the known ones is named.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capc.arrays import open_arrays
from capc.errors import ConfigError
from capc.files import existing
from capc.gc.circuits import most_classes
from capc.privacy.voting_rules import MAX_LABELS, numbered

Arrays = dict[str, NDArray[Any]]

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
_PARTS = {
    "train_images": "x_train",
    "train_labels": "y_train",
    "test_images": "x_test",
    "test_labels": "y_test",
}
_QUERIES = (("samples", "labels"), ("x_test", "y_test"), ("x", "y"))
LABEL_COUNT = "label_count"


def is_own(name: str) -> bool:
    """Whether a data set's name brings its file."""
    return "=" in name


def title(name: str) -> str:
    """What tables and figures call a data set."""
    return name.partition("=")[0]


def with_absolute_path(name: str, folder: Path | None = None) -> str:
    """NAME=FILE.npz with the file's absolute path, found here, in `folder` or in the repository.

    Other names stay. Raises ConfigError where there is no such file.
    """
    if not is_own(name):
        return name
    called, _, file = name.partition("=")
    beside = None if folder is None else folder / file
    path = existing(file) or (beside if beside is not None and beside.exists() else None)
    if not called or path is None or not path.is_file():
        raise ConfigError(
            f"--dataset is {name}: there is no file {file}; give NAME=FILE.npz with x_train, "
            "y_train, x_test and y_test, or x_test and y_test alone where nothing is trained"
        )
    return f"{called}={path.resolve()}"


def own_dataset(name: str) -> Arrays:
    """train_images, train_labels (n,), test_images, test_labels; those of training may be missing.

    Several labels a sample are given as rows (n, k) of 0 and 1. They come as numbers: label j is
    the bit 2^j, and `label_count` is k then. Images are uint8 bytes or float32, (n, H, W) as
    (n, H, W, 1); labels are int64 from 0. Raises ConfigError that names the file and the array.
    """
    path = Path(with_absolute_path(name).partition("=")[2])
    state = path.stat()
    return _dataset(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=4)
def _dataset(path: Path, modified: int, size: int) -> Arrays:
    """Read once for each state of the file."""
    given = read_archive(path)
    if ("x_train" in given) != ("y_train" in given) or not {"x_test", "y_test"} <= given.keys():
        raise ConfigError(
            f"{path} holds {', '.join(given) or 'nothing'}; a data set has x_test and y_test, and "
            "x_train and y_train where it is trained on"
        )
    arrays = {part: given[key] for part, key in _PARTS.items() if key in given}
    for part in ("train", "test"):
        images, labels = arrays.get(f"{part}_images"), arrays.get(f"{part}_labels")
        if images is None or labels is None:
            continue
        if images.ndim < 2:
            raise ConfigError(f"{path}: x_{part} has the shape {images.shape}; give (n, ...)")
        images = images if images.dtype == np.uint8 else images.astype(np.float32)
        arrays[f"{part}_images"] = images[..., np.newaxis] if images.ndim == 3 else images
        origin = f"{path}: y_{part}"
        if are_sets(labels, len(images)):
            arrays[f"{part}_labels"] = labels
        else:
            arrays[f"{part}_labels"] = checked_labels(labels, len(images), origin)
    counts = {
        values.shape[1]
        for part, values in arrays.items()
        if part.endswith("labels") and values.ndim == 2
    }
    if counts:
        arrays |= _as_sets(arrays, counts, path)
    shapes = {
        arrays[f"{part}_images"].shape[1:]
        for part in ("train", "test")
        if f"{part}_images" in arrays
    }
    if len(shapes) > 1:
        raise ConfigError(f"{path}: x_train and x_test have the shapes {sorted(shapes)}")
    return arrays


def are_sets(labels: NDArray[Any], count: int) -> bool:
    """Whether labels are a row of 0 and 1 for each of `count` samples, a place a label."""
    return (
        labels.ndim == 2
        and labels.shape[0] == count
        and 2 <= labels.shape[1] <= MAX_LABELS
        and bool(np.isin(labels, (0, 1)).all())
    )


def _as_sets(arrays: Arrays, counts: set[int], path: Path) -> Arrays:
    """The labels of both parts as sets, and how many labels there are."""
    given = {name: values for name, values in arrays.items() if name.endswith("labels")}
    if len(counts) > 1 or any(values.ndim == 1 for values in given.values()):
        shapes = sorted(values.shape for values in given.values())
        raise ConfigError(
            f"{path}: y_train and y_test have the shapes {shapes}; give one class number a sample, "
            "as labels.argmax(axis=1) makes it of one-hot rows, or rows of as many labels in both"
        )
    sets: Arrays = {name: numbered(values) for name, values in given.items()}
    return sets | {LABEL_COUNT: np.array(counts.pop())}


def checked_labels(labels: NDArray[Any], count: int, origin: str) -> NDArray[np.int64]:
    """Class numbers (count,) of labels (count,) or (count, 1). Raises ConfigError for others."""
    flat = labels.reshape(-1) if labels.shape in {(count, 1), (1, count)} else np.atleast_1d(labels)
    if flat.ndim == 2 and len(flat) == count:
        raise ConfigError(
            f"{origin} has the shape {labels.shape}; give one class number a sample, as "
            "labels.argmax(axis=1) makes it of one-hot rows"
        )
    whole = flat.shape == (count,) and flat.dtype.kind in "fiub" and np.all(flat == np.rint(flat))
    if not whole or flat.min() < 0:
        raise ConfigError(f"{origin} does not hold {count} class numbers from 0 up")
    if flat.max() >= most_classes():
        raise ConfigError(
            f"{origin} holds the class {flat.max():g}; the circuit of step 1c has room for "
            f"{most_classes()} classes"
        )
    return flat.astype(np.int64)


def archived_queries(path: Path) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Samples, and labels where there are any, of an archive. Raises ConfigError without them."""
    given = read_archive(path)
    for samples, labels in _QUERIES:
        if samples in given:
            return given[samples], given.get(labels)
    raise ConfigError(
        f"{path} holds {', '.join(given) or 'nothing'}; queries are samples and labels, or x_test "
        "and y_test"
    )


def read_archive(path: Path) -> Arrays:
    """The arrays of an .npz file. Raises ConfigError for other files and arrays of no numbers."""
    try:
        with open_arrays(path) as archive:
            arrays = dict(archive)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} is not an .npz file of numbers: {error}") from None
    for name, values in arrays.items():
        check_numbers(values, f"{path}: {name}")
    return arrays


def check_numbers(values: Any, origin: str) -> None:
    """Raise ConfigError unless these are one or more finite numbers."""
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiub" or not values.size:
        raise ConfigError(f"{origin} holds no numbers")
    if values.dtype.kind == "f" and not np.all(np.isfinite(values)):
        raise ConfigError(f"{origin} holds values that are not finite numbers")


def image_files(folder: Path) -> list[tuple[Path, int | None]]:
    """The images below a folder with their classes, sorted; none where there are no images.

    One folder a class: numbered where all are named by numbers, else in the order of their names.
    Images that lie in the folder itself have no class.
    """
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and _images(path))
    numbered = all(path.name.isdigit() for path in classes)
    if classes:
        return [
            (image, int(path.name) if numbered else place)
            for place, path in enumerate(classes)
            for image in _images(path)
        ]
    return [(image, None) for image in _images(folder)]


def read_images(
    files: list[tuple[Path, int | None]], elements: int | None
) -> tuple[NDArray[np.uint8], NDArray[np.int64] | None]:
    """Bytes (n, H, W, C) and labels. C is 1 or 3, as an image of `elements` numbers needs it.

    Where neither gives so many, C is 1 where all images are grey.

    Raises ConfigError for a file that is no image, and for images of different sizes.
    """
    try:
        from PIL import Image, UnidentifiedImageError  # noqa: PLC0415  only for images
    except ImportError:
        raise ConfigError("images need Pillow: install it with pip install pillow") from None
    pictures: list[NDArray[np.uint8]] = []
    for file, _ in files:
        try:
            with Image.open(file) as opened:
                picture = _in_bytes(opened)
        except (OSError, ValueError, UnidentifiedImageError, Image.DecompressionBombError) as error:
            raise ConfigError(f"{file} is not an image that can be read: {error}") from None
        if pictures and picture.shape != pictures[0].shape:
            raise ConfigError(
                f"{file} has {picture.shape[1]} x {picture.shape[0]} pixels, "
                f"{files[0][0].name} {pictures[0].shape[1]} x {pictures[0].shape[0]}: give images "
                "of one size, resized as those were that the model was trained on"
            )
        pictures.append(picture)
    colours = np.stack(pictures)
    grey = bool(np.all(colours == colours[..., :1]))
    pixels = colours[0, ..., 0].size
    if elements == pixels and not grey:
        weights = np.array([0.299, 0.587, 0.114])  # as Pillow and TensorFlow weigh them
        colours = np.rint(colours @ weights).astype(np.uint8)[..., np.newaxis]
    elif grey and elements != 3 * pixels:
        colours = colours[..., :1]
    labels = [label for _, label in files if label is not None]
    return np.ascontiguousarray(colours), np.array(labels, dtype=np.int64) if labels else None


def _in_bytes(picture: Any) -> NDArray[np.uint8]:
    """An image of any kind as bytes (H, W, 3), without transparency.

    Of a grey one of 16 bits the upper 8, as TensorFlow reads it; Pillow would cut off at 255.
    """
    if not picture.mode.startswith("I"):
        return np.asarray(picture.convert("RGB"), dtype=np.uint8)
    grey = np.right_shift(np.asarray(picture, dtype=np.int64), 8).astype(np.uint8)
    return np.repeat(grey[..., np.newaxis], 3, axis=-1)


def _images(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()
    )
