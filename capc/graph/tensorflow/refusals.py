"""What to do about an operation that no layer stands for."""

from __future__ import annotations

ANY_WAY_OUT = "replace it in the model, or name an earlier node with --output_node"

_CONTROL_FLOW = (
    "control flow does not run encrypted: freeze the model for inference, so that no branch or "
    "loop is left"
)
_VARIABLE = "it is a variable: freeze the model, so that variables become constants"
_PREPROCESSING = "do this to the images before they enter the model"
_LABELS = "name the logits before it with --output_node: the protocol takes the argmax itself"
_RANDOM = "export the model for inference (training=False)"
_NORMALISATION = "use batch normalisation, whose statistics are constants"
_CHOICE = (
    "a choice between values has no circuit: write max(x, 0) as ReLU, a slope below it as LeakyReLU"
)
_QUANTISED = "take the quantisation of training out, and save the model with its float weights"

CONTROL_FLOW = (
    *("If", "StatelessIf", "While", "StatelessWhile", "Case", "Switch", "Merge", "Enter"),
    *("Exit", "NextIteration", "LoopCond", "RefSwitch", "RefMerge"),
)

WAYS_OUT = {
    **dict.fromkeys(CONTROL_FLOW, _CONTROL_FLOW),
    **dict.fromkeys(("VarHandleOp", "ReadVariableOp", "VariableV2", "Variable"), _VARIABLE),
    **dict.fromkeys(
        (
            *("DecodeJpeg", "DecodePng", "DecodeImage", "ParseExample", "ParseExampleV2"),
            *("ResizeBilinear", "ResizeNearestNeighbor", "ResizeBicubic", "CropAndResize"),
        ),
        _PREPROCESSING,
    ),
    **dict.fromkeys(("ArgMax", "ArgMin", "TopKV2", "InTopK", "InTopKV2", "OneHot"), _LABELS),
    **dict.fromkeys(
        ("RandomUniform", "RandomStandardNormal", "StatelessRandomUniformV2", "Multinomial"),
        _RANDOM,
    ),
    **dict.fromkeys(("Rsqrt", "Sqrt", "LRN", "SquaredDifference", "L2Loss"), _NORMALISATION),
    **dict.fromkeys(("Select", "SelectV2"), _CHOICE),
    **dict.fromkeys(
        (
            *("FakeQuantWithMinMaxArgs", "FakeQuantWithMinMaxVars", "QuantizeAndDequantizeV4"),
            "FakeQuantWithMinMaxVarsPerChannel",
        ),
        _QUANTISED,
    ),
    "Exp": (
        "at the end, alone or over its sum, it moves no label: name the logits before it with "
        "--output_node"
    ),
    "Log": "at the end it is dropped, where it is of a softmax; " + ANY_WAY_OUT,
    "Softmax": (
        "inside a network it has no circuit: only at the end it is dropped; take it out, or end at "
        "the logits before it with --output_node"
    ),
    "Placeholder": "a classifier has one input: make the second one a constant",
}
