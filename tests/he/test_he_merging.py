"""Several sums in one polynomial of a reply: exact, within its bound of noise, and refused bent."""

from __future__ import annotations

import numpy as np
import pytest
import seal
from he_reference import CRYPTONETS, TOY, linear, noise, prepared_layer, secret_polynomial
from seal_objects import ciphertext, residues_of, switching_keys

from capc.errors import ProtocolError
from capc.fixed_point import FixedPoint, Int64
from capc.he import rns
from capc.he.cheapest_packing import Weighing, plan_packing
from capc.he.client import HEClient
from capc.he.context import context
from capc.he.merging import MOST_MERGED, Merger, keys_bytes, most_merged
from capc.he.noise import own_noise, switching_noise
from capc.he.packing import Packing
from capc.he.parameters import EncryptionParameters
from capc.he.server import HEServer, new_key_seed, public_key_bytes
from capc.he.shapes import LinearShape

WIDE = EncryptionParameters("HE_SEAL", 1024, 0, (60, 60, 60))
RING = FixedPoint(41, 12)
SHAPE = LinearShape.convolution((6, 6, 8), (3, 3, 8, 19), padding=((1, 1), (1, 1)))


def merged_packing(merged: int, shape: LinearShape = SHAPE, degree: int = 1024) -> Packing:
    packing = plan_packing(shape, degree, 1, Weighing(merged, 1e6))
    assert packing.blocks.merged == merged
    return packing


def merging_pair(merged: int) -> tuple[HEClient, HEServer]:
    client = HEClient(WIDE, RING, allow_insecure=True)
    seed = new_key_seed()
    key = client.public_key(seed, merged)
    assert len(key) == public_key_bytes(WIDE, RING, merged)
    return client, HEServer(WIDE, RING, seed, key, merged=merged, allow_insecure=True)


def evaluated(
    client: HEClient, server: HEServer, packing: Packing, weight: Int64
) -> tuple[Int64, Int64]:
    """What the client gets, and what it should."""
    layer = prepared_layer(server, "layer", packing, weight)
    share, mask = RING.uniform(packing.input_shape), RING.uniform(packing.output_shape)
    reply = server.evaluate(layer, client.encrypt(packing, share), mask)
    assert len(reply) == client.reply_bytes(packing)
    expected = RING.reduce(linear(packing.shape, share, weight) + mask)
    return client.decrypt(packing, reply), expected


@pytest.mark.parametrize("merged", [2, 4])
@pytest.mark.parametrize("zero", [range(0), range(4), range(4, 8), range(16, 19), range(19)])
def test_replies_are_exact_also_where_sums_are_zero(merged: int, zero: range) -> None:
    """Sums of four filters, the last of three and alone in its polynomial; keys for four."""
    client, server = merging_pair(4)
    packing = merged_packing(merged)
    assert (packing.blocks.filters, packing.sums) == (4, 5)
    weight = np.random.default_rng(merged).integers(-4000, 4000, SHAPE.weight_shape)
    weight[..., list(zero)] = 0
    got, expected = evaluated(client, server, packing, weight)
    np.testing.assert_array_equal(got, expected)


def test_the_noise_of_merging_stays_below_its_bound() -> None:
    """Sums of encryptions of known values, all results seen at every coefficient."""
    merged, setting = 16, context(WIDE, RING.ring_bits)
    client = HEClient(WIDE, RING, allow_insecure=True)
    key = client.public_key(new_key_seed(), merged)
    merger = Merger(setting, merged, memoryview(key)[-keys_bytes(setting, merged) :])
    sums, values = [], RING.uniform((merged, 1024))
    for value in values:
        message = rns.scaled_message(value, RING.ring_bits, setting.primes)
        seed, first = client._zeros.encrypt(message[np.newaxis])
        second = rns.expand(seed, 1, 1024, setting.primes)
        sixteenths = rns.integer_residues(np.eye(1, 1024, dtype=np.int64)[0], setting.primes, 16)
        parts = np.stack([first, second], axis=1)
        pairs = np.zeros((1, 1, 2), dtype=np.int64)
        scale = setting.to_ntt(sixteenths[np.newaxis])
        sums.append(rns.sums_of_products(parts, scale, pairs, setting.primes)[0])
    residues = setting.from_ntt(merger.merge(np.stack(sums), merged))
    expected = np.zeros(1024, dtype=np.int64)
    for place, value in enumerate(values):
        expected[place::merged] = value[::merged]
    added = rns.scaled_message(expected, RING.ring_bits, setting.primes)
    bare = np.stack([rns.subtract_mod(residues[0], added, setting.primes), residues[1]])
    found = noise(bare, secret_polynomial(client), setting.primes, RING.ring_bits)
    bound = own_noise(setting, 1, merged) - own_noise(setting, 0) + 1
    largest = float(np.abs(found).max())
    assert 50 < largest < bound
    assert bound < 16 * switching_noise(setting)


def test_one_merge_is_that_of_seal_but_for_rounding() -> None:
    """(f + X g) + a(f - X g), with SEAL's monomial, automorphism and switch of keys."""
    setting = context(WIDE, RING.ring_bits)
    client = HEClient(WIDE, RING, allow_insecure=True)
    key = client.public_key(new_key_seed(), 2)
    merger = Merger(setting, 2, memoryview(key)[-keys_bytes(setting, 2) :])
    generator = np.random.default_rng(5)
    shape = (2, 2, setting.degree)
    rows = [generator.integers(0, prime, shape, dtype=np.uint64) for prime in setting.primes]
    sums = np.stack(rows, axis=2)
    evaluator, element = seal.Evaluator(setting.seal), setting.degree + 1
    even, odd = (ciphertext(setting, setting.from_ntt(one)) for one in sums)
    shifted = evaluator.multiply_plain(odd, seal.Plaintext("1x^1"))
    keys = switching_keys(setting, {element: merger._keys[0]})
    turned = evaluator.apply_galois(evaluator.sub(even, shifted), element, keys)
    seals = residues_of(setting, evaluator.add(evaluator.add(even, shifted), turned))
    ours = setting.from_ntt(merger.merge(sums, 2))
    apart = rns.subtract_mod(ours, seals, setting.primes)
    limit = np.array(setting.primes, dtype=np.uint64)[:, np.newaxis] - np.uint64(2)
    assert ((apart <= 2) | (apart >= limit)).all()


def test_sums_and_keys_of_another_shape_are_refused() -> None:
    setting = context(WIDE, RING.ring_bits)
    sums = np.zeros((2, 2, 2, 1024), dtype=np.uint64)
    keys = np.zeros((1, 2, 2, 3, 1024), dtype=np.uint64)
    setting.merging.merge(sums, 2, keys)
    with pytest.raises(ValueError, match="axis 3 of sums has 512"):
        setting.merging.merge(sums[..., :512].copy(), 2, keys)
    with pytest.raises(ValueError, match="axis 1 of keys has 1 entries, not 2"):
        setting.merging.merge(sums, 2, keys[:, :1].copy())
    with pytest.raises(ValueError, match="keys for fewer sums"):
        setting.merging.merge(sums, 4, keys)


def test_merging_is_for_special_primes_as_large_as_the_others() -> None:
    assert most_merged(WIDE) == MOST_MERGED
    assert most_merged(TOY) == 1


def test_keys_of_another_length_and_out_of_range_are_refused() -> None:
    client, seed = HEClient(WIDE, RING, allow_insecure=True), new_key_seed()
    key = client.public_key(seed, 4)
    for wrong, said in (
        (key[:-1], "keys for merging"),
        (key + b"\0", "keys for merging"),
        (key[:-8] + b"\xff" * 8, "not below its prime"),
    ):
        with pytest.raises(ProtocolError, match=said):
            HEServer(WIDE, RING, seed, wrong, merged=4, allow_insecure=True)


def test_every_server_gets_the_same_keys_for_merging() -> None:
    """Two keys of one seed would show errors, two seeds would only cost time."""
    client = HEClient(WIDE, RING, allow_insecure=True)
    first, second = (client.public_key(new_key_seed(), 2) for _ in range(2))
    length = keys_bytes(context(WIDE, RING.ring_bits), 2)
    assert first[-length:] == second[-length:]
    assert first[:-length] != second[:-length]


def test_channels_that_are_no_multiple_are_refused() -> None:
    packing = merged_packing(4, CRYPTONETS["dense"], 8192)
    with pytest.raises(ValueError, match="multiple of what is merged"):
        Packing(packing.shape, 8192, type(packing.blocks)((1, 1), 1, 6, 1, 1, 4))
