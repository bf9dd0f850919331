"""The circuits of the protocol, as data: what each computes, who feeds it and who learns what.

Words are ring elements in int64 arrays of shape (instances, words); values of any sign are reduced
modulo 2^width on the way in, and come out in [0, 2^width). Docs: docs/garbled-circuits.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from capc.errors import ConfigError
from capc.fixed_point import RING_BITS, Int64, modulo
from capc.gc import _engine

MAX_PAYLOAD_BYTES = 1 << 28  # of one frame between a party and its circuit program, or two programs
_TABLE_BYTES = 32  # of an AND gate, by half-gates


@dataclass(frozen=True)
class Circuit:
    """A circuit that both parties must have built with the same arguments.

    Words per instance: the garbler's `online_words` are known with the query, its `fixed_words`
    when it garbles (masks); the evaluator feeds `evaluator_words`.
    """

    name: str
    compiled: _engine.Circuit

    @property
    def online_words(self) -> int:
        """Words per instance that the garbler feeds once the query is known."""
        return self.compiled.online_words

    @property
    def fixed_words(self) -> int:
        """Words per instance that the garbler feeds while garbling, such as masks."""
        return self.compiled.fixed_words

    @property
    def evaluator_words(self) -> int:
        """Words per instance that the evaluator feeds."""
        return self.compiled.evaluator_words

    @property
    def evaluator_out_words(self) -> int:
        """Words per instance that the evaluator learns; the garbler does not see them."""
        return self.compiled.evaluator_out_words

    @property
    def garbler_out_words(self) -> int:
        """Words per instance that the evaluator returns to the garbler; often 0."""
        return self.compiled.garbler_out_words

    @property
    def and_count(self) -> int:
        """AND gates of one instance: 32 bytes each on the wire."""
        return self.compiled.and_count

    @property
    def and_depth(self) -> int:
        """AND gates on the longest path from an input to an output."""
        return self.compiled.and_depth

    def offline_bytes(self, instances: int) -> tuple[int, int]:
        """Bytes of `prepare` (and of `run`): garbler to evaluator, and back."""
        return self.compiled.offline_bytes(instances)

    def online_bytes(self, instances: int) -> tuple[int, int]:
        """Bytes of `evaluate` after `prepare`, without returned outputs, in the same order."""
        return self.compiled.online_bytes(instances)

    def plain_evaluate(
        self, online: ArrayLike, fixed: ArrayLike, evaluator: ArrayLike
    ) -> tuple[Int64, Int64]:
        """Both parties' outputs in the clear, for tests: (evaluator's, garbler's)."""
        return self.compiled.evaluate_plain(
            as_words(online, self.online_words),
            as_words(fixed, self.fixed_words),
            as_words(evaluator, self.evaluator_words),
        )


def as_words(values: ArrayLike, columns: int) -> Int64:
    """Contiguous int64 words of shape (instances, columns); one column may come as a vector."""
    array = np.ascontiguousarray(values, dtype=np.int64)
    if array.ndim == 1 and columns == 1:
        array = array.reshape(-1, 1)
    return array


def relu_circuit(ring_bits: int, shift: int) -> Circuit:
    """x = a + b mod 2^ring_bits, signed; y = max(x, 0) >> shift; the evaluator learns y - m.

    Words: online a, fixed m, evaluator b, all modulo 2^ring_bits (2 to 64 bits).
    """
    return Circuit(f"relu {ring_bits} >> {shift}", _engine.relu_circuit(ring_bits, shift))


def truncate_circuit(ring_bits: int, shift: int) -> Circuit:
    """As relu_circuit without the maximum: y = x >> shift, rounding toward minus infinity."""
    return Circuit(f"truncate {ring_bits} >> {shift}", _engine.truncate_circuit(ring_bits, shift))


def bounded_relu_circuit(ring_bits: int, shift: int, cap: int) -> Circuit:
    """y = min(max(x, 0) >> shift, cap), 0 < cap < 2^(ring_bits - 1 - shift); words as in relu.

    Relu6 with cap = 6 << f.
    """
    name = f"bounded relu {ring_bits} >> {shift} <= {cap}"
    return Circuit(name, _engine.bounded_relu_circuit(ring_bits, shift, cap))


def leaky_relu_circuit(ring_bits: int, shift: int, slope: int, fraction_bits: int) -> Circuit:
    """y = x >> shift for x >= 0, else (slope * x) >> (shift + fraction_bits); words as in relu.

    0 <= slope < 2^fraction_bits is public: each bit set in it costs an addition.
    """
    name = f"leaky relu {ring_bits} >> {shift} * {slope}/2^{fraction_bits}"
    return Circuit(name, _engine.leaky_relu_circuit(ring_bits, shift, slope, fraction_bits))


def square_circuit(ring_bits: int, shift: int, fraction_bits: int) -> Circuit:
    """y = (x >> shift)^2 >> fraction_bits, exact while y < 2^(ring_bits - 1); words as in relu."""
    name = f"square {ring_bits} >> {shift} >> {fraction_bits}"
    return Circuit(name, _engine.square_circuit(ring_bits, shift, fraction_bits))


def maximum_circuit(ring_bits: int, window: int) -> Circuit:
    """Max-pooling: the evaluator learns max_j x_j - m; `window` words on either side, one mask."""
    return Circuit(f"maximum {ring_bits} x {window}", _engine.maximum_circuit(ring_bits, window))


def step_circuit(ring_bits: int, output_bits: int, place: int = 0) -> Circuit:
    """A step function: the evaluator learns 2^place * [x >= 0] - s mod 2^output_bits.

    With place 0 it is one class of a multi-label vote: the garbler subtracts the class's public or
    private threshold from its share beforehand. 0 <= place < output_bits.
    """
    name = f"step {ring_bits} << {place}"
    return Circuit(name, _engine.step_circuit(ring_bits, output_bits, place))


def top_k_circuit(ring_bits: int, classes: int, k: int, vote_bits: int) -> Circuit:
    """The evaluator learns [class j is among the k greatest] - s_j mod 2^vote_bits.

    Ties go to the lower class. Words as in argmax_circuit; 1 <= k < classes.
    """
    name = f"top {k} {ring_bits} x {classes}"
    return Circuit(name, _engine.top_k_circuit(ring_bits, classes, k, vote_bits))


def argmax_circuit(ring_bits: int, classes: int, vote_bits: int, vote_shift: int = 0) -> Circuit:
    """Step 1c: z_j = a_j + b_j mod 2^ring_bits, signed; ties go to the lowest class.

    The evaluator learns 2^vote_shift onehot(argmax z)_j - s_j mod 2^vote_bits, nobody learns
    anything else. Words, `classes` each: online a_j (the garbler's logit shares), fixed s_j,
    evaluator b_j; 0 <= vote_shift < vote_bits. The circuit counts in parts of a vote, for shares
    of whole votes that are multiplied afterwards are no longer uniform: their low bits are 0.
    """
    return Circuit(
        f"argmax {ring_bits} x {classes} << {vote_shift}",
        _engine.argmax_circuit(ring_bits, classes, vote_bits, vote_shift),
    )


@lru_cache
def most_classes() -> int:
    """The most classes whose argmax between programs is one frame of tables, in the widest ring."""
    low, high = 2, MAX_PAYLOAD_BYTES
    while high - low > 1:
        middle = (low + high) // 2
        tables = _TABLE_BYTES * _engine.argmax_and_count(RING_BITS[-1], middle)
        low, high = (middle, high) if tables <= MAX_PAYLOAD_BYTES else (low, middle)
    return low


def noisy_argmax_circuit(vote_bits: int, classes: int, with_threshold: bool) -> Circuit:
    """Step 3, on votes v = S + Ŝ mod 2^vote_bits, compared as signed numbers.

    answered = (max_j v_j + g_T >= T) is learnt by both; label = argmax_j (v_j + g_j), lowest class
    on ties, by the evaluator alone, and 0 unless answered. Without a threshold there is the label
    alone. Evaluator's words: S_j, and its outputs (answered, label); the garbler's words come from
    noisy_argmax_inputs. Exact while every v_j, v_j + g_j and v_j + g_T - T fits vote_bits, signed.
    """
    return Circuit(
        f"noisy argmax {vote_bits} x {classes}",
        _engine.noisy_argmax_circuit(vote_bits, classes, with_threshold),
    )


def noisy_argmax_inputs(
    vote_bits: int,
    mask_sums: ArrayLike,
    noise: ArrayLike,
    *,
    voters: int,
    threshold: int | None = None,
    threshold_noise: ArrayLike = 0,
) -> Int64:
    """The guardian's online words of noisy_argmax_circuit, shape (instances, words).

    `mask_sums` Ŝ and `noise` g: (classes,) or (instances, classes); `threshold_noise` g_T: one per
    instance. A class has 0 to `voters` votes. The sums Ŝ + g and Ŝ + g_T - T cost nothing here and
    no gate in the circuit. Words are in [0, 2^vote_bits). Raises ConfigError where votes with this
    noise, or their distance to the threshold, could wrap around as signed vote_bits-bit numbers.
    """
    sums = np.atleast_2d(np.asarray(mask_sums, dtype=np.int64))
    votes_noise = np.atleast_2d(np.asarray(noise, dtype=np.int64))
    offset: Int64 = np.zeros((1, 1), dtype=np.int64)
    if threshold is not None:
        offset = np.asarray(threshold_noise, dtype=np.int64).reshape(-1, 1) - np.int64(threshold)
    limit = 1 << (vote_bits - 1)
    for added in (votes_noise, offset):
        if np.any(added < -limit) or np.any(added + np.int64(voters) >= limit):
            raise ConfigError(
                f"noise or threshold is too large for {vote_bits}-bit votes of {voters} parties; "
                "use a smaller sigma or threshold"
            )
    noisy = sums + votes_noise
    words = noisy if threshold is None else np.concatenate([noisy, sums + offset], axis=1)
    return modulo(vote_bits, words)
