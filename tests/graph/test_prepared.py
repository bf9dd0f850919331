"""Prepared models: the same layers back, a cache that notices damage, no TensorFlow to serve."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tracemalloc
import zipfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_networks import random_network

from capc.errors import ModelError
from capc.graph.comparison import Agreement
from capc.graph.layers import Network
from capc.graph.prepared import cache_key, load_network, prepare, save_network
from capc.graph.tensorflow import verification
from capc.graph.tensorflow.loader import load_keras
from capc.graph.tensorflow.verification import import_verified
from capc.inference.graph_command import main

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "capc.cli", "graph"]
SHIPPED = ROOT / "models" / "cryptonets-relu.pb"


def same(first: Network, second: Network) -> bool:
    if len(first.layers) != len(second.layers):
        return False
    for a, b in zip(first.layers, second.layers, strict=True):
        if type(a) is not type(b):
            return False
        for field in fields(a):
            x, y = getattr(a, field.name), getattr(b, field.name)
            if isinstance(x, np.ndarray):
                if x.dtype != y.dtype or not np.array_equal(x, y):
                    return False
            elif x != y or type(x) is not type(y):
                return False
    return True


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_network_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    path = tmp_path_factory.mktemp("networks") / "network.npz"
    network = random_network(seed, 6)
    save_network(network, path)
    assert same(network, load_network(path))
    assert path.stat().st_mode & 0o077 == 0
    assert [entry.name for entry in path.parent.iterdir()] == ["network.npz"]


def test_damage_anywhere_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "network.npz"
    save_network(random_network(3), path)
    whole = path.read_bytes()
    for cut in (0, 10, len(whole) // 2, len(whole) - 5):
        path.write_bytes(whole[:cut])
        with pytest.raises(ModelError, match="is not a prepared model"):
            load_network(path)
    with zipfile.ZipFile(tmp_path / "other.npz", "w") as archive:
        archive.writestr("header.npy", "no array")
    with pytest.raises(ModelError, match="is not a prepared model"):
        load_network(tmp_path / "other.npz")
    with pytest.raises(ModelError, match="there is no prepared model"):
        load_network(tmp_path / "absent.npz")


class Touches:
    """A pickle that writes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


def test_a_pickle_is_never_loaded(tmp_path: Path) -> None:
    path, victim = tmp_path / "network.npz", tmp_path / "written"
    np.savez(path, header=np.array([Touches(victim)], dtype=object))
    with pytest.raises(ModelError, match="is not a prepared model"):
        load_network(path)
    assert not victim.exists()


def test_the_cache_is_used_and_rebuilt(tmp_path: Path) -> None:
    ready = prepare(SHIPPED, cache_dir=tmp_path)
    network = load_network(ready)
    stamp = ready.stat().st_mtime_ns
    assert prepare(SHIPPED, cache_dir=tmp_path) == ready
    assert ready.stat().st_mtime_ns == stamp
    content = bytearray(ready.read_bytes())
    content[len(content) // 2] ^= 1
    ready.write_bytes(content)
    assert prepare(SHIPPED, cache_dir=tmp_path) == ready
    assert same(network, load_network(ready))


def test_the_key_is_of_the_bytes_and_the_names(tmp_path: Path) -> None:
    model = tmp_path / "model.pb"
    model.write_bytes(b"one")
    keys = {cache_key(model, "a", "b"), cache_key(model, "a", "c"), cache_key(model, "ab", "")}
    copy = tmp_path / "copy.pb"
    copy.write_bytes(b"one")
    assert cache_key(copy, "a", "b") in keys
    model.write_bytes(b"two")
    keys.add(cache_key(model, "a", "b"))
    folder = tmp_path / "saved"
    folder.mkdir()
    (folder / "x").write_bytes(b"one")
    keys.add(cache_key(folder, "a", "b"))
    (folder / "x").rename(folder / "y")
    keys.add(cache_key(folder, "a", "b"))
    assert len(keys) == 6
    with pytest.raises(ModelError, match="cannot be read"):
        cache_key(tmp_path / "absent.pb", "a", "b")


def test_the_key_is_of_how_the_file_is_read(tmp_path: Path) -> None:
    keys = set()
    for name in ("m.keras", "m.pb", "m.h5"):
        (tmp_path / name).write_bytes(b"one")
        keys.add(cache_key(tmp_path / name, "a", "b"))
    assert len(keys) == 3
    (tmp_path / "m.hdf5").write_bytes(b"one")
    assert cache_key(tmp_path / "m.hdf5", "a", "b") in keys


def test_the_key_is_of_the_versions_that_read_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "model.pb"
    model.write_bytes(b"one")
    keys = {cache_key(model, "a", "b")}
    real = importlib.metadata.version
    for package in ("tensorflow-cpu", "keras"):
        monkeypatch.setattr(
            importlib.metadata, "version", lambda name, p=package: "0" if name == p else real(name)
        )
        keys.add(cache_key(model, "a", "b"))
        monkeypatch.undo()
    assert len(keys) == 3


def test_the_key_is_of_the_whole_folder_and_what_its_links_lead_to(tmp_path: Path) -> None:
    inside, outside = tmp_path / "saved", tmp_path / "elsewhere"
    inside.mkdir()
    outside.mkdir()
    (inside / "saved_model.pb").write_bytes(b"graph")
    (outside / "variables.index").write_bytes(b"one")
    (inside / "variables").symlink_to(outside)
    (outside / "back").symlink_to(inside)
    key = cache_key(inside, "a", "b")
    assert cache_key(inside / "saved_model.pb", "a", "b") == key
    (tmp_path / "link").symlink_to(inside)
    assert cache_key(tmp_path / "link", "a", "b") == key
    (outside / "variables.index").write_bytes(b"two")
    assert cache_key(inside, "a", "b") != key
    assert cache_key(inside / "saved_model.pb", "a", "b") == cache_key(inside, "a", "b")


def test_a_large_model_is_hashed_in_pieces(tmp_path: Path) -> None:
    large = tmp_path / "large.pb"
    with large.open("wb") as file:
        file.truncate(200 << 20)
    tracemalloc.start()
    cache_key(large, "a", "b")
    assert tracemalloc.get_traced_memory()[1] < 16 << 20
    tracemalloc.stop()


def test_a_model_that_changes_while_it_is_read_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, cache = tmp_path / "model.pb", tmp_path / "cache"
    model.write_bytes(SHIPPED.read_bytes())

    def changed(*given: Any, **named: Any) -> tuple[Network, Agreement]:
        result = import_verified(*given, **named)
        model.write_bytes(SHIPPED.read_bytes() + b"\n\0")
        return result

    monkeypatch.setattr(verification, "import_verified", changed)
    with pytest.raises(ModelError, match=r"model\.pb has changed while it was read"):
        prepare(model, cache_dir=cache)
    assert not cache.exists() or not list(cache.iterdir())


@pytest.mark.parametrize("is_full", [False, True])
def test_a_renamed_model_gets_the_same_answer_whatever_the_cache_holds(
    tmp_path: Path, is_full: bool
) -> None:
    layers = load_keras().layers
    model = load_keras().Sequential([load_keras().Input((4,)), layers.Dense(3)])
    model.save(tmp_path / "m.keras")
    if is_full:
        prepare(tmp_path / "m.keras", cache_dir=tmp_path / "cache")
    shutil.copy(tmp_path / "m.keras", tmp_path / "m.pb")
    with pytest.raises(ModelError, match="is a Keras file"):
        prepare(tmp_path / "m.pb", cache_dir=tmp_path / "cache")


def test_serving_imports_no_tensorflow(tmp_path: Path) -> None:
    ready = prepare(SHIPPED, cache_dir=tmp_path)
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from capc.graph.prepared import load_network, prepare\n"
        "from capc.graph.quantize import quantize, required_ring_bits\n"
        "from capc.inference.reference import evaluate\n"
        f"path = prepare(Path({str(SHIPPED)!r}), cache_dir=Path({str(tmp_path)!r}))\n"
        "load_network(path)\n"
        "heavy = {'tensorflow', 'keras', 'pandas', 'seal', 'rich'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(heavy)) or 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert ready.is_file()


def test_prepare_command_names_each_file(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "prepare", "--cache_dir", str(tmp_path), str(SHIPPED), str(SHIPPED)],
        cwd=ROOT,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, done.stderr) == (0, "")
    assert [line["model"] for line in lines] == [str(SHIPPED)] * 2
    assert load_network(Path(lines[0]["prepared"])).output.shape == (10,)


def test_inspect_command_shows_what_is_needed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["inspect", "--cache_dir", str(tmp_path), str(SHIPPED)]
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert "The ring needs 38 bits with 12 fractional" in shown
    assert "14x14x5" in shown
    assert main([*command, "--fraction_bits", "24"]) == 0
    assert "layer 'output/MatMul' does not fit" in capsys.readouterr().out


def test_a_command_that_fails_says_one_line(tmp_path: Path) -> None:
    command = ["prepare", "--cache_dir", str(tmp_path), str(tmp_path / "absent.pb")]
    with pytest.raises(ModelError, match="absent"):
        main(command)
    result = subprocess.run(
        [*COMMAND, *command],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert result.stderr.startswith("capc: error: ")
    assert result.stderr.count("\n") == 1


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ModelError, match="cannot be written"):
        save_network(random_network(1), tmp_path / "file" / "network.npz")
