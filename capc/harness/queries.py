"""The queries of a run, as the experimenter sees them; the querying party loads its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capc.data.datasets import dataset_info, require_task
from capc.data.fitting import Range, Shape, assumed_range
from capc.data.own_data import title
from capc.data.saved_queries import (
    asked_queries,
    check_labels,
    check_range,
    read_saved_queries,
)
from capc.data.suspicions import MOST_EXAMPLES
from capc.harness.settings import Settings


@dataclass(frozen=True, eq=False)
class Queries:
    """What is asked: samples (n, ...), their labels where known, the closed interval of values.

    The samples have the data's own shape; each model gets them in its own.
    """

    images: NDArray[np.float32]
    labels: list[int] | None
    input_range: Range


def data_range(settings: Settings) -> Range:
    """--input_range, else the data set's, else what the saved samples hold.

    Raises ConfigError where there are no queries, or fewer than are asked of a data set.
    """
    if settings.dataset_path is None:
        asked_queries(settings.dataset_name, None, settings.start_batch, settings.n_queries)
        found = dataset_info(settings.dataset_name).input_range
    else:
        found = read_saved_queries(settings.dataset_path).input_range
    return settings.input_range or found


def load_queries(settings: Settings, shape: Shape | None = None) -> Queries:
    """The chosen range of a data set's test images, or of the saved queries.

    Saved ones have as many numbers as `shape`, a model's input, by default the data set's. Raises
    ConfigError where there are not so many, and for values or labels out of range.
    """
    dataset, path = settings.dataset_name, settings.dataset_path
    input_range = settings.input_range or data_range(settings)
    if path is None:
        require_task(dataset, multi_label=settings.multi_label)
    images, labels = asked_queries(
        *(dataset, path, settings.start_batch, settings.n_queries),
        shape=None if path is None else shape or dataset_info(dataset).image_shape,
        input_range=input_range,
        label_sets=settings.multi_label,
    )
    check_range(origin_of(settings), images, input_range)
    if path is not None and labels is not None and settings.num_classes is not None:
        outputs = settings.num_classes
        most = 1 << outputs if settings.multi_label else outputs
        check_labels(origin_of(settings), labels, most)
    known = None if labels is None else [int(label) for label in labels]
    return Queries(images, known, input_range)


def labelled_examples(settings: Settings, shape: Shape) -> Queries | None:
    """Some labelled examples of the data that is asked of, from its start; None without labels."""
    dataset, path = settings.dataset_name, settings.dataset_path
    input_range = settings.input_range or data_range(settings)
    if path is None:
        count = dataset_info(dataset).test_size
    else:
        count = len(read_saved_queries(path, shape).samples(shape))
    images, labels = asked_queries(
        *(dataset, path, 0, min(count, MOST_EXAMPLES)),
        shape=None if path is None else shape,
        input_range=input_range,
    )
    return None if labels is None else Queries(images, labels.tolist(), input_range)


def are_scaled(settings: Settings) -> bool:
    """Whether --input_range scales the data: bytes, but no other values."""
    path = settings.dataset_path
    if path is not None:
        return read_saved_queries(path).values.dtype == np.uint8
    return dataset_info(settings.dataset_name).of_bytes


def range_remark(settings: Settings, found: Range) -> str | None:
    """A sentence on the range that `data_range` found; None where a flag or bytes say it."""
    if settings.input_range is not None or are_scaled(settings):
        return None
    return assumed_range(f"range: the values of {origin_of(settings)}", found)


def origin_of(settings: Settings) -> str:
    """What an error calls the data."""
    path = settings.dataset_path
    return title(settings.dataset_name) if path is None else f"--dataset_path {path}"
