"""TensorFlow's operations, each as layers: what the attributes mean, and which are refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from capc.errors import ModelError
from capc.graph.builder import Builder, Constant, Value
from capc.graph.folding import BATCH, FOLDS
from capc.graph.kernels import same_padding, window_shape
from capc.graph.layers import (
    Add,
    AvgPool,
    Concat,
    Conv2D,
    Dense,
    LeakyRelu,
    MaxPool,
    Pad,
    Relu,
    Relu6,
    Reshape,
    Shape,
    Square,
    Transpose,
)
from capc.graph.tensorflow_loader import load_tensorflow

Padding = tuple[tuple[int, int], tuple[int, int]]
Convert = Callable[[Builder, Any, Sequence[Value]], str]

PASSED_THROUGH = {
    "Identity",
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
        raise ModelError(f"node '{node.name}' ({node.op}) cannot be folded: {error}") from error


def _tensor(node: Any, values: Sequence[Value], place: int = 0) -> str:
    value = values[place]
    if not isinstance(value, str):
        raise ModelError(f"node '{node.name}' ({node.op}): input {place} must depend on the query")
    return value


def _constant(node: Any, values: Sequence[Value], place: int = 1) -> Constant:
    value = values[place]
    if isinstance(value, str):
        raise ModelError(f"node '{node.name}' ({node.op}): input {place} must be a constant")
    return value


def _check_nhwc(node: Any) -> None:
    layout = node.attr["data_format"].s.decode() or "NHWC"
    if layout != "NHWC":
        raise ModelError(
            f"node '{node.name}' ({node.op}) has data_format {layout}; supported is NHWC, "
            "channels last"
        )


def _image(builder: Builder, node: Any, source: str) -> Shape:
    shape = builder.shape(source)
    if len(shape) != 3:
        raise ModelError(
            f"node '{node.name}' ({node.op}) needs (height, width, channels) per image, got {shape}"
        )
    return shape


def _pair(node: Any, name: str) -> tuple[int, int]:
    """Height and width of an attribute that lists all four axes; (1, 1) where it is absent."""
    sizes = [int(size) for size in node.attr[name].list.i] or [1, 1, 1, 1]
    if len(sizes) != 4 or sizes[0] != 1 or sizes[3] != 1 or min(sizes) < 1:
        raise ModelError(f"node '{node.name}' ({node.op}) has {name} {sizes}")
    return sizes[1], sizes[2]


def _padding(
    node: Any, shape: Shape, size: tuple[int, int], dilations: tuple[int, int] = (1, 1)
) -> Padding:
    kind = node.attr["padding"].s.decode()
    if kind == "SAME":
        return same_padding(shape, size, _pair(node, "strides"), dilations)
    if kind == "VALID":
        return (0, 0), (0, 0)
    explicit = [int(pixels) for pixels in node.attr["explicit_paddings"].list.i]
    if kind != "EXPLICIT" or len(explicit) != 8 or any(explicit[:2] + explicit[6:]):
        raise ModelError(f"node '{node.name}' ({node.op}) has padding {kind} {explicit}")
    return (explicit[2], explicit[3]), (explicit[4], explicit[5])


def _convolution(builder: Builder, node: Any, values: Sequence[Value], *, depthwise: bool) -> str:
    _check_nhwc(node)
    source, kernel = _tensor(node, values), _constant(node, values)
    shape = _image(builder, node, source)
    rows, columns, depth, filters = kernel.shape
    if depthwise:
        kernel = kernel.reshape(rows, columns, 1, depth * filters)
        groups, fits = depth, depth == shape[2]
    else:
        groups, fits = shape[2] // depth, shape[2] % depth == 0
        fits = fits and filters % max(groups, 1) == 0
    if not fits:
        raise ModelError(
            f"node '{node.name}' ({node.op}): a kernel of {(rows, columns, depth, filters)} does "
            f"not fit an image of {shape}"
        )
    dilations = _pair(node, "dilations")
    padding = _padding(node, shape, (rows, columns), dilations)
    strides = _pair(node, "strides")
    sides = window_shape(shape, (rows, columns), strides, padding, dilations)
    filters = kernel.shape[3]
    return builder.add(
        Conv2D(
            name=node.name,
            inputs=(source,),
            shape=(*sides, filters),
            kernel=kernel.astype(np.float64),
            bias=np.zeros(filters),
            strides=strides,
            padding=padding,
            dilations=dilations,
            groups=groups,
        )
    )


def _conv2d(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    return _convolution(builder, node, values, depthwise=False)


def _depthwise(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    return _convolution(builder, node, values, depthwise=True)


def _matmul(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    source, weight = _tensor(node, values), _constant(node, values)
    if node.attr["transpose_a"].b or node.attr["adj_x"].b:
        raise ModelError(f"node '{node.name}' ({node.op}) transposes the batch: not supported")
    if node.attr["transpose_b"].b or node.attr["adj_y"].b:
        weight = np.swapaxes(weight, -1, -2)
    shape = builder.shape(source)
    if len(shape) != 1 or weight.ndim != 2 or weight.shape[0] != shape[0]:
        raise ModelError(
            f"node '{node.name}' ({node.op}): {shape} per image times {weight.shape} does not fit"
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
    _check_nhwc(node)
    return builder.shifted(node.name, _tensor(node, values), _constant(node, values))


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
        return builder.shifted(node.name, _tensor(node, values), -second)
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
    return builder.scaled(node.name, _tensor(node, values, 1), _constant(node, values, 0))


def _divide(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    divisor = _constant(node, values).astype(np.float64)
    if not np.all(divisor):
        raise ModelError(f"node '{node.name}' ({node.op}) divides by zero")
    return builder.scaled(node.name, _tensor(node, values), 1.0 / divisor)


def _negative(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    return builder.scaled(node.name, _tensor(node, values), np.array(-1.0))


def _square(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    source = _tensor(node, values)
    return builder.add(Square(name=node.name, inputs=(source,), shape=builder.shape(source)))


def _power(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    if np.any(_constant(node, values) != 2):
        raise ModelError(f"node '{node.name}' (Pow): supported is the exponent 2")
    return _square(builder, node, values)


def _batch_norm(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    _check_nhwc(node)
    if node.attr["is_training"].b:
        raise ModelError(
            f"node '{node.name}' ({node.op}) is in training mode: freeze the model for inference"
        )
    gamma, beta, mean, variance = (
        _constant(node, values, place).astype(np.float64) for place in range(1, 5)
    )
    factor = gamma / np.sqrt(variance + node.attr["epsilon"].f)
    scaled = builder.scaled(f"{node.name}/scale", _tensor(node, values), factor)
    return builder.shifted(node.name, scaled, beta - mean * factor)


def _relu(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    source = _tensor(node, values)
    return builder.add(Relu(name=node.name, inputs=(source,), shape=builder.shape(source)))


def _relu6(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    source = _tensor(node, values)
    return builder.add(Relu6(name=node.name, inputs=(source,), shape=builder.shape(source)))


def _leaky_relu(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    source, slope = _tensor(node, values), float(node.attr["alpha"].f)
    if not 0 <= slope < 1:
        raise ModelError(f"node '{node.name}' (LeakyRelu) has alpha {slope}; allowed is [0, 1)")
    shape = builder.shape(source)
    return builder.add(LeakyRelu(name=node.name, inputs=(source,), shape=shape, slope=slope))


def _pool(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    _check_nhwc(node)
    source = _tensor(node, values)
    shape = _image(builder, node, source)
    size, strides = _pair(node, "ksize"), _pair(node, "strides")
    padding = _padding(node, shape, size)
    sides = window_shape(shape, size, strides, padding)
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
    source = _tensor(node, values)
    height, width, channels = _image(builder, node, source)
    axes = sorted(int(axis) % 4 for axis in np.ravel(_constant(node, values)))
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


def _reshape(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    source = _tensor(node, values)
    wanted = [int(size) for size in np.ravel(_constant(node, values))]
    given = builder.shape(source)
    total = int(np.prod(given))
    rest = wanted[1:]
    if wanted and wanted[0] in {BATCH, 1} and rest.count(-1) <= 1:
        known = int(np.prod([size for size in rest if size != -1]))
        if -1 in rest and known > 0 and total % known == 0:
            rest[rest.index(-1)] = total // known
        if rest and min(rest) > 0 and int(np.prod(rest)) == total:
            return builder.add(Reshape(name=node.name, inputs=(source,), shape=tuple(rest)))
    raise ModelError(
        f"node '{node.name}' (Reshape) gives {given} per image the shape {wanted}: it must keep "
        "the batch axis and the number of elements"
    )


def _expand_dims(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    source = _tensor(node, values)
    shape = [0, *builder.shape(source)]
    axis = int(_constant(node, values))
    axis = axis + len(shape) + 1 if axis < 0 else axis
    if not 1 <= axis <= len(shape):
        raise ModelError(f"node '{node.name}' (ExpandDims) changes the batch axis")
    shape.insert(axis, 1)
    return builder.add(Reshape(name=node.name, inputs=(source,), shape=tuple(shape[1:])))


def _squeeze(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    source = _tensor(node, values)
    shape = [0, *builder.shape(source)]
    axes = {int(axis) % len(shape) for axis in node.attr["squeeze_dims"].list.i}
    axes = axes or {axis for axis in range(1, len(shape)) if shape[axis] == 1}
    if 0 in axes or any(shape[axis] != 1 for axis in axes):
        raise ModelError(f"node '{node.name}' (Squeeze) takes axes {sorted(axes)} from {shape}")
    rest = tuple(size for axis, size in enumerate(shape) if axis and axis not in axes)
    return builder.add(Reshape(name=node.name, inputs=(source,), shape=rest))


def _cast(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    """From pixels in bytes to floats; the reals stay what they are."""
    if not load_tensorflow().as_dtype(node.attr["DstT"].type).is_floating:
        raise ModelError(f"node '{node.name}' (Cast) rounds a value that depends on the query")
    return _tensor(node, values)


def _transpose(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    source = _tensor(node, values)
    order = [int(axis) for axis in np.ravel(_constant(node, values))]
    given = builder.shape(source)
    if order[:1] != [0] or sorted(order) != list(range(len(given) + 1)):
        raise ModelError(f"node '{node.name}' (Transpose) by {order} moves the batch axis")
    permutation = tuple(axis - 1 for axis in order[1:])
    shape = tuple(given[axis] for axis in permutation)
    return builder.add(
        Transpose(name=node.name, inputs=(source,), shape=shape, permutation=permutation)
    )


def _concat(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    sources = [_tensor(node, values, place) for place in range(len(values) - 1)]
    shapes = [builder.shape(source) for source in sources]
    axis = int(_constant(node, values, len(values) - 1))
    axis = axis + len(shapes[0]) + 1 if axis < 0 else axis
    rests = {(*shape[: axis - 1], *shape[axis:]) for shape in shapes}
    if not 1 <= axis <= len(shapes[0]) or len(rests) != 1:
        raise ModelError(f"node '{node.name}' (ConcatV2) joins {shapes} along axis {axis}")
    shape = list(shapes[0])
    shape[axis - 1] = sum(given[axis - 1] for given in shapes)
    return builder.add(
        Concat(name=node.name, inputs=tuple(sources), shape=tuple(shape), axis=axis - 1)
    )


def _pad(builder: Builder, node: Any, values: Sequence[Value]) -> str:
    source = _tensor(node, values)
    height, width, channels = _image(builder, node, source)
    pixels = _constant(node, values).tolist()
    if len(values) > 2 and np.any(_constant(node, values, 2)):
        raise ModelError(f"node '{node.name}' ({node.op}) pads with something else than zero")
    if len(pixels) != 4 or any(pixels[0]) or any(pixels[3]) or np.min(pixels) < 0:
        raise ModelError(f"node '{node.name}' ({node.op}) pads {pixels}; only height and width may")
    rows, columns = (pixels[1][0], pixels[1][1]), (pixels[2][0], pixels[2][1])
    shape = (height + sum(rows), width + sum(columns), channels)
    return builder.add(Pad(name=node.name, inputs=(source,), shape=shape, padding=(rows, columns)))


OPERATIONS: dict[str, Convert] = {
    "Add": _add,
    "AddN": _add_n,
    "AddV2": _add,
    "AvgPool": _pool,
    "BiasAdd": _bias_add,
    "Cast": _cast,
    "ConcatV2": _concat,
    "Conv2D": _conv2d,
    "DepthwiseConv2dNative": _depthwise,
    "ExpandDims": _expand_dims,
    "FusedBatchNorm": _batch_norm,
    "FusedBatchNormV2": _batch_norm,
    "FusedBatchNormV3": _batch_norm,
    "LeakyRelu": _leaky_relu,
    "MatMul": _matmul,
    "MaxPool": _pool,
    "Mean": _mean,
    "Mul": _mul,
    "Neg": _negative,
    "Pad": _pad,
    "PadV2": _pad,
    "Pow": _power,
    "RealDiv": _divide,
    "Relu": _relu,
    "Relu6": _relu6,
    "Reshape": _reshape,
    "Square": _square,
    "Squeeze": _squeeze,
    "Sub": _sub,
    "Transpose": _transpose,
}
