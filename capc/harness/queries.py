"""The queries of a run, as the experimenter sees them; the querying party loads its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capc.data.datasets import dataset_info, queries
from capc.data.saved_queries import load_saved_queries
from capc.errors import ConfigError
from capc.harness.settings import Settings


@dataclass(frozen=True, eq=False)
class Queries:
    """What is asked: images (n, H, W, C), their labels where known, the closed pixel interval."""

    images: NDArray[np.float32]
    labels: list[int] | None
    input_range: tuple[float, float]


def load_queries(settings: Settings) -> Queries:
    """The chosen range of a data set's test images, or of the saved queries.

    Raises ConfigError when there are not so many.
    """
    start, count = settings.start_batch, settings.n_queries
    info = dataset_info(settings.dataset_name)
    if settings.dataset_path is None:
        images, labels = queries(settings.dataset_name, start, count)
        return Queries(images, _integers(labels), info.input_range)
    images, saved_labels = load_saved_queries(settings.dataset_path, info.image_shape)
    if start + count > len(images):
        raise ConfigError(
            f"--dataset_path holds {len(images)} queries; --start_batch {start} and "
            f"--n_queries {count} ask for more"
        )
    chosen = slice(start, start + count)
    low, high = info.input_range
    if images[chosen].min() < low or images[chosen].max() > high:
        raise ConfigError(
            f"--dataset_path holds pixels outside [{low:g}, {high:g}], the range of "
            f"{settings.dataset_name}: save normalised samples"
        )
    known = None if saved_labels is None else _integers(saved_labels[chosen])
    if known is not None and max(known) >= settings.num_classes:
        raise ConfigError(
            f"--dataset_path holds the label {max(known)}; with --num_classes "
            f"{settings.num_classes} labels are 0 to {settings.num_classes - 1}"
        )
    return Queries(images[chosen], known, info.input_range)


def _integers(labels: NDArray[np.int64]) -> list[int]:
    return [int(label) for label in labels]
