"""The queries of a run, as the experimenter sees them; the querying party loads its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capc.errors import ConfigError
from capc.harness.settings import Settings
from capc.learning import datasets


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
    if settings.dataset_path is None:
        images, labels = datasets.queries(settings.dataset_name, start, count)
    else:
        images, found = datasets.load_saved_queries(settings.dataset_path)
        if start + count > len(images):
            raise ConfigError(
                f"--dataset_path holds {len(images)} queries; --start_batch {start} and "
                f"--n_queries {count} ask for more"
            )
        images = images[start : start + count]
        labels = None if found is None else found[start : start + count]
    return Queries(
        images=images,
        labels=None if labels is None else [int(label) for label in labels],
        input_range=datasets.input_range(settings.dataset_name),
    )
