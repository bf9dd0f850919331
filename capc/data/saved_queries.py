"""Queries in files, as the original programs name and shape them; read and written.

A folder holds `samples*.npy` (float32, normalised), `raw-samples*.npy` (uint8), `labels*.npy` and
`aggregated-labels*.npy` (noisy labels), with the parameters in brackets in each name. Images are
NHWC, squeezed: NHW where there is one channel.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capc.arrays import load_array
from capc.data.datasets import Float32, Labels, dataset_info, normalised, queries
from capc.errors import ConfigError

Shape = tuple[int, ...]

_SAMPLES, _RAW, _LABELS, _AGGREGATED = "samples", "raw-samples", "labels", "aggregated-labels"
_KINDS = (_RAW, _SAMPLES, _AGGREGATED, _LABELS)  # longer names first: each holds a shorter one


def load_saved_queries(
    path: Path, image_shape: Shape | None = None
) -> tuple[Float32, Labels | None]:
    """Images float32 (n, H, W, C), and labels int64 (n,) where a labels file lies beside.

    `path` is a folder, or one of its sample files. Normalised samples are preferred to raw ones.
    `image_shape` (H, W, C) settles what squeezing left open; without it, three axes are (n, H, W)
    unless the last has 3 elements. Raises ConfigError where there are no queries, several sets of
    them, or files of another form.
    """
    path = Path(path)
    if not path.exists():
        raise ConfigError(f"--dataset_path {path} does not exist")
    folder = path if path.is_dir() else path.parent
    samples = _samples_file(path)
    raw = _kind(samples) == _RAW
    images = _unsqueezed(_read(samples), image_shape, samples)
    if raw != (images.dtype == np.uint8) or images.dtype.kind not in "fu":
        kind = "uint8" if raw else "float32"
        raise ConfigError(f"{samples} holds {images.dtype}, not {kind}")
    pixels = normalised(images) if raw else images.astype(np.float32)
    if not np.all(np.isfinite(pixels)):
        raise ConfigError(f"{samples} holds values that are not finite numbers")
    labels = _labels_of(folder, samples, len(pixels))
    return pixels, labels


def asked_queries(
    dataset: str, path: Path | None, start: int, count: int
) -> tuple[Float32, Labels | None]:
    """Queries start to start + count - 1 of a data set's test images, or of those saved in `path`.

    Images float32 (count, H, W, C), and labels int64 (count,) where they are known. Raises
    ConfigError where there are not so many.
    """
    if path is None:
        return queries(dataset, start, count)
    images, labels = load_saved_queries(path, dataset_info(dataset).image_shape)
    if start + count > len(images):
        raise ConfigError(
            f"--dataset_path {path} holds {len(images)} queries; --start_batch {start} and "
            f"--n_queries {count} ask for more"
        )
    chosen = slice(start, start + count)
    return images[chosen], None if labels is None else labels[chosen]


def check_values(
    origin: str,
    dataset: str,
    images: Float32,
    labels: Labels | None,
    num_classes: int | None = None,
) -> None:
    """Raise ConfigError, in the name of `origin`, for a pixel or label that the data set has not.

    Labels are below `num_classes`, by default the data set's.
    """
    info = dataset_info(dataset)
    low, high = info.input_range
    if images.min() < low or images.max() > high:
        raise ConfigError(
            f"{origin} holds pixels from {images.min():g} to {images.max():g}; the models take "
            f"[{low:g}, {high:g}]: add the raw samples (uint8), or save k / 255"
        )
    classes = info.num_classes if num_classes is None else num_classes
    if labels is None:
        return
    wrong = labels[(labels < 0) | (labels >= classes)]
    if len(wrong):
        raise ConfigError(
            f"{origin} holds the label {wrong[0]}; there are {classes} classes, 0 to {classes - 1}"
        )


def load_answers(path: Path, image_shape: Shape | None = None) -> tuple[Float32, Labels]:
    """Answered queries: images float32 (n, H, W, C), and their aggregated labels int64 (n,).

    As `load_saved_queries`, but raw samples are preferred, for they cannot be normalised in another
    way. Raises ConfigError where there are no aggregated labels, or not one per query.
    """
    path = Path(path)
    folder = path if path.is_dir() else path.parent
    samples = _samples_file(path, (_RAW, _SAMPLES)) if path.exists() else path
    images, _ = load_saved_queries(samples, image_shape)
    labels = _labels_of(folder, samples, len(images), _AGGREGATED)
    if labels is None:
        raise ConfigError(f"{folder} holds no answers: no file '*aggregated-labels*.npy' is in it")
    return images, labels


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


def _kind(path: Path) -> str | None:
    return next((kind for kind in _KINDS if kind in path.name), None)


def _samples_file(path: Path, kinds: tuple[str, str] = (_SAMPLES, _RAW)) -> Path:
    if path.is_file():
        if path.suffix != ".npy" or _kind(path) not in {_SAMPLES, _RAW}:
            raise ConfigError(f"{path} is not a samples file: its name must hold 'samples'")
        return path
    files = sorted(path.glob("*.npy"))
    for kind in kinds:
        found = [file for file in files if _kind(file) == kind]
        if len(found) > 1:
            names = ", ".join(file.name for file in found[:4])
            raise ConfigError(
                f"--dataset_path {path} holds {len(found)} sets of queries ({names}, ...): "
                "name one of these files"
            )
        if found:
            return found[0]
    raise ConfigError(f"--dataset_path {path} holds no queries: no file '*samples*.npy' is in it")


def _labels_of(folder: Path, samples: Path, count: int, kind: str = _LABELS) -> Labels | None:
    """The labels file with the samples' parameters, else the only one there is."""
    files = [file for file in sorted(folder.glob("*.npy")) if _kind(file) == kind]
    twin = samples.name.replace(_kind(samples) or "", kind, 1)
    chosen = [file for file in files if file.name == twin] or files
    if not chosen:
        return None
    if len(chosen) > 1:
        raise ConfigError(f"{folder} holds {len(chosen)} {kind} files, none named {twin}")
    labels = np.atleast_1d(_read(chosen[0]))
    if labels.shape != (count,) or not np.all(labels == np.rint(labels)) or labels.min() < 0:
        raise ConfigError(f"{chosen[0]} does not hold {count} class numbers")
    return labels.astype(np.int64)


def _read(path: Path) -> NDArray[Any]:
    try:
        values = load_array(path)
    except (OSError, ValueError, EOFError) as error:
        raise ConfigError(f"{path} is not a NumPy file of numbers") from error
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiu" or not values.size:
        raise ConfigError(f"{path} holds no numbers")
    return values


def _unsqueezed(values: NDArray[Any], image_shape: Shape | None, path: Path) -> NDArray[Any]:
    """Squeezed images as (n, H, W, C)."""
    if image_shape is not None:
        kept = tuple(size for size in image_shape if size != 1)
        given = tuple(size for size in values.shape if size != 1)
        if given[-len(kept) :] == kept and len(given) - len(kept) <= 1:
            return values.reshape(-1, *image_shape)
    elif values.ndim == 4:
        return values
    elif values.ndim == 3:
        return values[np.newaxis] if values.shape[-1] == 3 else values[..., np.newaxis]
    elif values.ndim == 2:
        return values[np.newaxis, ..., np.newaxis]
    expected = image_shape or "(n, H, W, C) or (n, H, W)"
    raise ConfigError(f"{path} holds images of shape {values.shape}, not {expected}")
