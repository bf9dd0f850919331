"""Graphs of a node or a few: each operation and attribute of ONNX that is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx_graphs import FLOAT, OPSET, helper, node, uniform

IMAGE = ("N", 4, 7, 6)
LINE = ("N", 4, 9)
ROW = ("N", 12)


@dataclass(frozen=True)
class Case:
    """A graph with the output y."""

    nodes: Sequence[Any]
    shape: Sequence[int | str] = IMAGE
    constants: dict[str, Any] = field(default_factory=dict)
    opset: int = OPSET


def pads(*pixels: int) -> Any:
    """A constant of whole numbers: pads, axes, a shape."""
    return np.array(pixels, dtype=np.int64)


def conv(weights: Any, shape: Sequence[int | str] = IMAGE, **attributes: Any) -> Case:
    """A convolution with a bias."""
    constants = {"w": weights, "b": uniform(len(weights), seed=2)}
    return Case([node("Conv", "x", "w", "b", **attributes)], shape, constants)


def one(op: str, shape: Sequence[int | str] = IMAGE, opset: int = OPSET, **attributes: Any) -> Case:
    """A node of x alone."""
    return Case([node(op, "x", **attributes)], shape, opset=opset)


def two(op: str, *others: Any, shape: Sequence[int | str] = IMAGE, **attributes: Any) -> Case:
    """A node of x and of constants."""
    constants = {f"c{place}": value for place, value in enumerate(others)}
    return Case([node(op, "x", *constants, **attributes)], shape, constants)


K3 = uniform(6, 4, 3, 3)
LINEAR = uniform(12, 5)
NORM = {
    "s": uniform(4, seed=3),
    "t": uniform(4, seed=4),
    "m": uniform(4, seed=5),
    "v": np.abs(uniform(4, seed=6)) + 0.5,
}
NORMAL = ("s", "t", "m", "v")

CONVOLUTIONS = {
    "conv": conv(K3),
    "conv without bias": Case([node("Conv", "x", "w")], IMAGE, {"w": K3}),
    "conv strides": conv(K3, strides=[2, 3]),
    "conv pads": conv(K3, pads=[1, 2, 0, 1]),
    "conv dilations": conv(K3, dilations=[2, 1]),
    "conv kernel shape": conv(K3, kernel_shape=[3, 3]),
    "conv same upper": conv(uniform(6, 4, 2, 4), auto_pad="SAME_UPPER", strides=[2, 2]),
    "conv same lower": conv(uniform(6, 4, 2, 4), auto_pad="SAME_LOWER", strides=[2, 2]),
    "conv valid": conv(K3, auto_pad="VALID"),
    "conv groups": conv(uniform(6, 2, 3, 3), group=2),
    "conv depthwise": conv(uniform(8, 1, 3, 3), group=4, pads=[1, 1, 1, 1]),
    "conv 1d": conv(uniform(6, 4, 3), LINE, strides=[2], pads=[1, 2]),
    "conv 1d dilated groups": conv(uniform(6, 2, 3), LINE, dilations=[3], group=2),
    "conv 1d same": conv(uniform(6, 4, 4), LINE, auto_pad="SAME_UPPER"),
    "gemm": Case([node("Gemm", "x", "w", "b")], ROW, {"w": LINEAR, "b": uniform(5)}),
    "gemm without C": Case([node("Gemm", "x", "w")], ROW, {"w": LINEAR}),
    "gemm scalar C": Case([node("Gemm", "x", "w", "b")], ROW, {"w": LINEAR, "b": uniform(1)}),
    "gemm row C": Case([node("Gemm", "x", "w", "b")], ROW, {"w": LINEAR, "b": uniform(1, 5)}),
    "gemm alpha beta": Case(
        [node("Gemm", "x", "w", "b", alpha=0.5, beta=-2.0)], ROW, {"w": LINEAR, "b": uniform(5)}
    ),
    "gemm transB": Case([node("Gemm", "x", "w", transB=1)], ROW, {"w": LINEAR.T.copy()}),
    "matmul": two("MatMul", LINEAR, shape=ROW),
    "matmul of rows": two("MatMul", LINEAR, shape=("N", 3, 12)),
    "matmul of images": two("MatMul", uniform(6, 3)),
    "normalised": Case([node("BatchNormalization", "x", *NORMAL, epsilon=0.1)], IMAGE, NORM),
    "normalised line": Case([node("BatchNormalization", "x", *NORMAL)], LINE, NORM),
    "normalised row": Case([node("BatchNormalization", "x", *NORMAL)], ("N", 4), NORM),
    "normalised conv": Case(
        [node("Conv", "x", "w", out="c"), node("BatchNormalization", "c", *NORMAL)],
        IMAGE,
        {"w": uniform(4, 4, 3, 3), **NORM},
    ),
}

ELEMENTWISE = {
    "add": two("Add", uniform(4, 1, 1)),
    "add batched constant": two("Add", uniform(1, 4, 1, 6)),
    "add element by element": two("Add", uniform(4, 7, 6)),
    "add after conv": Case(
        [node("Conv", "x", "w", out="c"), node("Add", "c", "k")],
        IMAGE,
        {"w": K3, "k": uniform(1, 6, 1, 1)},
    ),
    "add twice the same": Case([node("Add", "x", "x")]),
    "add of two": Case([node("Relu", "x", out="r"), node("Add", "x", "r")]),
    "constant first": Case([node("Sub", "k", "x")], IMAGE, {"k": uniform(4, 7, 1)}),
    "sub": two("Sub", uniform(7, 6)),
    "mul": two("Mul", uniform(4, 1, 1)),
    "mul element by element": two("Mul", uniform(4, 7, 6)),
    "mul line": two("Mul", uniform(4, 1), shape=LINE),
    "mul of two": Case([node("Tanh", "x", out="r"), node("Mul", "x", "r")], ROW),
    "excited": Case(
        [
            node("Conv", "x", "w", out="c"),
            node("GlobalAveragePool", "c", out="g"),
            node("Mul", "g", "c"),
        ],
        IMAGE,
        {"w": K3},
    ),
    "div": two("Div", uniform(4, 1, 1) + np.float32(2)),
    "neg": one("Neg"),
    "abs": one("Abs"),
    "sign": one("Sign", ROW),
    "pow": two("Pow", np.float32(2)),
    "max": two("Max", np.float32(0.25), uniform(4, 1, 1)),
    "max of two": Case([node("Neg", "x", out="n"), node("Max", "x", "n")], ROW),
    "min": two("Min", uniform(4, 1, 1)),
    "sum of three": Case(
        [node("Relu", "x", out="r"), node("Sum", "x", "r", "k")], ROW, {"k": uniform(12)}
    ),
}

ACTIVATIONS = {
    **{op.lower(): one(op) for op in ("Relu", "Tanh", "Softplus", "HardSwish", "Mish")},
    "sigmoid in the middle": Case(
        [node("Sigmoid", "x", out="s"), node("Gemm", "s", "w")], ROW, {"w": LINEAR}
    ),
    "elu": one("Elu"),
    "celu": one("Celu"),
    "selu": one("Selu"),
    "gelu": one("Gelu", opset=20),
    "gelu tanh": one("Gelu", opset=20, approximate="tanh"),
    "leaky default": one("LeakyRelu"),
    "leaky": one("LeakyRelu", alpha=0.3),
    "prelu one": two("PRelu", np.full((1,), 0.2, np.float32)),
    "prelu each": two("PRelu", uniform(4, 1, 1)),
    "hard sigmoid": one("HardSigmoid"),
    "hard sigmoid of torch": one("HardSigmoid", alpha=1 / 6, beta=0.5),
    "clip": two("Clip", np.float32(-0.5), np.float32(0.25)),
    "clip below": two("Clip", np.float32(-0.5)),
    "clip above": Case([node("Clip", "x", "", "k")], ROW, {"k": np.float32(0.3)}),
    "clip nothing": one("Clip", ROW),
    "relu6": two("Clip", np.float32(0), np.float32(6)),
    "clip of version 10": one("Clip", opset=10, min=0.0, max=0.5),
    "swish": Case([node("Sigmoid", "x", out="s"), node("Mul", "x", "s")]),
    "hard swish spelled out": Case(
        [
            node("Add", "x", "three", out="a"),
            node("Clip", "a", "zero", "six", out="c"),
            node("Mul", "x", "c", out="m"),
            node("Div", "m", "six"),
        ],
        ROW,
        {"zero": np.float32(0), "three": np.float32(3), "six": np.float32(6)},
    ),
}

POOLS = {
    "max": one("MaxPool", kernel_shape=[2, 3]),
    "max strides pads": one("MaxPool", kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 1]),
    "max ceil": one("MaxPool", kernel_shape=[2, 4], strides=[2, 3], ceil_mode=1),
    "max ceil beyond": one(
        "MaxPool", kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 1, 0], ceil_mode=1
    ),
    "max same": one("MaxPool", kernel_shape=[2, 2], auto_pad="SAME_LOWER", strides=[2, 2]),
    "max line": one("MaxPool", LINE, kernel_shape=[3], strides=[2]),
    "average": one("AveragePool", kernel_shape=[3, 2], strides=[2, 2]),
    "average without padding": one("AveragePool", kernel_shape=[3, 3], pads=[1, 1, 0, 2]),
    "average with padding": one(
        "AveragePool", kernel_shape=[3, 3], pads=[1, 1, 0, 2], count_include_pad=1
    ),
    "average line": one("AveragePool", LINE, kernel_shape=[2], pads=[1, 0], count_include_pad=1),
    "average ceil": one("AveragePool", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1, opset=19),
    "global average": one("GlobalAveragePool"),
    "global average line": one("GlobalAveragePool", LINE),
    "global max": one("GlobalMaxPool"),
    "mean": two("ReduceMean", pads(2, 3), keepdims=0),
    "mean kept": two("ReduceMean", pads(-1, -2), keepdims=1),
    "mean of channels": two("ReduceMean", pads(1), keepdims=0),
    "mean of a line": two("ReduceMean", pads(2), shape=LINE, keepdims=0),
    "mean of conv": Case(
        [node("Conv", "x", "w", out="c"), node("ReduceMean", "c", axes=[2, 3], keepdims=0)],
        IMAGE,
        {"w": K3},
        opset=13,
    ),
    "mean of conv over channels": Case(
        [node("Conv", "x", "w", out="c"), node("ReduceMean", "c", axes=[1], keepdims=1)],
        IMAGE,
        {"w": K3},
        opset=13,
    ),
    "sum": two("ReduceSum", pads(2), keepdims=0),
    "largest": one("ReduceMax", axes=[3], keepdims=0, opset=13),
    "least": one("ReduceMin", axes=[2, 3], keepdims=1, opset=13),
}

INT = np.int64
MOVEMENTS = {
    "flatten": one("Flatten"),
    "flatten conv": Case([node("Conv", "x", "w", out="c"), node("Flatten", "c")], IMAGE, {"w": K3}),
    "flatten negative": one("Flatten", axis=-3),
    "flatten line": Case(
        [node("Conv", "x", "w", out="c"), node("Flatten", "c")], LINE, {"w": uniform(6, 4, 3)}
    ),
    "reshape": two("Reshape", pads(-1, 4, 42)),
    "reshape kept": two("Reshape", pads(0, 0, -1)),
    "reshape conv": Case(
        [node("Conv", "x", "w", out="c"), node("Reshape", "c", "k")],
        IMAGE,
        {"w": K3, "k": pads(0, -1)},
    ),
    "channels last and back": Case(
        [
            node("Transpose", "x", out="a", perm=[0, 2, 3, 1]),
            node("Relu", "a", out="b"),
            node("Transpose", "b", out="c", perm=[0, 3, 1, 2]),
            node("Conv", "c", "w"),
        ],
        IMAGE,
        {"w": K3},
    ),
    "transposed otherwise": one("Transpose", perm=[0, 3, 2, 1]),
    "transposed line": Case(
        [node("Transpose", "x", out="a", perm=[0, 2, 1]), node("Conv", "a", "w")],
        ("N", 9, 4),
        {"w": uniform(6, 4, 3)},
    ),
    "line turned back": Case(
        [node("Conv", "x", "w", out="c"), node("Transpose", "c", perm=[0, 2, 1])],
        LINE,
        {"w": uniform(6, 4, 3)},
    ),
    "squeeze": Case([node("Squeeze", "x", "k")], ("N", 1, 7, 1), {"k": pads(1)}),
    "squeeze of version 11": one("Squeeze", ("N", 1, 7, 1), 11, axes=[-1]),
    "unsqueeze": Case([node("Unsqueeze", "x", "k")], ROW, {"k": pads(1, -1)}),
    "unsqueeze of version 11": one("Unsqueeze", ROW, 11, axes=[2]),
    "concat": Case([node("Relu", "x", out="r"), node("Concat", "x", "r", axis=1)]),
    "concat after conv": Case(
        [node("Conv", "x", "w", out="c"), node("Concat", "c", "x", axis=1)],
        IMAGE,
        {"w": uniform(6, 4, 1, 1)},
    ),
    "concat of rows": Case([node("Relu", "x", out="r"), node("Concat", "x", "r", axis=-2)]),
    "pad": two("Pad", pads(0, 1, 2, 0, 0, 0, 1, 3)),
    "pad conv": Case(
        [node("Conv", "x", "w", out="c"), node("Pad", "c", "k")],
        IMAGE,
        {"w": K3, "k": pads(0, 1, 2, 0, 0, 2, 1, 3)},
    ),
    "pad of version 10": one("Pad", opset=10, pads=[0, 0, 1, 1, 0, 0, 0, 2]),
    "pad axes": Case(
        [node("Pad", "x", "k", "", "a")], IMAGE, {"k": pads(1, 2, 0, 1), "a": pads(3, -2)}
    ),
    "pad reflect": two("Pad", pads(0, 0, 2, 1, 0, 0, 1, 2), mode="reflect"),
    "pad edge": two("Pad", pads(0, 0, 2, 1, 0, 0, 1, 2), mode="edge"),
    "pad wrap": Case(
        [node("Pad", "x", "k", mode="wrap")], IMAGE, {"k": pads(0, 0, 2, 1, 0, 0, 1, 2)}, 19
    ),
    "cut": two("Pad", pads(0, 0, -1, 0, 0, -1, 0, -2)),
    "slice": two("Slice", pads(1, 5), pads(3, 0), pads(1, 3), pads(1, -2)),
    "slice of all": two("Slice", pads(0, 2), pads(2**62, 2**62), pads(0, 2)),
    "slice backwards": two("Slice", pads(-1), pads(-(2**62)), pads(2), pads(-1)),
    "slice of version 9": one("Slice", opset=9, starts=[1], ends=[3], axes=[1]),
    "gather": two("Gather", np.array([3, 0, -1], INT), axis=1),
    "gather one": two("Gather", np.array(2, INT), axis=2),
    "gather table": two("Gather", np.array([[0, 1], [2, 3]], INT), axis=3),
    "split": Case(
        [node("Split", "x", "k", out=["a", "b"], axis=1), node("Concat", "b", "a", axis=1)],
        IMAGE,
        {"k": pads(1, 3)},
    ),
    "split in equal parts": Case(
        [
            node("Split", "x", out=["a", "b", "c"], axis=3, num_outputs=3),
            node("Add", "a", "c", out="s"),
            node("Sub", "s", "b"),
        ]
    ),
    "split of version 11": Case(
        [
            node("Split", "x", out=["a", "b"], axis=1, split=[3, 1]),
            node("Add", "a", "b"),
        ],
        opset=11,
    ),
    "expand": Case([node("Expand", "x", "k")], ("N", 4, 1, 6), {"k": pads(1, 4, 3, 6)}),
    "tile": two("Tile", pads(1, 2, 1, 3)),
    "depth to space": one("DepthToSpace", blocksize=2),
    "depth to space CRD": one("DepthToSpace", blocksize=2, mode="CRD"),
    "identity": one("Identity"),
    "dropout": one("Dropout"),
    "cast": one("Cast", to=FLOAT),
}

FOLDED = {
    "flattened by its shape": Case(
        [
            node("Conv", "x", "w", out="c"),
            node("Shape", "c", out="shape"),
            node("Gather", "shape", "zero", out="n", axis=0),
            node("Unsqueeze", "n", "first", out="row"),
            node("Concat", "row", "rest", out="wanted", axis=0),
            node("Reshape", "c", "wanted"),
        ],
        IMAGE,
        {"w": K3, "zero": np.array(0, INT), "first": pads(0), "rest": pads(-1)},
    ),
    "part of a shape": Case(
        [
            node("Shape", "x", out="shape", start=2),
            node("ReduceProd", "shape", out="pixels", keepdims=1),
            node("Concat", "head", "pixels", out="wanted", axis=0),
            node("Reshape", "x", "wanted"),
        ],
        IMAGE,
        {"head": pads(-1, 4)},
    ),
    "constant of a shape": Case(
        [
            node("Constant", out="size", value_ints=[4, 1, 1]),
            node(
                "ConstantOfShape",
                "size",
                out="k",
                value=helper.make_tensor("v", FLOAT, [1], [0.5]),
            ),
            node("Add", "x", "k"),
        ]
    ),
    "weights that are computed": Case(
        [
            node("Transpose", "v", out="w", perm=[1, 0]),
            node("Exp", "w", out="e"),
            node("MatMul", "x", "e"),
        ],
        ROW,
        {"v": uniform(5, 12)},
    ),
    "weights of eight bits": Case(
        [node("DequantizeLinear", "q", "s", "z", out="w"), node("MatMul", "x", "w")],
        ROW,
        {
            "q": np.arange(60, dtype=np.uint8).reshape(12, 5),
            "s": np.float32(0.02),
            "z": np.uint8(30),
        },
    ),
}

CASES = {
    f"{group}: {name}": case
    for group, cases in {
        "linear": CONVOLUTIONS,
        "element": ELEMENTWISE,
        "activation": ACTIVATIONS,
        "pool": POOLS,
        "movement": MOVEMENTS,
        "folded": FOLDED,
    }.items()
    for name, case in cases.items()
}
