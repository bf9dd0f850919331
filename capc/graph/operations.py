"""TensorFlow's operations, each as layers: what the attributes mean, and which are refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from capc.errors import ModelError
from capc.graph.activations import NAMED, SPELLED_OUT, function_of
from capc.graph.builder import Builder, Constant, Value
from capc.graph.convolutions import batch_to_space, conv2d, depthwise_conv2d, space_to_batch
from capc.graph.folding import BATCH, FOLDS
from capc.graph.layers import (
    Add,
    AvgPool,
    BoundedRelu,
    Dense,
    LeakyRelu,
    MaxPool,
    PiecewiseLinear,
    Relu,
    Reshape,
    Square,
)
from capc.graph.movements import concat, expand_dims, pad, reshape, squeeze, transpose
from capc.graph.operands import (
    Convert,
    check_nhwc,
    constant_at,
    image_shape,
    padding_of,
    pair_of,
    sides_of,
    tensor_at,
)
from capc.graph.tensorflow_loader import load_tensorflow

WITHIN_SPACE_TO_BATCH = {"BatchToSpaceND", "BiasAdd", "Conv2D", "DepthwiseConv2dNative"}
PASSED_THROUGH = {
    "Identity",
    "IdentityN",  # of which only the first output can be taken
    "StopGradient",
    "PreventGradient",
    "Snapshot",
    "CheckNumerics",
    "EnsureShape",
    "PlaceholderWithDefault",
}


def constant_of(node: Any, values: Sequence[Value], builder: Builder) -> Constant | None:
    """The value of a node that does not depend on the query, else None.

    The shape of a value that does is constant too, but for the batch axis, which reads BATCH.
    """
    if node.op == "Const":
        constant: Constant = load_tensorflow().make_ndarray(node.attr["value"].tensor)
        return constant
    if node.op == "Shape" and isinstance(values[0], str):
        return np.array([BATCH, *builder.shape(values[0])])
    fold = FOLDS.get(node.op)
    arrays = [value for value in values if not isinstance(value, str)]
    if fold is None or not values or len(arrays) < len(values):
        return None
    try:
        return fold(node, arrays)
    except (ValueError, IndexError, TypeError) as error:
        raise ModelError(
            f"node '{node.name}' ({node.op}) cannot be folded: {error}; export the model with "
            "constants that fit, and with a fixed image size"
        ) from error


def _matmul(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    source, weight = tensor_at(node, values), constant_at(node, values)
    if node.attr["transpose_a"].b or node.attr["adj_x"].b:
        raise ModelError(
            f"node '{node.name}' ({node.op}) transposes the batch; multiply images by a weight "
            "matrix from the left, as a dense layer does"
        )
    if node.attr["transpose_b"].b or node.attr["adj_y"].b:
        weight = np.swapaxes(weight, -1, -2)
    shape = builder.shape(source)
    if len(shape) != 1 or weight.ndim != 2 or weight.shape[0] != shape[0]:
        raise ModelError(
            f"node '{node.name}' ({node.op}): {shape} per image times {weight.shape} does not fit; "
            "a dense layer takes one axis per image: flatten before it"
        )
    return builder.add(
        Dense(
            name=node.name,
            inputs=(source,),
            shape=(weight.shape[1],),
            weight=weight.astype(np.float64),
            bias=np.zeros(weight.shape[1]),
        )
    )


def _bias_add(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    check_nhwc(node)
    return builder.shifted(node.name, tensor_at(node, values), constant_at(node, values))


def _add(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    first, second = values[0], values[1]
    if not isinstance(first, str):
        first, second = second, first
    if not isinstance(first, str):
        raise ModelError(f"node '{node.name}' ({node.op}) does not depend on the query")
    if not isinstance(second, str):
        return builder.shifted(node.name, first, second)
    shape = builder.shape(first)
    if builder.shape(second) != shape:
        raise ModelError(
            f"node '{node.name}' ({node.op}) adds {shape} and {builder.shape(second)}: "
            "only equal shapes are supported"
        )
    return builder.add(Add(name=node.name, inputs=(first, second), shape=shape))


def _add_n(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    if len(values) != 2:
        raise ModelError(f"node '{node.name}' (AddN) has {len(values)} inputs; supported are two")
    return _add(builder, node, values)


def _sub(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    first, second = values
    if not isinstance(second, str):
        return builder.shifted(node.name, tensor_at(node, values), -second)
    minus = np.array(-1.0)
    if not isinstance(first, str):
        negated = builder.scaled(f"{node.name}/negated", second, minus)
        return builder.shifted(node.name, negated, first)
    negated = builder.scaled(f"{node.name}/negated", second, minus)
    return _add(builder, node, [first, negated])


def _mul(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    first, second = values
    if isinstance(first, str) and isinstance(second, str):
        if first != second:
            raise ModelError(
                f"node '{node.name}' (Mul) multiplies two different values that depend on the "
                "query; supported are constants and x * x"
            )
        return _square(builder, node, values)
    if isinstance(first, str) and not isinstance(second, str):
        return builder.scaled(node.name, first, second)
    return builder.scaled(node.name, tensor_at(node, values, 1), constant_at(node, values, 0))


def _divide(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    divisor = constant_at(node, values).astype(np.float64)
    if not np.all(divisor):
        raise ModelError(
            f"node '{node.name}' ({node.op}) divides by zero; correct the constant and export the "
            "model again"
        )
    return builder.scaled(node.name, tensor_at(node, values), 1.0 / divisor)


def _negative(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    return builder.scaled(node.name, tensor_at(node, values), np.array(-1.0))


def _square(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    source = tensor_at(node, values)
    return builder.add(Square(name=node.name, inputs=(source,), shape=builder.shape(source)))


def _power(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    if np.any(constant_at(node, values) != 2):
        raise ModelError(
            f"node '{node.name}' (Pow): supported is the exponent 2; use a square, or a smooth "
            "activation of docs/models.md"
        )
    return _square(builder, node, values)


def _batch_norm(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    check_nhwc(node)
    if node.attr["is_training"].b:
        raise ModelError(
            f"node '{node.name}' ({node.op}) is in training mode: freeze the model for inference"
        )
    gamma, beta, mean, variance = (
        constant_at(node, values, place).astype(np.float64) for place in range(1, 5)
    )
    factor = gamma / np.sqrt(variance + node.attr["epsilon"].f)
    scaled = builder.scaled(f"{node.name}/scale", tensor_at(node, values), factor)
    return builder.shifted(node.name, scaled, beta - mean * factor)


def _relu(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    source = tensor_at(node, values)
    return builder.add(Relu(name=node.name, inputs=(source,), shape=builder.shape(source)))


def _relu6(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    source = tensor_at(node, values)
    shape = builder.shape(source)
    return builder.add(BoundedRelu(name=node.name, inputs=(source,), shape=shape, cap=6.0))


def _leaky_relu(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    source, slope = tensor_at(node, values), float(node.attr["alpha"].f)
    if not 0 <= slope < 1:
        raise ModelError(
            f"node '{node.name}' (LeakyRelu) has alpha {slope}; allowed is [0, 1): train with such "
            "a slope"
        )
    shape = builder.shape(source)
    return builder.add(LeakyRelu(name=node.name, inputs=(source,), shape=shape, slope=slope))


def _smooth(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    source = tensor_at(node, values)
    return builder.add(
        PiecewiseLinear(
            name=node.name,
            inputs=(source,),
            shape=builder.shape(source),
            function=function_of(node),
        )
    )


def _pool(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    check_nhwc(node)
    source = tensor_at(node, values)
    shape = image_shape(builder, node, source)
    size, strides = pair_of(node, "ksize"), pair_of(node, "strides")
    padding = padding_of(node, shape, size)
    sides = sides_of(node, shape, size, padding)
    kind = MaxPool if node.op == "MaxPool" else AvgPool
    return builder.add(
        kind(
            name=node.name,
            inputs=(source,),
            shape=(*sides, shape[2]),
            window=size,
            strides=strides,
            padding=padding,
        )
    )


def _mean(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    source = tensor_at(node, values)
    height, width, channels = image_shape(builder, node, source)
    axes = sorted(int(axis) % 4 for axis in np.ravel(constant_at(node, values)))
    if axes != [1, 2]:
        raise ModelError(f"node '{node.name}' (Mean) is over axes {axes}; supported is [1, 2]")
    pooled = builder.add(
        AvgPool(
            name=f"{node.name}/pool",
            inputs=(source,),
            shape=(1, 1, channels),
            window=(height, width),
            strides=(1, 1),
        )
    )
    shape = (1, 1, channels) if node.attr["keep_dims"].b else (channels,)
    return builder.add(Reshape(name=node.name, inputs=(pooled,), shape=shape))


def _cast(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    """From pixels in bytes to floats; the reals stay what they are."""
    if not load_tensorflow().as_dtype(node.attr["DstT"].type).is_floating:
        raise ModelError(
            f"node '{node.name}' (Cast) rounds a value that depends on the query; keep such values "
            "in floating point"
        )
    return tensor_at(node, values)


OPERATIONS: dict[str, Convert] = {
    "Add": _add,
    "AddN": _add_n,
    "AddV2": _add,
    "AvgPool": _pool,
    "BatchToSpaceND": batch_to_space,
    "BiasAdd": _bias_add,
    "Cast": _cast,
    "ConcatV2": concat,
    "Conv2D": conv2d,
    "DepthwiseConv2dNative": depthwise_conv2d,
    "ExpandDims": expand_dims,
    "FusedBatchNorm": _batch_norm,
    "FusedBatchNormV2": _batch_norm,
    "FusedBatchNormV3": _batch_norm,
    "LeakyRelu": _leaky_relu,
    "MatMul": _matmul,
    "MaxPool": _pool,
    "Mean": _mean,
    "Mul": _mul,
    "Neg": _negative,
    "Pad": pad,
    "PadV2": pad,
    "Pow": _power,
    "RealDiv": _divide,
    "Relu": _relu,
    "Relu6": _relu6,
    "Reshape": reshape,
    "SpaceToBatchND": space_to_batch,
    "Square": _square,
    "Squeeze": squeeze,
    "Sub": _sub,
    "Transpose": transpose,
    **dict.fromkeys([SPELLED_OUT, *NAMED], _smooth),
}
