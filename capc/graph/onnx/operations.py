"""ONNX's operations, each as layers, and the attributes that are understood.

An attribute that no entry names is refused: what it would change is not known here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from capc.graph.layers import Add as AddLayer
from capc.graph.layers import Negative, Step
from capc.graph.onnx.activations import (
    SPELLED_OUT,
    clip,
    hard_sigmoid,
    leaky_relu,
    parametric_relu,
    power,
    relu,
    selu,
    smooth,
)
from capc.graph.onnx.convolutions import (
    batch_normalisation,
    conv,
    gemm,
    linear_classifier,
    matmul,
    scaler,
)
from capc.graph.onnx.movements import (
    concat,
    depth_to_space,
    expand,
    flatten,
    gather,
    pad,
    reshape,
    slice_operation,
    split,
    squeeze,
    tile,
    transpose,
    unsqueeze,
)
from capc.graph.onnx.nodes import Node
from capc.graph.onnx.operands import (
    Operation,
    element_wise,
    operation,
    optional_constant,
    refused,
    tensor_at,
)
from capc.graph.onnx.pools import global_pool, pool, reduced
from capc.graph.onnx.reader import Reader, Tensor, Value
from capc.graph.tensorflow.builder import Builder
from capc.graph.tensorflow.pairs import absolute, add, maximum, minimum, multiply, subtract

_WINDOWS = ("auto_pad", "kernel_shape", "pads", "strides", "dilations")
_FLOATS = {1, 10, 11, 16}  # TensorProto's float32, float16, float64, bfloat16


def _passed(reader: Reader, node: Node, values: Sequence[Value]) -> Tensor:
    """Identity, and Dropout where it is not training."""
    training = optional_constant(node, values, 2) if node.op == "Dropout" else None
    if training is not None and np.any(training):
        raise refused(node, "is in training mode: export the model for inference")
    return tensor_at(node, values)


def _cast(reader: Reader, node: Node, values: Sequence[Value]) -> Tensor:
    if node.attributes["to"] not in _FLOATS:
        raise refused(
            node,
            "rounds a value that depends on the query; keep such values in floating point, or name "
            "the logits before it with --output_node",
        )
    return tensor_at(node, values)


def _divide(builder: Builder, node: Node, values: Sequence[Any]) -> str:
    source, divisor = values
    if not isinstance(source, str) or isinstance(divisor, str) or not np.all(divisor):
        raise refused(
            node, "divides by zero or by a value that depends on the query; divide by constants"
        )
    return builder.scaled(node.name, source, 1.0 / divisor)


def _negative(builder: Builder, node: Node, values: Sequence[Any]) -> str:
    return builder.negated(node.name, values[0])


def _many(convert: Any) -> Any:
    """An operation of two values over any number of them."""

    def converted(builder: Builder, node: Node, values: Sequence[Any]) -> Any:
        result = values[0]
        for place, value in enumerate(values[1:]):
            step = replace(node, name=f"{node.name}/{place}") if len(values) > 2 else node
            result = convert(builder, step, [result, value])
        return result

    return converted


def _sign(builder: Builder, node: Node, values: Sequence[Any]) -> str:
    """1, 0 or -1: a step of x less a step of -x."""
    source, shape = values[0], builder.shape(values[0])
    other = builder.add(Negative(builder.unused(f"{node.name}/negated"), (source,), shape))
    steps = [
        builder.add(Step(builder.unused(f"{node.name}/step"), (of,), shape))
        for of in (source, other)
    ]
    minus = builder.add(Negative(builder.unused(f"{node.name}/minus"), (steps[1],), shape))
    return builder.add(AddLayer(name=node.name, inputs=(steps[0], minus), shape=shape))


OPERATIONS: dict[str, Operation] = {
    "Abs": operation(element_wise(absolute)),
    "Add": operation(element_wise(add)),
    "AveragePool": operation(pool, *_WINDOWS, "ceil_mode", "count_include_pad"),
    "BatchNormalization": operation(
        batch_normalisation, "epsilon", "momentum", "spatial", "training_mode"
    ),
    "Cast": operation(_cast, "to", "saturate", "round_mode"),
    "Celu": operation(smooth, "alpha"),
    "Clip": operation(clip, "min", "max"),
    "Concat": operation(concat, "axis"),
    "Conv": operation(conv, *_WINDOWS, "group"),
    "DepthToSpace": operation(depth_to_space, "blocksize", "mode"),
    "Div": operation(element_wise(_divide)),
    "Dropout": operation(_passed, "ratio", "seed"),
    "Elu": operation(smooth, "alpha"),
    "Expand": operation(expand),
    "Flatten": operation(flatten, "axis"),
    "Gather": operation(gather, "axis"),
    "Gelu": operation(smooth, "approximate"),
    "Gemm": operation(gemm, "alpha", "beta", "transA", "transB"),
    "GlobalAveragePool": operation(global_pool),
    "GlobalMaxPool": operation(global_pool),
    "HardSigmoid": operation(hard_sigmoid, "alpha", "beta"),
    "HardSwish": operation(smooth),
    "Identity": operation(_passed),
    "LeakyRelu": operation(leaky_relu, "alpha"),
    "LinearClassifier": operation(
        linear_classifier,
        *("coefficients", "intercepts", "classlabels_ints", "classlabels_strings"),
        *("multi_class", "post_transform"),
    ),
    "MatMul": operation(matmul),
    "Max": operation(element_wise(_many(maximum))),
    "MaxPool": operation(pool, *_WINDOWS, "ceil_mode", "storage_order"),
    "Min": operation(element_wise(_many(minimum))),
    "Mish": operation(smooth),
    "Mul": operation(element_wise(multiply)),
    "Neg": operation(element_wise(_negative)),
    "PRelu": operation(parametric_relu),
    "Pad": operation(pad, "mode", "pads", "value"),
    SPELLED_OUT: operation(smooth, "function"),
    "Pow": operation(element_wise(power)),
    "ReduceMax": operation(reduced, "axes", "keepdims", "noop_with_empty_axes"),
    "ReduceMean": operation(reduced, "axes", "keepdims", "noop_with_empty_axes"),
    "ReduceMin": operation(reduced, "axes", "keepdims", "noop_with_empty_axes"),
    "ReduceSum": operation(reduced, "axes", "keepdims", "noop_with_empty_axes"),
    "Relu": operation(relu),
    "Reshape": operation(reshape, "allowzero"),
    "Scaler": operation(scaler, "offset", "scale"),
    "Selu": operation(selu, "alpha", "gamma"),
    "Sigmoid": operation(smooth),
    "Sign": operation(element_wise(_sign)),
    "Slice": operation(slice_operation, "starts", "ends", "axes"),
    "Softplus": operation(smooth),
    "Split": operation(split, "axis", "split", "num_outputs"),
    "Squeeze": operation(squeeze, "axes"),
    "Sub": operation(element_wise(subtract)),
    "Sum": operation(element_wise(add)),
    "Swish": operation(smooth, "alpha"),
    "Tanh": operation(smooth),
    "Tile": operation(tile),
    "Transpose": operation(transpose, "perm"),
    "Unsqueeze": operation(unsqueeze, "axes"),
}
