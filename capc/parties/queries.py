"""The querying party's own data: the queries that it asks."""

from __future__ import annotations

from pathlib import Path

from capc.data.datasets import dataset_info, queries
from capc.data.saved_queries import load_saved_queries
from capc.errors import ConfigError
from capc.fixed_point import Float64
from capc.parties.config import PartyConfig


def load_queries(config: PartyConfig) -> Float64:
    """The run's queries, (n, H, W, C) in the models' normalisation."""
    source = config.queries
    if source is None:
        raise ConfigError("the querying party's config names no queries")
    if source.path is None:
        images, _ = queries(source.name, source.start, config.n_queries)
    else:
        shape = dataset_info(source.name).image_shape
        saved, _ = load_saved_queries(Path(source.path), shape)
        images = saved[source.start : source.start + config.n_queries]
        if len(images) < config.n_queries:
            raise ConfigError(
                f"{source.path} holds {len(saved)} queries; {config.n_queries} from "
                f"{source.start} on are asked for (--n_queries, --start_batch)"
            )
    return images.astype("float64")
