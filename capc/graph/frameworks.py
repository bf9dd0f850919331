"""Which framework reads a model file, and computes what the import is compared with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from numpy.typing import ArrayLike

from capc.fixed_point import Float64
from capc.graph.comparison import Agreement
from capc.graph.layers import Network
from capc.graph.tensorflow.sources import kind_of


def is_onnx(path: Path) -> bool:
    """Whether a model is read as ONNX; otherwise TensorFlow reads it."""
    return kind_of(path) == "onnx"


def framework_of(path: Path) -> str:
    """The name of the framework that computes a model in floating point."""
    return "onnxruntime" if is_onnx(path) else "TensorFlow"


def import_verified(
    path: Path,
    input_node: str,
    output_node: str,
    input_range: tuple[float, float],
    *,
    multi_label: bool = False,
) -> tuple[Network, Agreement]:
    """A model's layers, once they compute what its framework does on inputs of that range.

    `multi_label`: its outputs are several labels, and sigmoids at its end are left out.
    Raises ModelError where they do not compute it, or the model is not supported; ConfigError where
    the framework is not installed. Only the framework that is needed is imported.
    """
    if is_onnx(path):
        from capc.graph.onnx import verification as of_onnx  # noqa: PLC0415

        return of_onnx.import_verified(
            path, input_node, output_node, input_range, multi_label=multi_label
        )
    from capc.graph.tensorflow import verification as of_tensorflow  # noqa: PLC0415

    return of_tensorflow.import_verified(
        path, input_node, output_node, input_range, multi_label=multi_label
    )


def framework_logits(
    path: Path,
    input_node: str,
    output_node: str,
    images: ArrayLike,
    advance: Callable[[int], None] = lambda _: None,
) -> Float64:
    """Logits (n, C) of images (n, *shape), computed by the model's own framework.

    `advance` is told how many images are done. Raises as `import_verified` does.
    """
    if is_onnx(path):
        from capc.graph.onnx.verification import onnxruntime_logits  # noqa: PLC0415

        return onnxruntime_logits(path, input_node, output_node, images, advance)
    from capc.graph.tensorflow.logits import tensorflow_logits  # noqa: PLC0415

    return tensorflow_logits(path, input_node, output_node, images, advance)
