"""Published data-set files as uint8 arrays. Nothing in a file is ever executed.

Every reader raises FormatError where the bytes are not of its format.
"""

from __future__ import annotations

import gzip
import io
import json
import pickle
import struct
import tarfile
import zipfile
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capc.arrays import arrays_within

UInt8 = NDArray[np.uint8]


class FormatError(Exception):
    """A file whose bytes are not what its name promises."""


def read_idx(data: bytes) -> UInt8:
    """LeCun's IDX format, unsigned bytes of any rank."""
    if len(data) < 4 or data[:3] != b"\0\0\x08" or len(data) < 4 + 4 * data[3]:
        raise FormatError("not an IDX file of bytes")
    rank = data[3]
    shape = struct.unpack(f">{rank}I", data[4 : 4 + 4 * rank])
    body = np.frombuffer(data, dtype=np.uint8, offset=4 + 4 * rank)
    if body.size != int(np.prod(shape, dtype=np.int64)):
        raise FormatError(f"an IDX file of shape {shape} with {body.size} values")
    return body.reshape(shape)


def read_keras_npz(data: bytes) -> dict[str, UInt8]:
    """Keras's mnist.npz: x_train, y_train, x_test, y_test."""
    try:
        archive = arrays_within(data)
        return {name: archive[name] for name in ("x_train", "y_train", "x_test", "y_test")}
    except (ValueError, KeyError) as error:
        raise FormatError(f"not Keras's mnist.npz: {error}") from error


def read_mnist_pickle(data: bytes) -> dict[str, UInt8]:
    """mnist.pkl.gz: (images, labels) for training, validation and test; pixels are k / 256."""
    try:
        parts = _ArrayUnpickler(io.BytesIO(gzip.decompress(data))).load()
        (train, train_labels), (held, held_labels), (test, test_labels) = parts
        return {
            "train_images": _bytes_of(np.concatenate([train, held])),
            "train_labels": np.concatenate([train_labels, held_labels]).astype(np.uint8),
            "test_images": _bytes_of(test),
            "test_labels": np.asarray(test_labels).astype(np.uint8),
        }
    except FormatError:
        raise
    except (ValueError, TypeError, EOFError, OSError, zlib.error, pickle.UnpicklingError) as error:
        raise FormatError(f"not mnist.pkl.gz: {error}") from error


def read_mat(data: bytes) -> dict[str, UInt8]:
    """The byte arrays of a MATLAB 5 file, by name (MAT-File Format, MathWorks, chapter 1)."""
    if len(data) < 128 or data[126:128] != b"IM":
        raise FormatError("not a little-endian MATLAB 5 file")
    found: dict[str, UInt8] = {}
    for outer in _mat_elements(memoryview(data)[128:]):
        kind, body = _mat_unpacked(*outer)
        if kind == _MAT_MATRIX:
            name, values = _mat_matrix(body)
            found[name] = values
    return found


def read_cifar_binary(archive: bytes, names: list[str]) -> tuple[UInt8, UInt8]:
    """Images (n, 32, 32, 3) and labels (n,) of the named files of cifar-10-binary.tar.gz."""
    record = 1 + 3 * 32 * 32
    parts = [np.frombuffer(member, dtype=np.uint8) for member in read_tar(archive, names)]
    if any(part.size == 0 or part.size % record for part in parts):
        raise FormatError(f"a CIFAR10 file that is not whole records of {record} bytes")
    rows = np.concatenate(parts).reshape(-1, record)
    images = rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    if rows[:, 0].max() > 9:
        raise FormatError("a CIFAR10 label above 9")
    return np.ascontiguousarray(images), rows[:, 0].copy()


def read_json_rows(data: bytes, width: int) -> UInt8:
    """The rows of `width` bytes in {"data": [[...], ...]}; empty rows are left out."""
    try:
        rows = [row for row in json.loads(data)["data"] if row]
        values = np.array(rows, dtype=np.int64)
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(f"not rows of numbers: {error}") from error
    if values.ndim != 2 or values.shape[1] != width or values.min() < 0 or values.max() > 255:
        raise FormatError(f"rows that are not {width} bytes each")
    return values.astype(np.uint8)


def read_tar(archive: bytes, names: list[str]) -> list[bytes]:
    """The named regular files of a compressed tar archive, without unpacking it."""
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
            files = [tar.extractfile(name) for name in names]
            return [file.read() for file in files if file is not None]
    except (tarfile.TarError, KeyError, OSError, EOFError, zlib.error) as error:
        raise FormatError(f"an archive without {', '.join(names)}: {error}") from error


def read_zip(archive: bytes, name: str) -> bytes:
    """One file of a zip archive (a wheel is one)."""
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as container:
            return container.read(name)
    except (zipfile.BadZipFile, KeyError, OSError, zlib.error) as error:
        raise FormatError(f"an archive without {name}: {error}") from error


class _ArrayUnpickler(pickle.Unpickler):
    """Builds NumPy arrays of plain numbers; any other name in the stream is refused."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, encoding="latin1")

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("numpy.core.multiarray", "_reconstruct"):
            return np.empty(0).__reduce__()[0]
        if (module, name) == ("numpy", "ndarray"):
            return np.ndarray
        if (module, name) == ("numpy", "dtype"):
            return _number_type
        raise FormatError(f"a pickle that asks for {module}.{name}")


def _number_type(code: str, *rest: Any) -> np.dtype[Any]:
    """A dtype, unless it could hold Python objects."""
    dtype = np.dtype(code, *rest)
    if dtype.kind not in "biuf":
        raise FormatError(f"a pickle with an array of {code}")
    return dtype


def _bytes_of(pixels: NDArray[Any]) -> UInt8:
    scaled = pixels * 256
    if not np.array_equal(scaled, np.rint(scaled)) or scaled.min() < 0 or scaled.max() > 255:
        raise FormatError("pixels that are not k / 256")
    return scaled.astype(np.uint8).reshape(-1, 28, 28)


_MAT_MATRIX, _MAT_COMPRESSED = 14, 15
_MAT_BYTES = {1, 2}  # miINT8, miUINT8


def _mat_elements(data: memoryview) -> list[tuple[int, memoryview]]:
    """The (type, body) pairs of a run of data elements; bodies are views, for files of a GB."""
    elements = []
    place = 0
    while place + 8 <= len(data):
        kind, size = struct.unpack_from("<II", data, place)
        if kind >> 16:  # the small form: size in the upper half, four bytes of body
            kind, size, start, step = kind & 0xFFFF, kind >> 16, place + 4, 8
        else:
            start = place + 8
            step = 8 + (size if kind == _MAT_COMPRESSED else -(-size // 8) * 8)
        if start + size > len(data):
            raise FormatError("a MATLAB file that ends early")
        elements.append((kind, data[start : start + size]))
        place += step
    return elements


def _mat_unpacked(kind: int, body: memoryview) -> tuple[int, memoryview]:
    """The element inside a compressed one; any other as it is."""
    if kind != _MAT_COMPRESSED:
        return kind, body
    try:
        inside = _mat_elements(memoryview(zlib.decompress(body)))
    except zlib.error as error:
        raise FormatError(f"a damaged MATLAB file: {error}") from error
    return inside[0] if inside else (0, memoryview(b""))


def _mat_matrix(body: memoryview) -> tuple[str, UInt8]:
    parts = _mat_elements(body)
    if len(parts) < 4 or parts[3][0] not in _MAT_BYTES or len(parts[1][1]) % 4:
        raise FormatError("a MATLAB array that is not of bytes")
    shape = struct.unpack(f"<{len(parts[1][1]) // 4}i", parts[1][1])
    values = np.frombuffer(parts[3][1], dtype=np.uint8)
    if min(shape) < 0 or values.size != int(np.prod(shape, dtype=np.int64)):
        raise FormatError(f"a MATLAB array of shape {shape} with {values.size} values")
    return str(parts[2][1], "latin1"), values.reshape(shape, order="F")
