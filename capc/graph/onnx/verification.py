"""An ONNX model that is read, tried against onnxruntime: see capc.graph.comparison."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from capc.fixed_point import Float64
from capc.graph.comparison import Agreement, Stages, agreement, tolerance_of, tried_images
from capc.graph.layers import Network
from capc.graph.onnx.endings import ending_of
from capc.graph.onnx.importer import classifier_of, converted
from capc.graph.onnx.loader import load_onnx
from capc.graph.onnx.reader import Layout, of_layout
from capc.graph.onnx.runtime import values_of
from capc.graph.onnx.sources import OnnxGraph, read_onnx
from capc.graph.two_classes import as_logits

_AXES = {Layout.IMAGE: 4, Layout.LINE: 3}  # of a batch of such values


def import_verified(
    path: Path,
    input_node: str,
    output_node: str,
    input_range: tuple[float, float],
    *,
    multi_label: bool = False,
) -> tuple[Network, Agreement]:
    """What `import_network` gives, once it computes what onnxruntime does on inputs of that range.

    Raises ModelError as `agreement` does.
    """
    graph = replace(read_onnx(Path(path), input_node, output_node), multi_label=multi_label)
    network = classifier_of(graph)
    images = tried_images(network.input.shape, input_range)
    return network, agreement(network, _Exported(graph, str(path)), images)


def onnxruntime_logits(
    path: Path,
    input_node: str,
    output_node: str,
    images: ArrayLike,
    advance: Callable[[int], None] = lambda _: None,
) -> Float64:
    """Logits (n, C) of images (n, *shape), computed in the model's own types by onnxruntime.

    A softmax or sigmoid at the end is left out, as by `import_network`. `advance` is told how many
    images are done. Raises ModelError as `import_network` does, and where onnxruntime refuses.
    """
    return _logits(read_onnx(Path(path), input_node, output_node), images, str(path), advance)


def _logits(
    graph: OnnxGraph,
    images: ArrayLike,
    source: str,
    advance: Callable[[int], None] = lambda _: None,
) -> Float64:
    ending = ending_of(graph)
    values = values_of(ending.graph, [ending.logits], images, source, advance)[0]
    return as_logits(values, len(np.asarray(images)))


@dataclass(frozen=True, eq=False)
class _Exported:
    """A graph as onnxruntime runs it."""

    graph: OnnxGraph
    source: str
    framework: str = "onnxruntime"

    @property
    def tolerance(self) -> float:
        onnx = load_onnx()
        kinds = {one.data_type for one in self.graph.model.graph.initializer}
        roundings = {onnx.TensorProto.FLOAT16: 2.0**-10, onnx.TensorProto.BFLOAT16: 2.0**-7}
        return tolerance_of(max((roundings.get(kind, 0.0) for kind in kinds), default=0.0))

    def logits(self, images: Float64) -> Float64:
        return _logits(self.graph, images, self.source)

    def stages(self, images: Float64) -> Stages:
        conversion = converted(self.graph)
        nodes = {layer: name for layer, (name, _) in conversion.values.items()}
        names = list(dict.fromkeys(nodes.values()))
        found = dict(zip(names, values_of(self.graph, names, images, self.source), strict=True))
        values = {
            layer: of_layout(found[name], layout)
            for layer, (name, layout) in conversion.values.items()
            if found[name].ndim == _AXES.get(layout, found[name].ndim)
        }
        return Stages(conversion.network, nodes, values)
