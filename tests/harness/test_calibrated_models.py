"""--calibration reaches the models that are served, and leaves those that are compared alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from capc.errors import ModelError
from capc.graph.layers import BoundedRelu
from capc.graph.prepared import load_network
from capc.harness.models import float_files, model_files, prepared_files
from capc.harness.settings import parse_settings


def kinds(path: Path) -> set[type]:
    return {type(layer) for layer in load_network(path).layers}


def test_served_and_compared_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPC_CACHE", str(tmp_path))
    said: list[str] = []
    np.save(tmp_path / "examples.npy", np.full((2, 28, 28), 0.5, np.float32))
    flags = ["--n_parties=2", "--ignore_parties", f"--calibration={tmp_path / 'examples.npy'}"]
    settings = parse_settings([*flags, "--calibration_margin=4"])
    models = model_files(settings, said.append)
    for _ in range(2):  # the second time from the cache
        served = prepared_files(settings, models, said.append)
    assert said == ["preparing 1 model"]
    assert len(served) == 2
    assert BoundedRelu in kinds(served[0])
    compared = float_files(settings, models)
    assert BoundedRelu not in kinds(compared[0])
    assert parse_settings(flags).calibration != settings.calibration
    np.save(tmp_path / "examples.npy", np.zeros((2, 14, 14), np.float32))
    with pytest.raises(ModelError, match=r"has the shape \(2, 14, 14\); the model takes"):
        prepared_files(settings, models, said.append)
