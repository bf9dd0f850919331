"""Image data sets by name, cached and verified: MNIST, Fashion-MNIST, CIFAR10, SVHN.

Pixels are bytes in a Dataset. The models take float32 pixels k / 255 in [0, 1], as the published
CryptoNets-ReLU does. A data set of the user's own is named NAME=FILE.npz. No TensorFlow is
imported.
"""

from __future__ import annotations

import hashlib
import logging
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from capc.arrays import open_arrays
from capc.data.dataset_sources import SOURCES, Arrays, SourceError, get
from capc.data.fitting import Range, range_of, scaled
from capc.data.own_data import LABEL_COUNT, is_own, own_dataset, title
from capc.errors import ConfigError
from capc.files import EVERYONE, cache_root, write_whole

log = logging.getLogger(__name__)

Float32 = NDArray[np.float32]
Labels = NDArray[np.int64]
Images = NDArray[Any]


@dataclass(frozen=True)
class DatasetInfo:
    """What is known of a data set before it is loaded.

    `input_range` is the closed interval of its pixels as a model takes them; `of_bytes`: they are
    stored as bytes, and scaled to it. `digests` are the
    SHA-256 of the four arrays' bytes, or empty where no copy could be had to compute them.
    `multi_label`: a sample has a set of `num_classes` labels, as a number: label j is the bit 2^j.
    """

    image_shape: tuple[int, ...]
    train_size: int
    test_size: int
    num_classes: int = 10
    input_range: tuple[float, float] = (0.0, 1.0)
    digests: tuple[tuple[str, str], ...] = ()
    of_bytes: bool = True
    multi_label: bool = False


DATASETS: dict[str, DatasetInfo] = {
    "mnist": DatasetInfo(
        (28, 28, 1),
        60000,
        10000,
        digests=(
            (
                "train_images",
                "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
            ),
            (
                "train_labels",
                "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
            ),
            (
                "test_images",
                "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
            ),
            (
                "test_labels",
                "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
            ),
        ),
    ),
    "fashion-mnist": DatasetInfo((28, 28, 1), 60000, 10000),
    "cifar10": DatasetInfo((32, 32, 3), 50000, 10000),
    "svhn": DatasetInfo((32, 32, 3), 73257, 26032),
    "svhn-extra": DatasetInfo((32, 32, 3), 73257 + 531131, 26032),
}


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images uint8 (n, H, W, C), labels int64 (n,) in [0, num_classes).

    The user's own may be float32 (n, ...), taken as they are.
    """

    train_images: Images
    train_labels: Labels
    test_images: Images
    test_labels: Labels


def dataset_info(name: str) -> DatasetInfo:
    """Shape, sizes and range. Raises ConfigError for an unknown name, and a file of no data set."""
    if is_own(name):
        return _own_info(own_dataset(name))
    if name not in DATASETS:
        raise ConfigError(
            f"--dataset_name is {name}; allowed are {', '.join(DATASETS)}, and NAME=FILE.npz"
        )
    return DATASETS[name]


def _own_info(arrays: Mapping[str, Images]) -> DatasetInfo:
    images = [values for name, values in arrays.items() if name.endswith("images")]
    labels = [values for name, values in arrays.items() if name.endswith("labels")]
    ranges = [(0.0, 1.0) if values.dtype == np.uint8 else range_of(values) for values in images]
    sets = arrays.get(LABEL_COUNT)
    classes = max(2, 1 + max(int(values.max()) for values in labels))
    return DatasetInfo(
        tuple(images[0].shape[1:]),
        len(arrays.get("train_labels", ())),
        len(arrays["test_labels"]),
        classes if sets is None else int(sets),
        (min(low for low, _ in ranges), max(high for _, high in ranges)),
        of_bytes=images[-1].dtype == np.uint8,
        multi_label=sets is not None,
    )


def require_task(name: str, *, multi_label: bool) -> DatasetInfo:
    """The data set's facts. Raises ConfigError where its samples have more or fewer labels."""
    info = dataset_info(name)
    if info.multi_label and not multi_label:
        raise ConfigError(
            f"{title(name)} has {info.num_classes} labels a sample: give the task multi-label, or "
            "one class number a sample, as labels.argmax(axis=1) makes it of one-hot rows"
        )
    if multi_label and not info.multi_label:
        raise ConfigError(
            f"{title(name)} has one class a sample, and the task is multi-label: its labels must "
            "be rows of 0 and 1, one column a label"
        )
    return info


def load_dataset(name: str) -> Dataset:
    """The data set, from the cache or from the first source that answers.

    The cache is `datasets` in capc.files.cache_root. Raises ConfigError for an unknown name, and
    where no source answers, with what each one said.
    """
    arrays = _arrays(name, [field.name for field in fields(Dataset)])
    return Dataset(
        train_images=arrays["train_images"],
        train_labels=arrays["train_labels"].astype(np.int64),
        test_images=arrays["test_images"],
        test_labels=arrays["test_labels"].astype(np.int64),
    )


def load_test_set(name: str) -> Dataset:
    """The data set without training examples. Raises ConfigError as `load_dataset` does."""
    arrays = _arrays(name, ["test_images", "test_labels"])
    images, labels = arrays["test_images"], arrays["test_labels"].astype(np.int64)
    return Dataset(images[:0], labels[:0], images, labels)


def queries(
    name: str, start: int, count: int, input_range: Range | None = None
) -> tuple[Float32, Labels]:
    """Test examples start, start + 1, ...: images float32 (count, H, W, C) in the input range.

    Bytes are scaled to `input_range`, by default the data set's. Raises ConfigError where the test
    set does not have them, and as `load_dataset` does.
    """
    info = dataset_info(name)
    size = info.test_size
    if start < 0 or count < 1 or start + count > size:
        raise ConfigError(
            f"test examples {start} to {start + count - 1} asked for; {title(name)} has 0 to "
            f"{size - 1}: change --start_batch or --n_queries"
        )
    arrays = _arrays(name, ["test_images", "test_labels"])
    chosen = slice(start, start + count)
    labels = arrays["test_labels"][chosen].astype(np.int64)
    return scaled(arrays["test_images"][chosen], input_range or info.input_range), labels


def normalised(images: Images) -> Float32:
    """Images as the models take them: bytes as k / 255, other values as they are."""
    return scaled(images)


def _arrays(name: str, wanted: list[str]) -> Mapping[str, Images]:
    if is_own(name):
        own = own_dataset(name)
        if missing := [array for array in wanted if array not in own]:
            raise ConfigError(
                f"--dataset {name} has no x_train and y_train: there is nothing to train on "
                f"({missing[0]})"
            )
        return own
    info = dataset_info(name)
    path = cache_root() / "datasets" / f"{name}.npz"
    cached = _cached(path, info, wanted)
    if cached is not None:
        return cached
    refusals = []
    for source in SOURCES[name]:
        log.info("%s: asking %s", name, source.label)
        try:
            arrays = get(source)
            _check(arrays, info, sorted(arrays))
        except SourceError as error:
            refusals.append(f"{source.label}: {error}")
            continue
        write_whole(path, partial(_save, arrays), mode=EVERYONE, make_folder=True)
        return {array: arrays[array] for array in wanted}
    raise ConfigError(
        f"no source of {name} answered ({'; '.join(refusals)}): check the network, or copy "
        f"{path.name} from another machine to {path.parent}"
    )


def _cached(path: Path, info: DatasetInfo, wanted: list[str]) -> Arrays | None:
    """The wanted arrays, or None where the file is absent or damaged."""
    try:
        with open_arrays(path, only=wanted) as archive:
            arrays = {name: archive[name] for name in wanted}
        _check(arrays, info, wanted)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, SourceError) as error:
        log.warning("%s is damaged (%s) and is fetched again", path, error)
        return None
    return arrays


def _check(arrays: Arrays, info: DatasetInfo, wanted: list[str]) -> None:
    """Raise SourceError unless shapes, types, labels and pinned digests are right."""
    sizes = {"train": info.train_size, "test": info.test_size}
    pinned = dict(info.digests)
    for name in wanted:
        values = arrays[name]
        part, kind = name.split("_")
        shape = (sizes[part], *(info.image_shape if kind == "images" else ()))
        if values.shape != shape or values.dtype != np.uint8:
            raise SourceError(f"{name} is {values.dtype} {values.shape}, not uint8 {shape}")
        if kind == "labels" and values.max() >= info.num_classes:
            raise SourceError(f"a label is {values.max()}")
        digest = hashlib.sha256(np.ascontiguousarray(values).data).hexdigest()
        if pinned.get(name, digest) != digest:
            raise SourceError(f"{name} has the SHA-256 {digest[:16]}..., not the pinned one")


def _save(arrays: Arrays, file: IO[bytes]) -> None:
    np.savez(file, **arrays)  # type: ignore[arg-type]
