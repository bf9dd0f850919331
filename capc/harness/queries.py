"""The queries of a run, as the experimenter sees them; the querying party loads its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capc.data.datasets import dataset_info
from capc.data.saved_queries import asked_queries, check_values
from capc.harness.settings import Settings


@dataclass(frozen=True, eq=False)
class Queries:
    """What is asked: images (n, H, W, C), their labels where known, the closed pixel interval."""

    images: NDArray[np.float32]
    labels: list[int] | None
    input_range: tuple[float, float]


def load_queries(settings: Settings) -> Queries:
    """The chosen range of a data set's test images, or of the saved queries.

    Raises ConfigError where there are not so many, and for saved pixels or labels out of range.
    """
    dataset, path = settings.dataset_name, settings.dataset_path
    images, labels = asked_queries(dataset, path, settings.start_batch, settings.n_queries)
    if path is not None:
        check_values(f"--dataset_path {path}", dataset, images, labels, settings.num_classes)
    known = None if labels is None else [int(label) for label in labels]
    return Queries(images, known, dataset_info(dataset).input_range)
