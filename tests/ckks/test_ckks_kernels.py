"""CKKS kernels one by one: modular products, layout, tensor operations, the reply's mask."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capc.ckks.context import CkksContext, ckks_context, default_scale
from capc.ckks.elements import elements, from_elements
from capc.ckks.keys import (
    CkksKeys,
    ReplyMask,
    flood_bits,
    masked_precision_bits,
    uniform_polynomial,
)
from capc.ckks.levels import fresh_variance
from capc.ckks.modular import (
    add_mod,
    integers_mod,
    linear_mod,
    multiply_mod,
    negate_mod,
    residue_type,
)
from capc.ckks.network import convolve_rows
from capc.ckks.slots import fresh, plus_slots, times_slots
from capc.ckks.tensor import CipherTensor
from capc.errors import ConfigError, ProtocolError
from capc.fixed_point import Float64
from capc.graph.layers import Conv2D
from capc.he.parameters import EncryptionParameters

ROOT = Path(__file__).resolve().parents[2]
PRIMES = (12289, (1 << 24) - 3, 2147483647, 4294967291, (1 << 47) - 115, (1 << 60) - 93)
NARROW = EncryptionParameters("HE_SEAL", 4096, 0, (30, 24, 24, 24, 30), scale=2.0**24)
WIDE = EncryptionParameters("HE_SEAL", 4096, 0, (60, 40, 40, 60), scale=2.0**40)


def edges(prime: int, generator: np.random.Generator, size: int) -> Any:
    values = generator.integers(0, prime, size, dtype=np.uint64)
    values[:3] = (0, prime - 1, prime // 2)
    return values.astype(residue_type(prime))


@pytest.mark.parametrize("prime", PRIMES)
def test_arithmetic_modulo_a_prime(prime: int) -> None:
    generator = np.random.default_rng(prime)
    x, y = edges(prime, generator, 200), edges(prime, generator, 200)[::-1]
    pairs = list(zip(x.tolist(), y.tolist(), strict=True))
    assert multiply_mod(x, y, prime).tolist() == [a * b % prime for a, b in pairs]
    assert add_mod(x, y, prime).tolist() == [(a + b) % prime for a, b in pairs]
    assert negate_mod(x, prime).tolist() == [-a % prime for a in x.tolist()]


@settings(max_examples=60, deadline=None)
@given(
    prime=st.sampled_from(PRIMES),
    rows=st.integers(1, 5),
    inner=st.integers(1, 30),
    weight_bits=st.integers(1, 40),
    seed=st.integers(0, 2**32),
)
def test_linear_maps_are_exact(
    prime: int, rows: int, inner: int, weight_bits: int, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    values = edges(prime, generator, max(3, rows * inner))[: rows * inner].reshape(rows, inner)
    weights = np.rint(generator.uniform(-1, 1, (inner, 2)) * 2.0**weight_bits)
    norm = float(np.abs(weights).sum(axis=0).max())
    got = linear_mod(lambda x: x @ weights, norm, values, prime)
    for row in range(rows):
        for column in range(2):
            whole = [int(w) for w in weights[:, column]]
            exact = sum(a * b for a, b in zip(values[row].tolist(), whole, strict=True))
            assert got[row, column] == exact % prime


def test_weights_beyond_exact_sums() -> None:
    with pytest.raises(ConfigError, match="too large"):
        linear_mod(lambda x: x, 2.0**50, np.zeros((1, 1), dtype=np.uint32), 12289)


def test_integers_of_any_size_and_no_others() -> None:
    assert integers_mod(np.array([-1.0, 2.0**80, 0.5]), 12289).tolist() == [
        12288, 2**80 % 12289, 0,
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="finite"):
        integers_mod(np.array([np.nan]), 12289)


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.tuples(*[st.integers(1, 4)] * 4),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    dilations=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    padding=st.integers(0, 2),
    seed=st.integers(0, 2**32),
)
def test_convolution_by_rows(
    sizes: tuple[int, ...], strides: tuple[int, int], dilations: tuple[int, int], padding: int,
    seed: int,
) -> None:  # fmt: skip
    generator = np.random.default_rng(seed)
    rows, columns, depth, filters = sizes
    images = generator.normal(size=(3, 9, 8, depth))
    kernel = generator.normal(size=(rows, columns, depth, filters))
    height = (9 + padding - (rows - 1) * dilations[0] - 1) // strides[0] + 1
    width = (8 + padding - (columns - 1) * dilations[1] - 1) // strides[1] + 1
    layer = Conv2D(
        "c", ("x",), (height, width, filters), kernel, np.zeros(filters), strides=strides,
        padding=((padding, 0), (0, padding)), dilations=dilations,
    )  # fmt: skip
    want = layer.product(images, kernel, np.matmul)
    np.testing.assert_allclose(convolve_rows(layer, images, kernel), want, atol=1e-12)


@pytest.mark.parametrize("count", [1, 15, 16, 17, 33])
def test_layout_there_and_back(count: int) -> None:
    context = ckks_context(NARROW)
    generator = np.random.default_rng(count)
    given_residues = [
        np.stack([edges(p, generator, 4096).astype(np.uint64) for p in context.primes] * 2)
        .reshape(2, len(context.primes), 4096)
        for _ in range(count)
    ]  # fmt: skip
    parts = from_elements(context, (count,), iter(given_residues))
    back = list(elements(parts, context.degree))
    np.testing.assert_array_equal(np.stack(back), np.stack(given_residues))


class Bench:
    """Keys, a tensor of two images a value, and the comparison with plain arithmetic."""

    def __init__(self, parameters: EncryptionParameters, is_complex: bool = False) -> None:
        self.context: CkksContext = ckks_context(parameters)
        self.keys = CkksKeys(self.context)
        self.relin = self.context.seal.from_relin_str(self.keys.relin_keys())
        self.is_complex = is_complex
        self.values = np.random.default_rng(7).uniform(-1, 1, (6, 3))
        self.tensor = self.encrypted(self.values)

    def encrypted(self, values: Float64) -> CipherTensor:
        shape = values.shape[1:]
        residues = self.keys.encrypt(values, is_complex=self.is_complex)
        return fresh(
            self.context, shape, (-1.0, 1.0), sample=values, is_complex=self.is_complex,
            relin_keys=self.relin, parts=from_elements(self.context, shape, residues),
        )  # fmt: skip

    def check(self, tensor: CipherTensor, want: Float64) -> None:
        settled = tensor.settled()
        error = np.abs(self.keys.decrypt(settled, len(want)) - want).max()
        assert error < 2.0**-settled.precision_bits
        assert settled.precision_bits > (6 if self.context.scale < 2**30 else 20)
        assert np.all(settled.magnitude >= np.abs(want) - 1e-9)


W = np.array([[0.5, -1.0], [1.5, 0.25], [-0.75, 2.0]])
C = np.array([1.0, -2.0, 0.5])
S = np.random.default_rng(8).normal(size=(6, 3))

Operation = tuple[Callable[[CipherTensor], CipherTensor], Callable[[Float64], Float64]]
LINEAR: dict[str, Operation] = {
    "fresh": (lambda t: t, lambda x: x),
    "moved": (lambda t: t.moved(lambda a: a[:, ::-1]), lambda x: x[:, ::-1]),
    "linear": (lambda t: t.linear(np.matmul, W), lambda x: x @ W),
    "twice": (lambda t: t.linear(np.matmul, W).linear(np.matmul, W.T), lambda x: x @ W @ W.T),
    "summed": (lambda t: t.summed(np.matmul, np.rint(W)), lambda x: x @ np.rint(W)),
    "times constant": (lambda t: t.times_constant(C), lambda x: x * C),
    "plus constant": (lambda t: t.plus_constant(C), lambda x: x + C),
    "negated": (lambda t: t.negated(), lambda x: -x),
    "sum": (lambda t: t.plus(t), lambda x: 2 * x),
    "sum of levels": (lambda t: t.times_constant(C).plus(t), lambda x: x * C + x),
    "join": (
        lambda t: CipherTensor.joined(
            lambda a, b: np.concatenate([a, b], axis=1), [t, t.times_constant(C)]
        ),
        lambda x: np.concatenate([x, x * C], axis=1),
    ),
}
PRODUCTS: dict[str, Operation] = {
    "squared": (lambda t: t.squared(), lambda x: x**2),
    "square, lazily": (lambda t: t.squared().linear(np.matmul, W), lambda x: x**2 @ W),
    "product": (lambda t: t.times(t.negated()), lambda x: -(x**2)),
    "product of levels": (lambda t: t.times_constant(C).times(t), lambda x: x**2 * C),
    "square plus": (lambda t: t.squared().plus(t), lambda x: x**2 + x),
    "times slots": (lambda t: times_slots(t, S), lambda x: x * S),
    "plus slots": (lambda t: plus_slots(t, S), lambda x: x + S),
}


@pytest.fixture(scope="module", params=["narrow", "wide"])
def bench(request: pytest.FixtureRequest) -> Bench:
    return Bench(NARROW if request.param == "narrow" else WIDE)


@pytest.fixture(scope="module")
def complex_bench() -> Bench:
    return Bench(WIDE, is_complex=True)


@pytest.mark.parametrize("name", [*LINEAR, *PRODUCTS])
def test_operations_within_their_stated_error(bench: Bench, name: str) -> None:
    encrypted, plain = {**LINEAR, **PRODUCTS}[name]
    bench.check(encrypted(bench.tensor), plain(bench.values))


@pytest.mark.parametrize("name", LINEAR)
def test_two_images_in_a_slot(complex_bench: Bench, name: str) -> None:
    encrypted, plain = LINEAR[name]
    complex_bench.check(encrypted(complex_bench.tensor), plain(complex_bench.values))


@pytest.mark.parametrize("name", PRODUCTS)
def test_no_products_of_two_images_in_a_slot(complex_bench: Bench, name: str) -> None:
    with pytest.raises(ConfigError, match="two images in a slot"):
        PRODUCTS[name][0](complex_bench.tensor)


def test_levels_run_out(bench: Bench) -> None:
    tensor = fresh(bench.context, (3,), (-1.0, 1.0))  # a rehearsal: no keys, no ciphertexts
    with pytest.raises(ConfigError, match=r"no level left|hold"):
        for _ in range(20):
            tensor = tensor.squared()
    with pytest.raises(ValueError, match="rehearsal"):
        _ = tensor.ciphertexts


def test_rehearsal_and_run_agree(bench: Bench) -> None:
    """Level, scale and precision are known before any ciphertext exists."""
    rehearsed = fresh(bench.context, (3,), (-1.0, 1.0), sample=bench.values)
    for tensor in (rehearsed, bench.tensor):
        result = tensor.squared().linear(np.matmul, W).at_last_level()
        found = (result.primes, result.scale, result.precision_bits, result.depth)
        if tensor is rehearsed:
            expected = found
    assert found == expected


def test_a_scale_without_room() -> None:
    parameters = EncryptionParameters("HE_SEAL", 2048, 128, (30, 24), scale=2.0**30)
    with pytest.raises(ConfigError, match="leaves no room"):
        CkksContext(parameters)


@pytest.mark.parametrize(
    ("bits", "scale"),
    [((30, 22, 22, 30), 2.0**22), ((31, 23), 2.0**11), ((54,), 2.0**23)],
)
def test_scale_where_none_is_given(bits: tuple[int, ...], scale: float) -> None:
    assert default_scale(bits) == scale


@pytest.mark.parametrize("path", sorted((ROOT / "config").glob("he_seal_*.json")), ids=str)
def test_every_config_encrypts_and_multiplies(path: Path) -> None:
    parameters = EncryptionParameters.from_json(str(path))
    context = ckks_context(parameters)
    keys = CkksKeys(context)
    values = np.array([[0.5], [-0.25]])
    parts = from_elements(context, (1,), keys.encrypt(values, is_complex=False))
    tensor = fresh(context, (1,), (-1.0, 1.0), parts=parts)
    if path.stem.endswith("N11_L1_small"):
        with pytest.raises(ConfigError, match="no level left"):  # one prime, filled by the scale
            tensor.times_constant(np.array([1.5]))
        return
    tensor = tensor.times_constant(np.array([1.5])).settled()
    error = np.abs(keys.decrypt(tensor, 2) - values * 1.5).max()
    assert error < 2.0**-tensor.precision_bits
    # That config's scale, 2^11 by he-transformer's rule, is below the scheme's own noise.
    assert (tensor.precision_bits < 1) == path.stem.endswith("N11_L2")


def test_masked_replies(bench: Bench) -> None:
    result = bench.tensor.linear(np.matmul, W).at_last_level()
    want = bench.values @ W
    mask = ReplyMask(bench.context, bench.keys.public_key(), result_bits=6.0)
    first, second = (mask.apply(result) for _ in range(2))
    plain = bench.keys.decrypt(result, 6)
    for masked in (first, second):
        got = bench.keys.decrypt(masked, 6)
        assert np.abs(got - want).max() < 2.0 ** -masked_precision_bits(result, 6.0)
        slots = 2.0 ** flood_bits(result, 6.0) * math.sqrt(bench.context.degree / 3 / 2)
        assert np.abs(got - plain).max() > slots / result.scale / 20  # noise was added
    for one, other in zip(first.ciphertexts, second.ciphertexts, strict=True):
        assert np.mean(one == other) < 0.001  # every coefficient of both polynomials is fresh
    for one, other in zip(first.ciphertexts, result.ciphertexts, strict=True):
        assert np.mean(one == other) < 0.001


def test_noise_takes_what_precision_leaves(bench: Bench) -> None:
    result = bench.tensor.at_last_level()
    wide, narrow = flood_bits(result, 2.0), flood_bits(result, 10.0)
    assert wide == pytest.approx(narrow + 8, abs=1)
    assert masked_precision_bits(result, 2.0) > 1.5


def test_keys_that_are_none() -> None:
    with pytest.raises(ProtocolError, match="public key"):
        ReplyMask(ckks_context(NARROW), b"no key", 8.0)


def test_secrets_show_nothing(bench: Bench) -> None:
    assert repr(bench.keys) == "CkksKeys(...)"


@pytest.mark.parametrize("is_complex", [False, True])
def test_fresh_ciphertexts_have_the_stated_error_and_a_seed_for_half(is_complex: bool) -> None:
    """Zeros under a small scale: what is decrypted is the error alone, of variance N * 10.5."""
    context = CkksContext(EncryptionParameters("HE_SEAL", 2048, 0, (40, 40, 40), scale=2.0**20))
    keys = CkksKeys(context)
    zeros = np.zeros((4, 12))
    sent = list(keys.encrypt_seeded(zeros, is_complex=is_complex))
    assert len({seed for seed, _ in sent}) == 12 and {len(seed) for seed, _ in sent} == {32}
    ciphertexts = [np.stack([first, uniform_polynomial(context, seed)]) for seed, first in sent]
    slots = [keys._decode(one, context.scale, True) * context.scale for one in ciphertexts]
    variance = float(np.mean(np.abs(np.stack(slots)) ** 2))
    assert abs(variance / fresh_variance(context) - 1) < 0.1  # 24576 errors: deviations of 0.01
