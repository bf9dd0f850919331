"""Encryptions of zero under the public key, whose two parts are put together here by hand."""

from __future__ import annotations

import numpy as np
from he_reference import (
    centred,
    chi_square_is_plausible,
    crt,
    load,
    negacyclic,
    pair,
    secret_polynomial,
)
from numpy.typing import NDArray

from capc.he import rns
from capc.he.noise import MAX_ERROR
from capc.he.server import HEServer


def zero(server: HEServer) -> NDArray[np.uint64]:
    """One encryption of zero, residues (2, primes, degree), with e0 at every coefficient."""
    context = server._context
    residues = context.from_ntt(server._zeros.encrypt_zeros(1)[0])
    residues[0] = rns.add_mod(residues[0], server._zeros.errors(context.degree), context.primes)
    return residues


def test_the_phase_is_as_small_as_the_key_and_the_errors_allow() -> None:
    client, server = pair(load("10"), 41)
    context, secret = client._context, secret_polynomial(client)
    modulus = int(np.prod([int(p) for p in context.primes], dtype=object))
    first, second = zero(server)
    product = negacyclic(crt(second, context.primes), secret)
    phase = [
        centred(a + b, modulus) for a, b in zip(crt(first, context.primes), product, strict=True)
    ]
    assert max(map(abs, phase)) <= MAX_ERROR * (2 * context.degree + 1)
    # u e + e1 s: 8192 products of variance 10.5 * 2/3 twice, and e0.
    spread = np.std(np.array(phase, dtype=float)) / np.sqrt(10.5 * (2 * 8192 * 2 / 3 + 1))
    assert 0.9 < spread < 1.1


def test_each_is_fresh_and_looks_uniform() -> None:
    _, server = pair(load("fast"), 41)
    prime = server._context.primes[0]
    one, other = zero(server), zero(server)
    for left, right in zip(one[:, 0], other[:, 0], strict=True):
        for values in (left, left - right + np.uint64(prime) * (left < right)):
            slots = np.array([int(value) * 64 // prime for value in values])
            assert chi_square_is_plausible(slots, 64)


def test_a_part_alone_is_fresh_every_time() -> None:
    _, server = pair(load("fast"), 41)
    errors = [server._zeros.errors(100) for _ in range(2)]
    assert errors[0].shape == (2, 100)
    assert (errors[0] != errors[1]).any()
    products = server._zeros.encrypt_zeros(3)
    assert np.count_nonzero(products[0] == products[1]) == 0
    assert np.count_nonzero(products[1] == products[2]) == 0


def test_ternary_integers_are_uniform() -> None:
    values = rns.ternary(1 << 18).astype(np.int64)
    assert chi_square_is_plausible(values + 1, 3)
    assert set(values.tolist()) == {-1, 0, 1}
    assert rns.ternary(0).shape == (0,)
    assert (rns.ternary(64) != rns.ternary(64)).any()
