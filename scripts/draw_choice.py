"""Draws the law by which `--nonlinear auto` chooses for a layer of ReLUs: docs/figures."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np

from capc.fixed_point import FixedPoint
from capc.graph.layers import Input, QuantizedNetwork, Relu
from capc.inference.choice import both_costs
from capc.inference.link import Link

FIGURE = Path(__file__).resolve().parents[1] / "docs" / "figures" / "nonlinear-choice.png"
RING = FixedPoint(ring_bits=37, fraction_bits=12)
ROUND_TRIPS = {0.5e-3: "0.5 ms", 2e-3: "2 ms", 10e-3: "10 ms", 40e-3: "40 ms", 150e-3: "150 ms"}
LEAST_RATE, MOST_RATE = 1e6, 1e11  # bits a second
VALUES = np.unique(np.geomspace(10, 1e6, 100).round().astype(int))
_COLOURS = ("#56B4E9", "#0072B2", "#009E73", "#E69F00", "#D55E00")


def relus(values: int) -> QuantizedNetwork:
    """A network of one layer: so many ReLUs that drop the fractional bits."""
    return QuantizedNetwork(
        fixed_point=RING,
        input_range=(0.0, 1.0),
        layers=(Input("x", (), (values,)), Relu("relu", ("x",), (values,))),
        bounds={},
        fraction_bits={"x": 2 * RING.fraction_bits, "relu": RING.fraction_bits},
    )


def boundary(values: int, round_trip: float) -> float:
    """The rate in bits a second from which on circuits are expected to be faster; may be inf.

    `round_trip` in seconds. On a slower line `auto` takes transfers. Found by halving: what
    transfers cost depends on the rate itself.
    """
    network = relus(values)
    if _takes_transfers(network, Link(round_trip, math.inf)):
        return math.inf
    slow, fast = 1.0, 1e15
    while fast > 1.0001 * slow:
        rate = math.sqrt(slow * fast)
        if _takes_transfers(network, Link(round_trip, rate)):
            slow = rate
        else:
            fast = rate
    return fast


def _takes_transfers(network: QuantizedNetwork, link: Link) -> bool:
    garbled, looked_up = both_costs(network, link)["relu"]
    if looked_up is None:
        raise ValueError("ReLUs have a form by transfers")
    return looked_up.seconds(link) < garbled.seconds(link)


def draw(path: Path) -> None:
    """Above a curve `auto` garbles, below it takes transfers."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(figsize=(6.8, 4.0), layout="constrained")
    for (round_trip, said), colour in zip(ROUND_TRIPS.items(), _COLOURS, strict=True):
        rates = np.minimum([boundary(int(n), round_trip) for n in VALUES], 2 * MOST_RATE)
        axes.loglog(VALUES, rates / 1e6, color=colour, label=said)
    axes.set(
        xlim=(VALUES[0], VALUES[-1]),
        ylim=(LEAST_RATE / 1e6, MOST_RATE / 1e6),
        xlabel=f"ReLUs of a layer ({RING.ring_bits} bits, {RING.fraction_bits} of them dropped)",
        ylabel="rate of the line, Mbit/s",
    )
    axes.text(0.03, 0.95, "above a curve:\ngarbled", transform=axes.transAxes, va="top")
    axes.text(0.97, 0.05, "below it: by transfers", transform=axes.transAxes, ha="right")
    axes.grid(alpha=0.3)
    figure.legend(title="round trip", loc="outside right center")
    figure.savefig(path, dpi=150, metadata={"Software": None})
    plt.close(figure)


def main() -> int:
    """Write the figure of the documents."""
    draw(FIGURE)
    sys.stdout.write(f"{FIGURE}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
