"""The engine's transforms against SEAL's, coefficient by coefficient."""

from __future__ import annotations

import numpy as np
import pytest
import seal
from seal_objects import ciphertext, residues_of

from capc.gc import _engine
from capc.he.context import Context, context
from capc.he.parameters import EncryptionParameters
from capc.he.rns import UInt64

SETTINGS = {
    "config/fast.json": (8192, (60, 60, 60)),
    "config/11.json": (16384, (47, 24, 24, 24, 30)),
    "small primes": (1024, (20, 25, 30)),
}


@pytest.fixture(params=list(SETTINGS.values()), ids=list(SETTINGS))
def setting(request: pytest.FixtureRequest) -> Context:
    degree, bits = request.param
    return context(EncryptionParameters("HE_SEAL", degree, 0, bits), 17)


def polynomials(setting: Context, seed: int) -> UInt64:
    """Two uniform ones, of which some coefficients are the least and the largest."""
    generator = np.random.default_rng(seed)
    shape = (2, setting.degree)
    rows = [generator.integers(0, prime, shape, dtype=np.uint64) for prime in setting.primes]
    found = np.stack(rows, axis=1)
    found[:, :, ::5] = 0
    found[:, :, 1::7] = np.array(setting.primes, dtype=np.uint64)[:, np.newaxis] - np.uint64(1)
    return found


def test_forward_transforms_are_those_of_seal(setting: Context) -> None:
    pair = polynomials(setting, 1)
    given = ciphertext(setting, pair)
    seal.Evaluator(setting.seal).transform_to_ntt_inplace(given)
    assert np.array_equal(setting.to_ntt(pair), residues_of(setting, given))


def test_inverse_transforms_are_those_of_seal(setting: Context) -> None:
    pair = polynomials(setting, 2)
    given = ciphertext(setting, pair, is_ntt=True)
    seal.Evaluator(setting.seal).transform_from_ntt_inplace(given)
    assert np.array_equal(setting.from_ntt(pair), residues_of(setting, given))


def test_zero_and_constants_have_their_value_everywhere(setting: Context) -> None:
    constants = np.zeros((3, len(setting.primes), setting.degree), dtype=np.uint64)
    constants[1, :, 0] = 1
    constants[2, :, 0] = np.array(setting.primes, dtype=np.uint64) - np.uint64(1)
    values = setting.to_ntt(constants)
    assert (values == constants[:, :, :1]).all()
    assert np.array_equal(setting.from_ntt(values), constants)


def test_polynomials_may_lie_apart(setting: Context) -> None:
    """As one component of ciphertexts, or prime by prime; they stay as they are."""
    pair = polynomials(setting, 3)
    expected, before = setting.to_ntt(pair), pair.copy()
    turned = np.ascontiguousarray(pair.transpose(1, 0, 2)).transpose(1, 0, 2)
    ciphertexts = np.stack([pair, pair], axis=1)
    for view in (turned, ciphertexts[:, 1], ciphertexts[::-1, 0][::-1]):
        assert np.array_equal(setting.to_ntt(view), expected)
    assert np.array_equal(pair, before)
    assert setting.to_ntt(pair[:0]).shape == (0, *pair.shape[1:])


def test_other_shapes_and_primes_are_refused() -> None:
    transforms = _engine.Transforms(16, [97, 193])
    for shape in ((1, 1, 16), (1, 2, 8), (1, 3, 16)):
        with pytest.raises(ValueError, match="have shape"):
            transforms.forward(np.zeros(shape, dtype=np.uint64))
    with pytest.raises(ValueError, match="one piece"):
        transforms.inverse(np.zeros((1, 2, 32), dtype=np.uint64)[:, :, ::2])
    with pytest.raises(TypeError):
        transforms.forward(np.zeros((1, 2, 16), dtype=np.int64))
    for degree, prime in ((12, 97), (1, 97), (16, 99), (16, 33), (16, (1 << 60) + 33)):
        with pytest.raises(ValueError, match=str(degree) if degree < 16 else str(prime)):
            _engine.Transforms(degree, [prime])
