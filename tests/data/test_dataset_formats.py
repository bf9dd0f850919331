"""Readers of published files, on small files made here, whole and damaged."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import struct
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mat_files import mat_array, mat_file
from numpy.typing import NDArray

from capc.arrays import arrays_within
from capc.data.dataset_formats import (
    FormatError,
    read_cifar_binary,
    read_idx,
    read_json_rows,
    read_keras_npz,
    read_mat,
    read_mnist_pickle,
    read_tar,
    read_zip,
)
from capc.data.dataset_sources import svhn_examples

RANDOM = np.random.default_rng(3)


def random_bytes(*shape: int) -> NDArray[Any]:
    return RANDOM.integers(0, 256, shape, dtype=np.uint8)


def idx(values: NDArray[Any]) -> bytes:
    head = b"\0\0\x08" + bytes([values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    return head + values.tobytes()


def tar(**members: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(f"folder/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=4))
def test_idx_of_any_shape(shape: list[int]) -> None:
    values = random_bytes(*shape)
    assert np.array_equal(read_idx(idx(values)), values)


def test_idx_that_is_cut_or_of_another_type_is_refused() -> None:
    whole = idx(random_bytes(3, 4))
    for data in (b"", whole[:3], whole[:7], whole[:-1], whole + b"x", b"\0\0\x0d" + whole[3:]):
        with pytest.raises(FormatError, match="IDX"):
            read_idx(data)


def test_keras_npz() -> None:
    arrays: dict[str, Any] = {
        "x_train": random_bytes(4, 28, 28),
        "y_train": random_bytes(4),
        "x_test": random_bytes(2, 28, 28),
        "y_test": random_bytes(2),
    }
    file = io.BytesIO()
    np.savez(file, **arrays)
    found = read_keras_npz(file.getvalue())
    assert all(np.array_equal(found[name], arrays[name]) for name in arrays)
    for data in (b"", file.getvalue()[:100], b"x" * 200):
        with pytest.raises(FormatError):
            read_keras_npz(data)


def test_a_keras_archive_that_promises_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither zeros that unpack to gigabytes nor a header without content take memory."""
    file = io.BytesIO()
    np.savez_compressed(file, x_train=np.zeros(5000, np.uint8))
    monkeypatch.setattr(arrays_within, "__defaults__", (4000,))
    with pytest.raises(FormatError, match="unpacks to more than 4000 bytes"):
        read_keras_npz(file.getvalue())


def mnist_pickle(pixels: NDArray[Any]) -> bytes:
    def part(images: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        return (images / 256).astype(np.float32).reshape(-1, 784), np.arange(len(images))

    parts = (part(pixels[:3]), part(pixels[3:5]), part(pixels[5:]))
    data = pickle.dumps(parts, protocol=3)
    return gzip.compress(data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))


def test_mnist_pickle_gives_the_bytes() -> None:
    pixels = random_bytes(7, 28, 28)
    found = read_mnist_pickle(mnist_pickle(pixels))
    assert np.array_equal(found["train_images"], pixels[:5])
    assert np.array_equal(found["test_images"], pixels[5:])
    assert found["train_labels"].tolist() == [0, 1, 2, 0, 1]
    assert found["train_labels"].dtype == np.uint8


class Touches:
    """A pickle that would write a file when loaded freely."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


def test_a_pickle_that_would_run_something_is_refused(tmp_path: Path) -> None:
    victim = tmp_path / "written"
    for attack in (Touches(victim), [Touches(victim)]):
        data = gzip.compress(pickle.dumps(attack, protocol=3))
        with pytest.raises(FormatError, match="a pickle that asks for"):
            read_mnist_pickle(data)
    assert not victim.exists()
    objects = pickle.dumps(np.array([{"a": 1}], dtype=object), protocol=3)
    objects = objects.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    with pytest.raises(FormatError, match="an array of"):
        read_mnist_pickle(gzip.compress(objects))
    for data in (
        b"",
        b"no gzip",
        gzip.compress(b"no pickle"),
        mnist_pickle(random_bytes(7, 28, 28))[:99],
    ):
        with pytest.raises(FormatError):
            read_mnist_pickle(data)


@pytest.mark.parametrize("compressed", [True, False])
def test_svhn_from_matlab_files(compressed: bool) -> None:
    images = random_bytes(32, 32, 3, 3)
    labels = np.array([[10], [1], [9]], dtype=np.uint8)
    arrays = (mat_array("X", images), mat_array("y", labels))
    data = mat_file(*arrays, compressed=compressed)
    found, digits = svhn_examples(data)
    assert digits.tolist() == [0, 1, 9]
    assert found.shape == (3, 32, 32, 3)
    assert np.array_equal(found[2], images[..., 2])
    longer = mat_file(*arrays, mat_array("longer", labels), compressed=compressed)
    assert np.array_equal(svhn_examples(longer)[0], found)
    for cut in (0, 100, 130, len(data) // 2, len(data) - 9):
        with pytest.raises(FormatError):
            svhn_examples(data[:cut])
    with pytest.raises(FormatError, match="without X and y"):
        svhn_examples(mat_file(arrays[0], compressed=compressed))


def test_matlab_files_as_scipy_writes_them() -> None:
    scipy_io = pytest.importorskip("scipy.io")
    arrays = {"X": random_bytes(32, 32, 3, 4), "y": random_bytes(4, 1)}
    for compressed in (True, False):
        file = io.BytesIO()
        scipy_io.savemat(file, arrays, do_compression=compressed)
        found = read_mat(file.getvalue())
        assert all(np.array_equal(found[name], values) for name, values in arrays.items())


def test_cifar_binary() -> None:
    images = random_bytes(3, 32, 32, 3)
    labels = np.array([7, 0, 9], dtype=np.uint8)
    rows = np.concatenate([labels[:, None], images.transpose(0, 3, 1, 2).reshape(3, -1)], axis=1)
    archive = tar(one=rows[:2].tobytes(), two=rows[2:].tobytes(), bad=rows.tobytes()[:-1])
    found, found_labels = read_cifar_binary(archive, ["folder/one", "folder/two"])
    assert np.array_equal(found, images)
    assert found_labels.tolist() == [7, 0, 9]
    with pytest.raises(FormatError, match="whole records"):
        read_cifar_binary(archive, ["folder/bad"])
    with pytest.raises(FormatError, match="folder/none"):
        read_cifar_binary(archive, ["folder/none"])
    rows[0, 0] = 10
    with pytest.raises(FormatError, match="above 9"):
        read_cifar_binary(tar(one=rows.tobytes()), ["folder/one"])


def test_json_rows() -> None:
    rows = random_bytes(3, 4)
    data = json.dumps({"data": [*rows.tolist(), []]}).encode()
    assert np.array_equal(read_json_rows(data, 4), rows)
    for bad in (b"", b"{}", b'{"data": [[1, 2]]}', b'{"data": [[1, 2, 3, 256]]}', b'{"data": "x"}'):
        with pytest.raises(FormatError):
            read_json_rows(bad, 4)


def test_archives_that_are_damaged_are_refused() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("here", "content")
    assert read_zip(file.getvalue(), "here") == b"content"
    assert read_tar(tar(here=b"content"), ["folder/here"]) == [b"content"]
    for data in (b"", b"x" * 50, file.getvalue()[:-9]):
        with pytest.raises(FormatError):
            read_zip(data, "here")
    for data in (b"", b"x" * 50, tar(here=RANDOM.bytes(5000))[:2000]):
        with pytest.raises(FormatError):
            read_tar(data, ["folder/here"])
    with pytest.raises(FormatError, match="without there"):
        read_zip(file.getvalue(), "there")
