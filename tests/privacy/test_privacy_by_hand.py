"""epsilon of whole vote files against 40-digit arithmetic, straight from the papers' formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from capc.privacy.accountant import Accountant
from capc.privacy.conversion import Conversion, default_orders
from capc.privacy.dependent import NoiseLaw
from capc.privacy.rdp import Mechanism

mpmath = pytest.importorskip("mpmath")
mp = mpmath.mp
SIGMA, T, SIGMA_T, DELTA = 5, 40, 10, "1e-6"


def tail(first: int, sigma: int, noise: NoiseLaw) -> Any:
    """Pr[g >= first] for one draw at scale sigma."""
    if noise == "continuous":
        return mp.erfc(mp.mpf(first) / (sigma * mp.sqrt(2))) / 2
    weights = {
        x: mp.exp(-(mp.mpf(x) ** 2) / (2 * sigma**2)) for x in range(-20 * sigma, 20 * sigma)
    }
    return sum(w for x, w in weights.items() if x >= first) / sum(weights.values())


def difference_tail(gap: int, sigma: int, noise: NoiseLaw) -> Any:
    """Pr[g - g' >= gap] for two draws, discrete ones by the sum over all pairs."""
    if noise == "continuous":
        return mp.erfc(mp.mpf(int(gap)) / (2 * sigma)) / 2
    reach = range(-20 * sigma, 20 * sigma + 1)
    weights = {x: mp.exp(-(mp.mpf(x) ** 2) / (2 * sigma**2)) for x in reach}
    above, upper = mp.mpf(0), {}
    for x in reversed(reach):
        above += weights[x]
        upper[x] = above
    pairs = (weights[y] * upper.get(max(y + gap, reach[0]), 0) for y in reach)
    return sum(pairs) / sum(weights.values()) ** 2


def theorem_6(q: Any, spread: Any, order: Any) -> Any:
    """RDP at one order: Papernot et al. 2018, Theorem 6 with the orders of Proposition 10."""
    plain = order / spread**2
    mu2 = spread * mp.sqrt(mp.log(1 / q))
    mu1 = mu2 + 1
    if mu2 <= 1 or order > mu1:
        return plain
    e1, e2 = mu1 / spread**2, mu2 / spread**2
    if q > mp.exp((mu2 - 1) * e2) / (mu1 / (mu1 - 1) * mu2 / (mu2 - 1)) ** mu2:
        return plain
    a = (1 - q) / (1 - (q * mp.exp(e2)) ** ((mu2 - 1) / mu2))
    b = mp.exp(e1) / q ** (1 / (mu1 - 1))
    bound = mp.log((1 - q) * a ** (order - 1) + q * b ** (order - 1)) / (order - 1)
    return min(bound, plain)


def epsilon(curve: list[Any], orders: list[Any], conversion: Conversion) -> Any:
    delta = mp.mpf(DELTA)
    if conversion == "classic":
        return min(r + mp.log(1 / delta) / (a - 1) for r, a in zip(curve, orders, strict=True))
    return min(
        r + mp.log((a - 1) / a) - (mp.log(delta) + mp.log(a)) / (a - 1)
        for r, a in zip(curve, orders, strict=True)
    )


@pytest.mark.parametrize("noise", ["continuous", "discrete"])
@pytest.mark.parametrize("bound", ["independent", "dependent"])
def test_epsilon_of_a_vote_file(bound: str, noise: NoiseLaw) -> None:
    votes = np.array([[49, 0, 0], [41, 5, 3], [30, 15, 4], [25, 24, 0]])
    answered = np.array([True, True, False, True])
    account = Accountant()
    if bound == "dependent":
        account.charge_votes(votes, SIGMA, T, SIGMA_T, answered=answered, noise=noise)
    else:
        account.charge(Mechanism("threshold", SIGMA_T), 4)
        account.charge(Mechanism("gnmax", SIGMA), 3)
    with mp.workdps(40):
        orders = [mp.mpf(float(order)) for order in default_orders()]
        costs = []
        for row, given in zip(votes.tolist(), answered, strict=True):
            top = max(row)
            gaps = [top - v for place, v in enumerate(row) if place != row.index(top)]
            q = min(sum(difference_tail(g, SIGMA, noise) for g in gaps), mp.mpf(2) / 3)
            reached = tail(T - top, SIGMA_T, noise)
            q_t = min(reached, 1 - reached)
            if bound == "independent":
                q = q_t = mp.mpf(1)
            costs.append((q_t, SIGMA_T * mp.sqrt(2)))
            costs += [(q, mp.mpf(SIGMA))] * bool(given)
        curve = [sum(theorem_6(q, spread, a) for q, spread in costs) for a in orders]
        for conversion in ("classic", "improved"):
            expected = float(epsilon(curve, orders, conversion))
            found = account.privacy_loss(float(DELTA), conversion).epsilon
            assert found == pytest.approx(expected, rel=1e-11)
    plain = sum(a / spread**2 for _, spread in costs for a in orders[:1])
    assert (curve[0] < 0.9 * plain) is (bound == "dependent")
