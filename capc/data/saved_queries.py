"""Queries in files, as the original programs name and shape them; read and written.

A folder of the original holds `samples*.npy` (float32, normalised), `raw-samples*.npy` (uint8),
`labels*.npy` and `aggregated-labels*.npy` (noisy labels), with the parameters in brackets in each
name. Images are NHWC, squeezed: NHW where there is one channel.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capc.arrays import load_array
from capc.data.datasets import Float32, Labels, dataset_info, queries
from capc.data.fitting import Range, Shape, range_of, scaled, settled
from capc.data.own_data import (
    archived_queries,
    are_sets,
    check_numbers,
    checked_labels,
    image_files,
    read_images,
)
from capc.errors import ConfigError
from capc.files import shortened
from capc.privacy.voting_rules import numbered

_SAMPLES, _RAW, _LABELS, _AGGREGATED = "samples", "raw-samples", "labels", "aggregated-labels"
_KINDS = (_RAW, _SAMPLES, _AGGREGATED, _LABELS)  # longer names first: each holds a shorter one


@dataclass(frozen=True, eq=False)
class Saved:
    """Saved queries as they are stored: values of any shape, and labels int64 where there are any.

    `origin` is what an error calls them.
    """

    values: NDArray[Any]
    labels: NDArray[Any] | None
    origin: str

    @property
    def input_range(self) -> Range:
        """[0, 1] of bytes, which are scaled; else an interval that holds every value."""
        return (0.0, 1.0) if self.values.dtype == np.uint8 else range_of(self.values)

    def samples(self, shape: Shape) -> NDArray[Any]:
        """The values as (n, ...), each of as many numbers as `shape`; ConfigError for others."""
        return settled(self.values, shape, self.origin)

    def labels_of(self, count: int, *, label_sets: bool = False) -> Labels | None:
        """One class number a sample, or set of labels, where there are any; ConfigError for others.

        Sets are stored as rows of 0 and 1, and come as numbers: label j is the bit 2^j.
        """
        if self.labels is None:
            return None
        origin = f"{self.origin}: its labels file"
        return _labels(self.labels, count, origin, label_sets=label_sets)


def read_saved_queries(path: Path, shape: Shape | None = None) -> Saved:
    """What `path` holds: a folder of .npy files, one of them, an .npz file, a folder of images.

    Raw samples (uint8) are preferred to normalised ones, which may be standardised. An image has
    one channel or three, as `shape` needs it. Raises ConfigError where there are no queries,
    several sets of them, or files of another form.
    """
    path = Path(path)
    if not path.exists():
        raise ConfigError(f"--dataset_path {path} does not exist")
    arrays = sorted(path.glob("*.npy")) if path.is_dir() else []
    archives = sorted(path.glob("*.npz")) if path.is_dir() and not arrays else []
    if path.suffix == ".npz" and path.is_file():
        archives = [path]
    if len(archives) > 1:
        raise ConfigError(f"--dataset_path {path} holds {len(archives)} .npz files: name one")
    if archives:
        values, labels = archived_queries(archives[0])
        return Saved(values, labels, str(archives[0]))
    images = image_files(path) if path.is_dir() and not arrays else []
    if images:
        return Saved(*read_images(images, None if shape is None else math.prod(shape)), str(path))
    samples = _samples_file(path)
    values = _read(samples)
    if _kind(samples) == _RAW and values.dtype != np.uint8:
        raise ConfigError(f"{samples} holds {values.dtype}, not uint8")
    check_numbers(values, str(samples))
    return Saved(values, _labels_beside(samples), str(samples))


def load_saved_queries(
    path: Path, image_shape: Shape | None = None, *, label_sets: bool = False
) -> tuple[Float32, Labels | None]:
    """Images float32 (n, H, W, C), and labels int64 (n,) where they are known.

    `image_shape` (H, W, C) settles what squeezing left open; without it, three axes are (n, H, W)
    unless the last has 3 elements. Raises ConfigError as `read_saved_queries` does, and for images
    of another shape.
    """
    saved = read_saved_queries(path, image_shape)
    images = _unsqueezed(saved.values, image_shape, saved.origin)
    return scaled(images), saved.labels_of(len(images), label_sets=label_sets)


def asked_queries(
    dataset: str,
    path: Path | None,
    start: int,
    count: int,
    *,
    shape: Shape | None = None,
    input_range: Range | None = None,
    label_sets: bool = False,
) -> tuple[Float32, Labels | None]:
    """Queries start to start + count - 1 of a data set's test images, or of those saved in `path`.

    Images float32 (count, ...), and labels int64 (count,) where they are known. Saved ones have as
    many numbers each as `shape`, by default exactly the data set's shape. Bytes are scaled to
    `input_range`. Raises ConfigError where there are not so many.
    """
    if path is None:
        return queries(dataset, start, count, input_range)
    if shape is None:
        images, labels = load_saved_queries(path, dataset_info(dataset).image_shape)
    else:
        saved = read_saved_queries(path, shape)
        samples = saved.samples(shape)
        images = scaled(samples, input_range or (0, 1))
        labels = saved.labels_of(len(samples), label_sets=label_sets)
    if start + count > len(images):
        raise ConfigError(
            f"--dataset_path {path} holds {len(images)} queries; --start_batch {start} and "
            f"--n_queries {count} ask for more"
        )
    chosen = slice(start, start + count)
    return images[chosen], None if labels is None else labels[chosen]


def check_values(origin: str, dataset: str, images: Float32, labels: Labels | None) -> None:
    """Raise ConfigError, in the name of `origin`, for a pixel or label that the data set lacks."""
    info = dataset_info(dataset)
    low, high = info.input_range
    if images.min() < low or images.max() > high:
        raise ConfigError(
            f"{origin} holds pixels from {images.min():g} to {images.max():g}; the models take "
            f"[{low:g}, {high:g}]: add the raw samples (uint8), or save k / 255"
        )
    if labels is not None:
        check_labels(origin, labels, info.num_classes)


def check_range(origin: str, images: Float32, input_range: Range) -> None:
    """Raise ConfigError, in the name of `origin`, where a value lies outside the range."""
    (low, high), least, most = input_range, float(images.min()), float(images.max())
    if least < low or most > high:
        raise ConfigError(
            f"{origin} holds values from {least:g} to {most:g}, outside the input range "
            f"[{low:g}, {high:g}]: give another --input_range, or leave it out to take the data's"
        )


def check_labels(origin: str, labels: Labels, classes: int) -> None:
    """Raise ConfigError, in the name of `origin`, for a label that is none of the classes."""
    wrong = labels[(labels < 0) | (labels >= classes)]
    if len(wrong):
        raise ConfigError(
            f"{origin} holds the label {wrong[0]}; there are {classes} classes, 0 to {classes - 1}"
        )


def load_answers(
    path: Path, image_shape: Shape | None = None, *, label_sets: bool = False
) -> tuple[Float32, Labels]:
    """Answered queries: images float32 (n, H, W, C), and their aggregated labels int64 (n,).

    As `load_saved_queries`. Raises ConfigError where there are no aggregated labels, or not one per
    query.
    """
    path = Path(path)
    folder = path if path.is_dir() else path.parent
    samples = _samples_file(path) if path.exists() else path
    images, _ = load_saved_queries(samples, image_shape, label_sets=label_sets)
    labels = _labels_beside(samples, _AGGREGATED)
    if labels is None:
        raise ConfigError(f"{folder} holds no answers: no file '*aggregated-labels*.npy' is in it")
    origin = f"{folder}: its {_AGGREGATED} file"
    return images, _labels(labels, len(images), origin, label_sets=label_sets)


def answer_count(folder: Path) -> int:
    """How many answered queries `load_answers` finds in a folder."""
    labels = _labels_beside(_samples_file(folder), _AGGREGATED)
    return 0 if labels is None else len(labels)


def save_queries(
    folder: Path,
    images: Float32,
    labels: NDArray[Any],
    *,
    raw_images: NDArray[np.uint8] | None = None,
    aggregated_labels: NDArray[Any] | None = None,
    parameters: Mapping[str, object] | None = None,
) -> list[Path]:
    """Write queries under the original's names; returns the files.

    images are float32 (n, H, W, C), normalised; labels (n,). `parameters` go into the names.
    Raises ConfigError where the folder cannot be written.
    """
    arrays: dict[str, NDArray[Any]] = {
        _SAMPLES: np.squeeze(images.astype(np.float32)),
        _LABELS: labels.astype(np.int64),
    }
    if raw_images is not None:
        arrays[_RAW] = np.squeeze(raw_images)
    if aggregated_labels is not None:
        arrays[_AGGREGATED] = aggregated_labels.astype(np.int64)
    suffix = "".join(f"-({key}={value})" for key, value in (parameters or {}).items())
    files = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for kind, values in arrays.items():
            files.append(folder / f"{kind}{suffix}.npy")
            np.save(files[-1], values, allow_pickle=False)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written: {error.strerror}") from error
    return files


def _labels(labels: NDArray[Any], count: int, origin: str, *, label_sets: bool) -> Labels:
    """One class number a sample, or set of labels as a number; ConfigError for others."""
    if not label_sets:
        return checked_labels(labels, count, origin)
    if not are_sets(labels, count):
        raise ConfigError(f"{origin} does not hold {count} rows of 0 and 1, one column a label")
    return numbered(labels)


def _kind(path: Path) -> str | None:
    return next((kind for kind in _KINDS if kind in path.name), None)


def _samples_file(path: Path) -> Path:
    if path.is_file():
        if path.suffix != ".npy" or _kind(path) in {_LABELS, _AGGREGATED}:
            raise ConfigError(
                f"{path} is not a samples file: give a .npy file of samples, an .npz file, a "
                "folder of them, or a folder of images"
            )
        return path
    if not path.is_dir():
        raise ConfigError(f"--dataset_path {path} is neither a regular file nor a folder")
    files = sorted(path.glob("*.npy"))
    for kind in (_RAW, _SAMPLES):
        found = [file for file in files if _kind(file) == kind]
        if len(found) > 1:
            names = ", ".join(file.name for file in found[:4])
            raise ConfigError(
                f"--dataset_path {path} holds {len(found)} sets of queries ({names}, ...): "
                "name one of these files"
            )
        if found:
            return found[0]
    raise ConfigError(
        f"--dataset_path {path} holds no queries: no file '*samples*.npy', no .npz file and no "
        "folders of PNG or JPEG images are in it"
    )


def _labels_beside(samples: Path, kind: str = _LABELS) -> NDArray[Any] | None:
    """The labels file with the samples' parameters, else the only one there is."""
    folder, own = samples.parent, _kind(samples)
    files = [file for file in sorted(folder.glob("*.npy")) if _kind(file) == kind]
    twin = samples.name.replace(own, kind, 1) if own else f"{samples.stem}-{kind}.npy"
    chosen = [file for file in files if file.name == twin] or files
    if not chosen:
        return None
    if len(chosen) > 1:
        raise ConfigError(f"{folder} holds {len(chosen)} {kind} files, none named {twin}")
    return _read(chosen[0])


def _read(path: Path) -> NDArray[Any]:
    try:
        values = load_array(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, EOFError) as error:
        raise ConfigError(f"{path} is not a NumPy file of numbers: {shortened(error)}") from error
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiub" or not values.size:
        raise ConfigError(f"{path} holds no numbers")
    return values


def _unsqueezed(values: NDArray[Any], image_shape: Shape | None, path: str) -> NDArray[Any]:
    """Squeezed images as (n, H, W, C)."""
    if image_shape is not None:
        kept = tuple(size for size in image_shape if size != 1)
        given = tuple(size for size in values.shape if size != 1)
        if kept and given[-len(kept) :] == kept and len(given) - len(kept) <= 1:
            return values.reshape(-1, *image_shape)
    elif values.ndim == 4:
        return values
    elif values.ndim == 3:
        return values[np.newaxis] if values.shape[-1] == 3 else values[..., np.newaxis]
    elif values.ndim == 2:
        return values[np.newaxis, ..., np.newaxis]
    expected = image_shape or "(n, H, W, C) or (n, H, W)"
    raise ConfigError(f"{path} holds images of shape {values.shape}, not {expected}")
