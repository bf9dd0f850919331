"""What to do about an operation of ONNX that no layer stands for."""

from __future__ import annotations

from capc.graph.tensorflow.refusals import ANY_WAY_OUT

_CONTROL_FLOW = (
    "control flow does not run encrypted: export the model for inference with a fixed image size, "
    "so that no branch or loop is left"
)
_INTEGERS = "quantised models do not run here: export the model with floating-point weights"
_LABELS = "name the logits before it with --output_node: the protocol takes the argmax itself"
_NORMALISATION = "use batch normalisation, whose statistics are constants"
_PREPROCESSING = "do this to the images before they enter the model"
_RANDOM = "export the model for inference: model.eval() before torch.onnx.export"
_RECURRENT = "recurrent layers do not run here: unroll them, or use convolutions"
_TREES = "decision trees and kernels do not run here: use a linear model or a neural network"

RANDOM = (
    *("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike"),
    *("RandomUniform", "RandomUniformLike"),
)
CONTROL_FLOW = ("If", "Loop", "Scan", "SequenceMap")

WAYS_OUT = {
    **dict.fromkeys(CONTROL_FLOW, _CONTROL_FLOW),
    **dict.fromkeys(RANDOM, _RANDOM),
    **dict.fromkeys(("ArgMax", "ArgMin", "TopK", "Hardmax", "OneHot", "LabelEncoder"), _LABELS),
    **dict.fromkeys(("Resize", "Upsample", "ImageDecoder", "GridSample"), _PREPROCESSING),
    **dict.fromkeys(("GRU", "LSTM", "RNN"), _RECURRENT),
    **dict.fromkeys(
        ("TreeEnsembleClassifier", "TreeEnsemble", "TreeEnsembleRegressor", "SVMClassifier"), _TREES
    ),
    **dict.fromkeys(
        (
            *("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv"),
            *("QLinearMatMul", "ConvInteger", "MatMulInteger"),
        ),
        _INTEGERS,
    ),
    **dict.fromkeys(
        (
            *("LRN", "LayerNormalization", "InstanceNormalization", "GroupNormalization"),
            *("MeanVarianceNormalization", "LpNormalization", "RMSNormalization", "Sqrt"),
        ),
        _NORMALISATION,
    ),
    "Softmax": (
        "inside a network it has no circuit: only at the end it is dropped; take it out, or end at "
        "the logits before it with --output_node"
    ),
}


def way_out(op: str) -> str:
    """What to do about an operation that is not supported."""
    return WAYS_OUT.get(op, ANY_WAY_OUT)
