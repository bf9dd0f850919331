"""SEAL's ciphertexts and keys from residues and back, to compare our arithmetic with SEAL's.

SEAL writes a ciphertext as a 16-byte header, its metadata and its residues as 64-bit words, without
compression.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import seal

from capc.he.context import Context
from capc.he.rns import UInt64

_CIPHERTEXT_HEADER = 113
_NO_COMPRESSION = seal.compr_mode_type.none
_MAGIC = seal.Plaintext().to_bytes(_NO_COMPRESSION)[:6]


def ciphertext(setting: Context, residues: UInt64, *, is_ntt: bool = False) -> Any:
    """From residues (2, primes, degree), in coefficient or in NTT form."""
    found = seal.Ciphertext()
    level = setting.seal.first_context_data().parms_id()
    found.load_bytes(setting.seal, _ciphertext_bytes(residues, level, is_ntt=is_ntt))
    return found


def residues_of(setting: Context, given: Any) -> UInt64:
    """The residues (2, primes, degree) of a ciphertext of two polynomials."""
    words = np.frombuffer(given.to_string(_NO_COMPRESSION), "<u8", offset=_CIPHERTEXT_HEADER)
    return words.reshape(2, -1, setting.degree)


def switching_keys(setting: Context, keys: dict[int, UInt64]) -> Any:
    """Galois keys, by the e of X -> X^e: residues (primes, 2, key primes, degree) in NTT form."""
    level = setting.seal.key_context_data().parms_id()
    entries = []
    for element in range(1, max(keys) + 1, 2):
        parts = keys.get(element, ())
        entries.append(struct.pack("<Q", len(parts)))
        entries += [_ciphertext_bytes(part, level, is_ntt=True) for part in parts]
    content = b"".join((struct.pack("<4QQ", *level, (max(keys) + 1) // 2), *entries))
    return setting.seal.from_galois_str(_MAGIC + struct.pack("<HQ", 0, 16 + len(content)) + content)


def _ciphertext_bytes(residues: UInt64, level: Any, *, is_ntt: bool) -> bytes:
    size, primes, degree = residues.shape
    words = residues.size
    metadata = struct.pack("<4Q?QQQdQ", *level, is_ntt, size, degree, primes, 1.0, 1)
    body = _MAGIC + struct.pack("<HQQ", 0, 24 + 8 * words, words)
    total = struct.pack("<HQ", 0, _CIPHERTEXT_HEADER + 8 * words)
    return b"".join((_MAGIC, total, metadata, body, residues.astype("<u8").tobytes()))
