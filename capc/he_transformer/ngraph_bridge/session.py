"""Session.run for sessions whose config names the optimizer; all others are left as they are."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capc.errors import ConfigError
from capc.graph.tensorflow.loader import load_tensorflow
from capc.he_transformer.ngraph_bridge.local import evaluate_local
from capc.he_transformer.ngraph_bridge.serving import Task, serve_client
from capc.he_transformer.ngraph_bridge.settings import OPTIMIZER, BridgeSettings, read_settings
from capc.he_transformer.ngraph_bridge.subgraph import (
    Subgraph,
    extract,
    placeholder_shape,
    secret_ancestors,
)
from capc.he_transformer.pyhe_client.client import finish

Array = NDArray[Any]

_SETTINGS = "_capc_bridge_settings"
_PATCHED = "_capc_bridge_patched"
_enabled = True


def set_enabled(enabled: bool) -> None:
    """Turn the bridge on or off for sessions that are made from now on."""
    globals()["_enabled"] = enabled


def is_enabled() -> bool:
    """Whether sessions with the optimizer in their config are taken over."""
    return _enabled


def install() -> None:
    """Patch TensorFlow's session class, once."""
    from tensorflow.python.client import session  # noqa: PLC0415

    base = session.BaseSession
    if getattr(base, _PATCHED, False):
        return
    make, run = base.__init__, base.run

    def patched_init(self: Any, target: str = "", graph: Any = None, config: Any = None) -> None:
        self._session = None  # what TensorFlow's destructor looks for, should this raise
        settings = read_settings(config) if is_enabled() else None
        if settings is not None:
            config = _without_optimizer(config)
        make(self, target, graph, config)
        setattr(self, _SETTINGS, settings)

    def patched_run(
        self: Any,
        fetches: Any,
        feed_dict: Any = None,
        options: Any = None,
        run_metadata: Any = None,
    ) -> Any:
        def plain(wanted: Any, feeds: Any) -> Any:
            return run(self, wanted, feeds, options, run_metadata)

        settings: BridgeSettings | None = getattr(self, _SETTINGS, None)
        if settings is None or settings.backend == "CPU":
            return plain(fetches, feed_dict)
        return _run(self, settings, fetches, feed_dict or {}, plain)

    base.__init__, base.run = patched_init, patched_run
    setattr(base, _PATCHED, True)


def _run(
    session: Any,
    settings: BridgeSettings,
    fetches: Any,
    feed_dict: Mapping[Any, Any],
    plain: Callable[[Any, Any], Any],
) -> Any:
    """The secret results by encryption, the others by TensorFlow, in the order asked for."""
    nest = load_tensorflow().nest
    graph = session.graph
    secrets = secret_names(settings)
    feeds = {}
    for key, value in feed_dict.items():
        fed = graph.as_graph_element(key, allow_operation=False)
        feeds[fed.op.name] = np.asarray(value, dtype=fed.dtype.as_numpy_dtype)
    wanted = nest.flatten(fetches)
    elements = [graph.as_graph_element(fetch, allow_operation=True) for fetch in wanted]
    secret = [
        place
        for place, element in enumerate(elements)
        if hasattr(element, "value_index") and secret_ancestors(element, secrets)
    ]
    if not secret:
        return plain(fetches, feed_dict)
    others = [wanted[place] for place in range(len(wanted)) if place not in secret]
    results = plain(others, feed_dict) if others else []
    if settings.enable_client and len(secret) != 1:
        raise ConfigError(
            f"{len(secret)} of the results depend on the client's data; a client gets one"
        )
    for place in secret:
        subgraph = extract(session, elements[place], secrets, feeds)
        if not settings.enable_client:
            feeds.update(_own_values(graph, subgraph, feeds, plain, feed_dict))
        value = _secret_result(session, settings, elements[place], subgraph, feeds)
        results.insert(place, value)
    return nest.pack_sequence_as(fetches, results) if nest.is_nested(fetches) else results[0]


def _own_values(
    graph: Any,
    subgraph: Subgraph,
    feeds: Mapping[str, Array],
    plain: Callable[[Any, Any], Any],
    feed_dict: Mapping[Any, Any],
) -> dict[str, Array]:
    """What is to be encrypted here and is not fed: constants and variables of the graph."""
    tensors = {
        name: graph.get_tensor_by_name(f"{name}:0")
        for name in subgraph.secrets
        if name not in feeds
    }
    return {
        name: np.asarray(plain(tensor, feed_dict))
        for name, tensor in tensors.items()
        if tensor.op.type != "Placeholder"
    }


def secret_names(settings: BridgeSettings) -> set[str]:
    """The tensors that come from the client, or are encrypted here where there is none."""
    return {
        name
        for name, tensor in settings.tensors.items()
        if (tensor.client_input if settings.enable_client else tensor.encrypt)
    }


def _secret_result(
    session: Any,
    settings: BridgeSettings,
    tensor: Any,
    subgraph: Subgraph,
    feeds: Mapping[str, Array],
) -> Array:
    dtype = tensor.dtype.as_numpy_dtype
    if settings.enable_client:
        graph = session.graph
        shapes = {
            name: placeholder_shape(graph.get_tensor_by_name(f"{name}:0"))
            for name in subgraph.secrets
        }
        shape = serve_client(Task(subgraph, shapes, settings, feeds))
        # The results are the client's alone: no number here could be mistaken for them.
        return np.full(shape, np.nan, dtype=dtype)
    result = evaluate_local(subgraph, settings, feeds)
    for name in subgraph.finish:
        result = finish(name)(result)
    return result.astype(dtype)


def _without_optimizer(config: Any) -> Any:
    """A copy of the config that TensorFlow understands."""
    rest = copy.deepcopy(config)
    optimizers = rest.graph_options.rewrite_options.custom_optimizers
    kept = [one for one in optimizers if one.name != OPTIMIZER]
    del optimizers[:]
    optimizers.extend(kept)
    return rest
