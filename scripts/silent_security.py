"""How many operations attacks on silent transfers take, in bits: docs/silent-transfers.md.

The receiver's choices are A r + e: A has n rows of k bits, and e is 1 at one place of each of t
equal parts. Every estimate is on the cautious side: it counts some of the attacker's work only.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

MAX_DEGREE = 6
MAX_ERRORS = 16
GUESS_STEPS = 256


@dataclass(frozen=True)
class Parameters:
    """Regular noise: one error in each of `trees` parts of 2^depth outputs, `secrets` unknowns."""

    trees: int
    part: int
    secrets: int

    @property
    def outputs(self) -> int:
        """n, the rows of the matrix."""
        return self.trees * self.part

    @property
    def rate(self) -> float:
        """How much of the outputs it takes to determine the secrets."""
        return self.secrets / self.outputs


OURS = Parameters(trees=1024, part=1024, secrets=90_112)
FERRET = Parameters(trees=1319, part=8192, secrets=589_760)


def gauss_bits(p: Parameters) -> float:
    """Guess k rows without an error, evenly from all parts, and solve: k^2 operations a guess."""
    return -p.trees * math.log2(1 - p.rate) + 2 * math.log2(p.secrets)


def information_set_bits(p: Parameters) -> float:
    """Allow errors among the k rows, at the root of their ways a guess (Stern 1989, Dumer 1991).

    What collisions, their window and failed candidates cost is left out.
    """
    best = gauss_bits(p)
    for errors in range(1, MAX_ERRORS + 1):
        ways = _log2_binomial(p.trees, errors)
        luck = ways + errors * math.log2(p.rate) + (p.trees - errors) * math.log2(1 - p.rate)
        lists = (ways + errors * math.log2(p.secrets / p.trees)) / 2
        best = min(best, max(2 * math.log2(p.secrets), lists) - luck)
    return best


def algebraic_bits(p: Parameters) -> float:
    """Solve equations of higher degree, after guessing places without an error.

    Briaud and Oygarden, "A new algebraic approach to the regular syndrome decoding problem and
    implications for PCG constructions", EUROCRYPT 2023. Products of two places of one part are 0.
    The degree at which these equations determine the secrets is that of the first coefficient
    below 1 of (1 + (b - 1) z)^t / (1 + z)^(n - k), for parts of b places after the guesses. It
    counts the square of the number of monomials, and leaves out what each of them takes.
    """
    best = math.inf
    for step in range(GUESS_STEPS):
        guessed = p.part * step // GUESS_STEPS
        left = p.secrets - p.trees * guessed - p.trees
        if left <= 0:
            break
        guess = -p.trees * math.log2(1 - guessed / p.part)
        degree = _degree(p.trees, p.part - guessed, p.outputs - p.secrets)
        if degree is not None:
            monomials = sum(math.comb(left, d) for d in range(degree + 1))
            best = min(best, guess + 2 * math.log2(monomials))
    return best


def _degree(trees: int, part: int, checks: int) -> int | None:
    """None where it is above MAX_DEGREE."""
    places = [math.comb(trees, d) * (part - 1) ** d for d in range(MAX_DEGREE + 1)]
    parity = [(-1) ** d * math.comb(checks + d - 1, d) for d in range(MAX_DEGREE + 1)]
    for degree in range(1, MAX_DEGREE + 1):
        if sum(places[d] * parity[degree - d] for d in range(degree + 1)) <= 0:
            return degree
    return None


def _log2_binomial(n: int, k: int) -> float:
    return math.log2(math.comb(n, k))


ATTACKS = {
    "pooled Gauss": gauss_bits,
    "information sets": information_set_bits,
    "algebraic": algebraic_bits,
}


def main() -> None:
    """Print one line an attack: ours, and the parameters of Ferret's paper."""
    for name, bits in ATTACKS.items():
        sys.stdout.write(f"{name:20}{bits(OURS):6.0f}{bits(FERRET):6.0f}\n")


if __name__ == "__main__":
    main()
