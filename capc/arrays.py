"""NumPy's files as a user names them: bounded, never unpickled, their headers checked first."""

from __future__ import annotations

import contextlib
import io
import math
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from capc.files import MAX_FILE_BYTES, open_bounded

_MAGIC = b"\x93NUMPY"


def load_array(
    path: str | Path, limit: int = MAX_FILE_BYTES, only: Collection[str] | None = None
) -> Any:
    """The array of a .npy file, or a mapping of those of a .npz file: all, or `only` these.

    Raises OSError for what is no regular file of at most `limit` bytes, and ValueError for what is
    no such file, would need unpickling, or has a header that promises more than there is.
    """
    with open_bounded(path, limit) as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            file.seek(0)
            return dict(_members(file, limit, only))
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        return _array(file, size)


@contextlib.contextmanager
def open_arrays(
    path: str | Path, limit: int = MAX_FILE_BYTES, only: Collection[str] | None = None
) -> Iterator[Mapping[str, Any]]:
    """The arrays of a .npz file by name, or `only` these; OSError and ValueError as `load_array`.

    What the file lacks of `only` is no error here.
    """
    loaded = load_array(path, limit, only)
    if not isinstance(loaded, dict):
        raise ValueError("it holds one array, not several by name")
    yield loaded


def arrays_within(data: bytes, limit: int = MAX_FILE_BYTES) -> dict[str, NDArray[Any]]:
    """The arrays of a .npz file that is in memory. Raises ValueError as `load_array` does."""
    return dict(_members(io.BytesIO(data), limit))


def _members(
    file: IO[bytes], limit: int, only: Collection[str] | None = None
) -> Iterator[tuple[str, NDArray[Any]]]:
    try:
        with zipfile.ZipFile(file) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > limit:
                raise ValueError(f"it unpacks to more than {limit} bytes")
            for entry in archive.infolist():
                name = entry.filename.removesuffix(".npy")
                if only is None or name in only:
                    with archive.open(entry) as member:
                        yield name, _array(member, entry.file_size)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error) as error:
        raise ValueError(f"it is no NumPy file ({error})") from None


def _array(file: IO[bytes], size: int) -> NDArray[Any]:
    """The array that `file` holds, `size` bytes with its header."""
    formats: Any = npy  # NumPy leaves these functions without types
    version = formats.read_magic(file)
    if version == (1, 0):
        shape, in_columns, dtype = formats.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, in_columns, dtype = formats.read_array_header_2_0(file)
    else:
        raise ValueError(f"its format {version} is not supported")
    if dtype.hasobject:
        raise ValueError("it holds objects, which are not read")
    header = file.tell()
    if any(length < 0 for length in shape) or header + math.prod(shape) * dtype.itemsize > size:
        raise ValueError(f"its header promises the shape {shape}, and there is less")
    count = math.prod(shape)
    content = bytearray(count * dtype.itemsize)
    view = memoryview(content)
    while view:
        got = file.readinto(view) if hasattr(file, "readinto") else 0
        if not got:
            raise ValueError("it ends too early")
        view = view[got:]
    values = np.frombuffer(content, dtype=dtype, count=count)
    return values.reshape(shape, order="F" if in_columns else "C")
