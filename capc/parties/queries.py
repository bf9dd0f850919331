"""The querying party's own data: the queries that it asks."""

from __future__ import annotations

from pathlib import Path

from capc.data.saved_queries import asked_queries
from capc.errors import ConfigError
from capc.fixed_point import Float64
from capc.parties.config import PartyConfig


def load_queries(config: PartyConfig) -> Float64:
    """The run's queries, (n, ...) in the data's shape and the models' range.

    Raises ConfigError where the config names none, or where there are not so many.
    """
    source = config.queries
    if source is None:
        raise ConfigError("the querying party's config names no queries")
    path = None if source.path is None else Path(source.path)
    images, _ = asked_queries(
        *(source.dataset, path, source.start, config.n_queries),
        shape=source.shape,
        input_range=config.input_range,
        label_sets=config.rule.multi_label,
    )
    return images.astype("float64")
