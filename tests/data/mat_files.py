"""MATLAB 5 files of bytes, as SVHN comes in (MAT-File Format, MathWorks, chapter 1)."""

from __future__ import annotations

import struct
import zlib
from typing import Any

from numpy.typing import NDArray


def _element(kind: int, body: bytes) -> bytes:
    return struct.pack("<II", kind, len(body)) + body + bytes(-len(body) % 8)


def mat_array(name: str, values: NDArray[Any]) -> bytes:
    """A uint8 array, its name in the small form where it fits."""
    flags = _element(6, struct.pack("<II", 9, 0))
    shape = _element(5, struct.pack(f"<{values.ndim}i", *values.shape))
    text = name.encode()
    label = _element(1, text)
    if len(text) <= 4:
        label = struct.pack("<I", 1 | len(text) << 16) + text + bytes(4 - len(text))
    body = flags + shape + label + _element(2, values.tobytes(order="F"))
    return _element(14, body)


def mat_file(*arrays: bytes, compressed: bool) -> bytes:
    """A file of these arrays."""
    head = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x0100) + b"IM"
    if not compressed:
        return head + b"".join(arrays)
    packed = [zlib.compress(array) for array in arrays]
    return head + b"".join(struct.pack("<II", 15, len(body)) + body for body in packed)
