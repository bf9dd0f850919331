"""--calibration reaches the models that are served, and leaves those that are compared alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from capc.errors import ModelError
from capc.graph.layers import BoundedRelu, Network
from capc.graph.prepared import load_network
from capc.harness.models import model_files, prepared_models
from capc.harness.settings import parse_settings

pytestmark = pytest.mark.usefixtures("prepare_here")


def kinds(network: Network) -> set[type]:
    return {type(layer) for layer in network.layers}


def test_served_and_compared_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPC_CACHE", str(tmp_path))
    said: list[str] = []
    read: list[Path] = []

    def load(path: Path) -> Network:
        network = load_network(path)
        read.append(path)
        return network

    monkeypatch.setattr("capc.harness.models.load_network", load)
    np.save(tmp_path / "examples.npy", np.full((2, 28, 28), 0.5, np.float32))
    flags = ["--n_parties=2", "--ignore_parties", f"--calibration={tmp_path / 'examples.npy'}"]
    settings = parse_settings([*flags, "--calibration_margin=4"])
    files = model_files(settings, said.append)
    for _ in range(2):  # the second time from the cache
        models = prepared_models(settings, files, said.append)
        assert len(read) == len(set(read)) == 2
        assert models.files[0] in read
        read.clear()
    assert said == ["preparing 1 model"]
    assert models.files == [models.files[0]] * 2
    assert BoundedRelu in kinds(models.calibrated[0])
    assert models.calibrated[0] is models.calibrated[1]
    assert BoundedRelu not in kinds(models.originals[0])
    assert parse_settings(flags).calibration != settings.calibration
    np.save(tmp_path / "examples.npy", np.zeros((2, 14, 14), np.float32))
    with pytest.raises(ModelError, match=r"has the shape \(2, 14, 14\); the model takes"):
        prepared_models(settings, files, said.append)


def test_without_calibration_a_model_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = parse_settings(["--n_parties=3", "--ignore_parties"])
    monkeypatch.setenv("CAPC_CACHE", str(tmp_path))
    models = prepared_models(settings, model_files(settings, lambda _: None), lambda _: None)
    assert len({id(network) for network in (*models.calibrated, *models.originals)}) == 1
    models.files[0].write_bytes(b"damaged")
    said: list[str] = []
    again = prepared_models(settings, model_files(settings, said.append), said.append)
    assert said == ["preparing 1 model"]
    assert again.files == models.files
