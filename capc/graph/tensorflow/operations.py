"""TensorFlow's operations, each as layers: what the attributes mean, and which are refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from capc.errors import ModelError
from capc.graph.layers import (
    Add,
    AvgPool,
    BoundedRelu,
    Conv2D,
    Dense,
    LeakyRelu,
    MaxPool,
    Negative,
    PiecewiseLinear,
    Relu,
    Step,
)
from capc.graph.piecewise import SELU_SCALE
from capc.graph.tensorflow.activations import NAMED, SPELLED_OUT, function_of
from capc.graph.tensorflow.builder import Builder, Constant, Value
from capc.graph.tensorflow.convolutions import (
    batch_to_space,
    conv2d,
    depthwise_conv2d,
    space_to_batch,
)
from capc.graph.tensorflow.folding import BATCH, FOLDS
from capc.graph.tensorflow.joins import concat, mirror_pad, pack, pad
from capc.graph.tensorflow.loader import load_tensorflow
from capc.graph.tensorflow.movements import (
    as_shape,
    expand_dims,
    reshape,
    squeeze,
    transpose,
)
from capc.graph.tensorflow.operands import (
    Convert,
    check_nhwc,
    constant_at,
    image_shape,
    padding_of,
    pair_of,
    per_channel,
    sides_of,
    tensor_at,
)
from capc.graph.tensorflow.pairs import absolute, add, maximum, minimum, multiply, square, subtract
from capc.graph.tensorflow.reductions import reduced
from capc.graph.tensorflow.selections import (
    broadcast_to,
    gather,
    reverse,
    slice_operation,
    split,
    strided_slice,
    tile,
)

WITHIN_SPACE_TO_BATCH = {
    *("BatchToSpaceND", "BiasAdd", "Conv2D", "DepthwiseConv2dNative"),
    *("ExpandDims", "Squeeze"),  # of a signal, around its convolution
}
WITHIN_ROWS = {"MatMul", "Reshape"}
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

_LIKE = {"OnesLike": 1.0, "ZerosLike": 0.0}


def constant_of(node: Any, values: Sequence[Value], builder: Builder) -> Constant | None:
    """The value of a node that does not depend on the query, else None.

    The shape of a value that does is constant too, but for the batch axis, which reads BATCH.
    """
    if node.op == "Const":
        constant: Constant = load_tensorflow().make_ndarray(node.attr["value"].tensor)
        return constant
    if node.op == "Shape" and isinstance(values[0], str):
        return np.array([BATCH, *builder.shape(values[0])])
    if node.op in _LIKE and isinstance(values[0], str):
        return np.full((1, *builder.shape(values[0])), _LIKE[node.op])
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
    if source in builder.rows and weight.shape[:-1] == shape[1:]:
        return _rows_times(builder, node, source, weight)
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


def _rows_times(builder: Builder, node: Any, source: str, weight: Constant) -> str:
    """A Dense layer on each of several rows of one image: a 1x1 convolution."""
    rows, depth = builder.shape(source)
    width = weight.shape[1]
    image = as_shape(builder, node, source, (rows, 1, depth))
    kernel = weight.astype(np.float64).reshape(1, 1, depth, width)
    name = builder.unused(node.name)
    builder.add(Conv2D(name, (image,), (rows, 1, width), kernel=kernel, bias=np.zeros(width)))
    result = as_shape(builder, node, name, (rows, width))
    builder.rows.add(result)
    return result


def _bias_add(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    source = tensor_at(node, values)
    offset = per_channel(node, constant_at(node, values), builder.shape(source))
    return builder.shifted(node.name, source, offset)


def _divide(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    divisor = constant_at(node, values).astype(np.float64)
    if not np.all(divisor):
        raise ModelError(
            f"node '{node.name}' ({node.op}) divides by zero; correct the constant and export the "
            "model again"
        )
    return builder.scaled(node.name, tensor_at(node, values), 1.0 / divisor)


def _negative(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    return builder.negated(node.name, tensor_at(node, values))


def _power(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    if np.any(constant_at(node, values) != 2):
        raise ModelError(
            f"node '{node.name}' (Pow): supported is the exponent 2; use a square, or a smooth "
            "activation of docs/models.md"
        )
    return square(builder, node, values)


def _batch_norm(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    source = tensor_at(node, values)
    if node.attr["is_training"].b:
        raise ModelError(
            f"node '{node.name}' ({node.op}) is in training mode: freeze the model for inference"
        )
    gamma, beta, mean, variance = (
        per_channel(node, constant_at(node, values, place), builder.shape(source))
        for place in range(1, 5)
    )
    factor = gamma / np.sqrt(variance + node.attr["epsilon"].f)
    scaled = builder.scaled(f"{node.name}/scale", source, factor)
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


def _compared(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    """x >= c is a step of x - c, x <= c one of c - x; x > c and x < c are one less the other."""
    place = 0 if isinstance(values[0], str) else 1
    source, bound = tensor_at(node, values, place), constant_at(node, values, 1 - place)
    above = (node.op in {"Greater", "GreaterEqual"}) == (place == 0)
    strict = node.op in {"Greater", "Less"}
    if above == strict:  # the step is of c - x
        source = builder.negated(f"{node.name}/negated", source)
        bound = -bound
    less = builder.shifted(f"{node.name}/shifted", source, -bound.astype(np.float64))
    name = builder.unused(f"{node.name}/step") if strict else node.name
    step = builder.add(Step(name=name, inputs=(less,), shape=builder.shape(less)))
    if not strict:
        return step
    return builder.shifted(node.name, builder.negated(f"{node.name}/rest", step), np.array(1.0))


def _sign(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    """1, 0 or -1: a step of x less a step of -x."""
    source = tensor_at(node, values)
    shape = builder.shape(source)
    other = builder.add(Negative(builder.unused(f"{node.name}/negated"), (source,), shape))
    steps = [
        builder.add(Step(builder.unused(f"{node.name}/step"), (of,), shape))
        for of in (source, other)
    ]
    minus = builder.add(Negative(builder.unused(f"{node.name}/minus"), (steps[1],), shape))
    return builder.add(Add(name=node.name, inputs=(steps[0], minus), shape=shape))


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


def _selu(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    """1.0507 times the function with slope 1 above zero."""
    source = tensor_at(node, values)
    name, shape = builder.unused(f"{node.name}/unscaled"), builder.shape(source)
    unscaled = builder.add(PiecewiseLinear(name, (source,), shape, function="selu_unscaled"))
    return builder.scaled(node.name, unscaled, np.array(SELU_SCALE))


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


def _cast(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    """From pixels in bytes to floats; the reals stay what they are."""
    if not load_tensorflow().as_dtype(node.attr["DstT"].type).is_floating:
        raise ModelError(
            f"node '{node.name}' (Cast) rounds a value that depends on the query; keep such values "
            "in floating point"
        )
    return tensor_at(node, values)


OPERATIONS: dict[str, Convert] = {
    "Abs": absolute,
    "Add": add,
    "AddN": add,
    "AddV2": add,
    "AvgPool": _pool,
    "BatchToSpaceND": batch_to_space,
    "BiasAdd": _bias_add,
    "BroadcastTo": broadcast_to,
    "Cast": _cast,
    "ConcatV2": concat,
    "Conv2D": conv2d,
    "DepthwiseConv2dNative": depthwise_conv2d,
    "ExpandDims": expand_dims,
    "FusedBatchNorm": _batch_norm,
    "FusedBatchNormV2": _batch_norm,
    "FusedBatchNormV3": _batch_norm,
    "GatherV2": gather,
    "Greater": _compared,
    "GreaterEqual": _compared,
    "LeakyRelu": _leaky_relu,
    "Less": _compared,
    "LessEqual": _compared,
    "MatMul": _matmul,
    "Max": reduced,
    "MaxPool": _pool,
    "Maximum": maximum,
    "Mean": reduced,
    "Min": reduced,
    "Minimum": minimum,
    "MirrorPad": mirror_pad,
    "Mul": multiply,
    "Neg": _negative,
    "Pack": pack,
    "Pad": pad,
    "PadV2": pad,
    "Pow": _power,
    "RealDiv": _divide,
    "Relu": _relu,
    "Relu6": _relu6,
    "Reshape": reshape,
    "ReverseV2": reverse,
    "Selu": _selu,
    "Sign": _sign,
    "Slice": slice_operation,
    "SpaceToBatchND": space_to_batch,
    "Split": split,
    "SplitV": split,
    "Square": square,
    "Squeeze": squeeze,
    "StridedSlice": strided_slice,
    "Sub": subtract,
    "Sum": reduced,
    "Tile": tile,
    "Transpose": transpose,
    "Unpack": split,
    **dict.fromkeys([SPELLED_OUT, *NAMED], _smooth),
}
