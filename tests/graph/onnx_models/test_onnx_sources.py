"""ONNX files from disk: weights beside them, damage, missing packages, names, the cache."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_graphs import helper, model, node, onnx, read, run, uniform, write

from capc.errors import ConfigError, ModelError
from capc.graph import prepared
from capc.graph.float_reference import evaluate_float
from capc.graph.model_names import find_model, is_path, model_at, models_in
from capc.graph.onnx import loader, sources
from capc.graph.prepared import cache_key, prepare
from capc.graph.tensorflow.names import DEFAULT_INPUT, DEFAULT_OUTPUT
from capc.machine import package_version

NODES = DEFAULT_INPUT, DEFAULT_OUTPUT
WEIGHTS = uniform(12, 5)


def dense(path: Path) -> Path:
    return write(model([node("Gemm", "x", "w")], ("N", 12), {"w": WEIGHTS}), path)


def with_weights_beside(path: Path, location: str = "model.bin") -> Path:
    """The same model, with its weights in another file."""
    made = model([node("Gemm", "x", "w")], ("N", 12), {"w": WEIGHTS})
    (path.parent / "model.bin").write_bytes(WEIGHTS.tobytes())
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location
    return write(made, path)


def key(path: Path) -> str:
    return cache_key(path, *NODES)


def test_weights_beside_the_model_are_read_and_are_part_of_the_cache_key(tmp_path: Path) -> None:
    path = with_weights_beside(tmp_path / "model.onnx")
    images = uniform(3, 12)
    np.testing.assert_allclose(evaluate_float(read(path), images), run(path, images), atol=1e-5)
    before = key(path)
    assert key(path) == before
    (tmp_path / "model.bin").write_bytes((-WEIGHTS).tobytes())
    assert key(path) != before


@pytest.mark.parametrize("location", ["../model.bin", "/etc/hostname", "below/../../model.bin", ""])
def test_weights_elsewhere_are_refused(tmp_path: Path, location: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    path = with_weights_beside(folder / "model.onnx", location)
    for use in (read, key):
        with pytest.raises(ModelError, match="supported are files beside it, or below"):
            use(path)


def test_missing_and_short_weights_are_refused(tmp_path: Path) -> None:
    path = with_weights_beside(tmp_path / "model.onnx")
    (tmp_path / "model.bin").write_bytes(WEIGHTS.tobytes()[:-4])
    with pytest.raises(ModelError, match=r"export (it|the model) again"):
        read(path)
    (tmp_path / "model.bin").unlink()
    with pytest.raises(ModelError, match="keep the two files together"):
        read(path)
    os.mkfifo(tmp_path / "model.bin")
    with pytest.raises(ModelError, match="no regular file"):
        read(path)


@pytest.mark.parametrize("content", [b"", b"no model", b"\x08\x08", os.urandom(200)])
def test_what_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.onnx is not (an ONNX model|a valid ONNX model)"):
        read(path)


def test_a_damaged_model_never_ends_in_another_error(tmp_path: Path) -> None:
    content = bytearray(dense(tmp_path / "model.onnx").read_bytes())
    random = np.random.default_rng(1)
    for _ in range(60):
        damaged = bytearray(content)
        for place in random.integers(0, len(content), 3):
            damaged[place] = random.integers(0, 256)
        (tmp_path / "model.onnx").write_bytes(damaged)
        try:
            read(tmp_path / "model.onnx")
        except (ModelError, ConfigError):
            continue


def test_pipes_folders_and_absent_files_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    for name in ("pipe.onnx", "absent.onnx"):
        with pytest.raises(ModelError, match="cannot be read"):
            read(tmp_path / name)


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_package_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    path = dense(tmp_path / "model.onnx")
    monkeypatch.setitem(sys.modules, package, None)
    for name in [name for name in sys.modules if name.startswith(f"{package}.")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ConfigError) as caught:
        read(path)
    said = str(caught.value)
    assert said.startswith(f"an ONNX model needs the package {package}, which does not load")
    assert said.endswith("install it with: pip install 'capc[onnx]'")
    assert "\n" not in said


def test_versions_of_onnx_and_onnxruntime_are_part_of_the_cache_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = dense(tmp_path / "model.onnx")
    keys = {key(path)}
    real = package_version
    for package in ("onnx", "onnxruntime"):
        monkeypatch.setattr(
            prepared, "package_version", lambda name, of=package: "0" if name == of else real(name)
        )
        keys.add(key(path))
    assert len(keys) == 3
    monkeypatch.setattr(
        prepared,
        "package_version",
        lambda name: "0" if name.startswith("tensorflow") else real(name),
    )
    assert key(path) in keys


def test_reading_a_model_imports_no_tensorflow(tmp_path: Path) -> None:
    path = dense(tmp_path / "model.onnx")
    program = (
        "import sys; from pathlib import Path; from capc.graph.prepared import prepare; "
        f"prepare(Path({str(path)!r}), cache_dir=Path({str(tmp_path)!r})); "
        "sys.exit(any(name.split('.')[0] in ('tensorflow', 'keras') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_an_onnx_model_is_named_like_any_other(tmp_path: Path) -> None:
    path = dense(tmp_path / "0.onnx")
    (tmp_path / "0.onnx.data").write_bytes(b"weights of a model are no model")
    assert find_model(tmp_path, "0") == find_model(tmp_path, "0.onnx") == path
    assert model_at(tmp_path / "0") == path
    assert models_in(tmp_path) == [path]
    assert is_path(str(path))
    (tmp_path / "0.pb").write_bytes(b"another")
    with pytest.raises(ConfigError, match=r"0\.pb and 0\.onnx, two models"):
        find_model(tmp_path, "0")


def test_functions_of_a_model_are_inlined(tmp_path: Path) -> None:
    made = model(
        [node("Twice", "x", out="t", domain="own"), node("Gemm", "t", "w")],
        ("N", 12),
        {"w": WEIGHTS},
        domains={"own": 1},
    )
    body = [helper.make_node("Add", ["a", "a"], ["b"])]
    opsets = [helper.make_opsetid("", 18)]
    made.functions.append(helper.make_function("own", "Twice", ["a"], ["b"], body, opsets))
    path = write(made, tmp_path / "model.onnx")
    images = uniform(3, 12)
    np.testing.assert_allclose(evaluate_float(read(path), images), 2 * images @ WEIGHTS, atol=1e-5)


def test_one_loader_names_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(ConfigError, match="needs the package onnxruntime"):
        loader.load_onnxruntime()
    assert sources.MAX_BYTES < 2**31


def test_a_party_takes_its_onnx_model_from_the_cache(tmp_path: Path) -> None:
    path = dense(tmp_path / "0.onnx")
    first = prepare(path, cache_dir=tmp_path / "cache")
    assert prepare(path, cache_dir=tmp_path / "cache") == first
    assert first.stem == key(path)
