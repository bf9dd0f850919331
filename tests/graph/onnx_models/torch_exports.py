"""Small classifiers of PyTorch and their exports; run as a script, it makes the fixtures anew.

Needs torch and onnxscript: `python tests/graph/onnx_models/torch_exports.py`. Beside each model
lie some images and what PyTorch itself makes of them.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

FIXTURES = Path(__file__).parent / "fixtures"
EXPORTERS = ("script", "dynamo")
SHAPES = {"resnet": (1, 12, 12), "mobile": (3, 12, 10), "sequence": (3, 24), "mlp": (1, 6, 6)}
IMAGES = 4


def classifier(name: str) -> Any:
    """A classifier with random weights and statistics, always the same, in inference mode."""
    import torch  # noqa: PLC0415

    torch.manual_seed(3)
    model = {"resnet": _resnet, "mobile": _mobile, "sequence": _sequence, "mlp": _mlp}[name]()
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d | torch.nn.BatchNorm1d):
            layer.running_mean.uniform_(-0.2, 0.2)
            layer.running_var.uniform_(0.5, 1.5)
    return model.eval()


def export(name: str, exporter: str, path: Path) -> None:
    """Write a classifier's ONNX file by one of PyTorch's two exporters, with an open batch size."""
    import torch  # noqa: PLC0415

    example = torch.zeros(2, *SHAPES[name])
    batch: dict[str, Any] = {"dynamic_axes": {"input": {0: "batch"}}, "dynamo": False}
    if exporter == "dynamo":
        batch = {"dynamic_shapes": ({0: torch.export.Dim("batch")},), "dynamo": True}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            classifier(name), (example,), path, input_names=["input"], verbose=False, **batch
        )


def expected(name: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Images, and PyTorch's logits of them."""
    import torch  # noqa: PLC0415

    images = np.random.default_rng(5).uniform(0, 1, (IMAGES, *SHAPES[name])).astype(np.float32)
    with torch.no_grad():
        return images, classifier(name)(torch.from_numpy(images)).numpy()


def _resnet() -> Any:
    from torch import nn  # noqa: PLC0415

    class Block(nn.Module):  # type: ignore[misc, unused-ignore]
        def __init__(self, given: int, made: int) -> None:
            super().__init__()
            self.first = nn.Conv2d(given, made, 3, stride=2, padding=1, bias=False)
            self.norm = nn.BatchNorm2d(made)
            self.second = nn.Conv2d(made, made, 3, padding=1)
            self.short = nn.Conv2d(given, made, 1, stride=2)

        def forward(self, x: Any) -> Any:
            inner = nn.functional.relu(self.norm(self.first(x)))
            return nn.functional.relu(self.second(inner) + self.short(x))

    stem = (nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
    return nn.Sequential(*stem, Block(4, 6), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5))


def _mobile() -> Any:
    from torch import nn  # noqa: PLC0415

    class Gate(nn.Module):  # type: ignore[misc, unused-ignore]
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.pool = nn.AdaptiveAvgPool2d(1)
            self.down, self.up = nn.Conv2d(channels, 2, 1), nn.Conv2d(2, channels, 1)

        def forward(self, x: Any) -> Any:
            inner = nn.functional.relu(self.down(self.pool(x)))
            return x * nn.functional.hardsigmoid(self.up(inner))

    return nn.Sequential(
        *(nn.Conv2d(3, 6, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(6), nn.Hardswish()),
        *(nn.Conv2d(6, 6, 3, padding=1, groups=6, bias=False), nn.BatchNorm2d(6), nn.ReLU6()),
        *(Gate(6), nn.Conv2d(6, 8, 1), nn.SiLU(), nn.AvgPool2d(2, padding=1)),
        *(nn.Flatten(), nn.Dropout(), nn.Linear(8 * 4 * 3, 5)),
    )


def _sequence() -> Any:
    from torch import nn  # noqa: PLC0415

    return nn.Sequential(
        *(nn.Conv1d(3, 4, 5, padding=2), nn.BatchNorm1d(4), nn.ReLU(), nn.MaxPool1d(2)),
        *(nn.Conv1d(4, 4, 3, dilation=2, groups=2), nn.GELU(), nn.AdaptiveAvgPool1d(1)),
        *(nn.Flatten(), nn.Linear(4, 3)),
    )


def _mlp() -> Any:
    from torch import nn  # noqa: PLC0415

    return nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.ReLU(), nn.Linear(8, 4))


def _make() -> None:
    FIXTURES.mkdir(exist_ok=True)
    for name, exporter in (("resnet", "script"), ("mobile", "dynamo"), ("mlp", "dynamo")):
        export(name, exporter, FIXTURES / f"{name}.onnx")
        images, logits = expected(name)
        np.savez_compressed(FIXTURES / f"{name}.npz", images=images, logits=logits)


if __name__ == "__main__":
    _make()
