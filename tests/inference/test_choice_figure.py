"""The figure of how `auto` chooses: its curves are where the choice itself changes."""

import math
import runpy
from pathlib import Path

import pytest

from capc.inference.choice import NonlinearChoice
from capc.inference.link import WITHIN_A_MACHINE, Link

SCRIPT = runpy.run_path(str(Path(__file__).resolve().parents[2] / "scripts" / "draw_choice.py"))


def chosen(values: int, round_trip: float, rate: float) -> set[str]:
    """The layers that `auto` runs by transfers."""
    choice = NonlinearChoice("auto", Link(round_trip, rate))
    return choice.transfers(SCRIPT["relus"](values))


@pytest.mark.parametrize("round_trip", SCRIPT["ROUND_TRIPS"])
@pytest.mark.parametrize("values", [10, 1000, 20_000, 300_000])
def test_auto_garbles_from_the_drawn_rate_on(values: int, round_trip: float) -> None:
    rate = SCRIPT["boundary"](values, round_trip)
    if math.isinf(rate):
        assert chosen(values, round_trip, WITHIN_A_MACHINE.rate) == {"relu"}
    else:
        assert chosen(values, round_trip, rate * 1.001) == set()
        assert chosen(values, round_trip, rate * 0.999) == {"relu"}


def test_a_longer_delay_never_speaks_for_transfers() -> None:
    for values in (10, 1000, 20_000):
        rates = [SCRIPT["boundary"](values, trip) for trip in sorted(SCRIPT["ROUND_TRIPS"])]
        assert rates == sorted(rates, reverse=True)


def test_the_figure_is_drawn(tmp_path: Path) -> None:
    SCRIPT["draw"](tmp_path / "choice.png")
    assert (tmp_path / "choice.png").read_bytes().startswith(b"\x89PNG")
