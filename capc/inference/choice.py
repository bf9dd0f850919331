"""How each non-linear layer runs: in a garbled circuit, or by oblivious transfers.

Both parties come to the same choice from the plan and what was agreed beforehand. Garbled circuits
take more bytes, transfers more round trips: which is faster depends on the line between them. It
decides how encrypted layers are packed, too (capc.inference.weighing).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from capc.graph.layers import QuantizedNetwork
from capc.inference.costs import LayerCost, nonlinear_cost
from capc.inference.layout import nonlinear_plans
from capc.inference.link import WITHIN_A_MACHINE, Link
from capc.inference.protocols import circuits_of, functions_of
from capc.inference.supply import Supply
from capc.inference.transfer_forms import transferable

NonlinearWay = Literal["garbled", "transfers", "auto"]
MEASURED = "measured"
NONLINEAR_WAYS: tuple[NonlinearWay, ...] = ("garbled", "transfers", "auto")


@dataclass(frozen=True)
class NonlinearChoice:
    """What the parties agreed on: one way where a layer has both, or the faster over `link`.

    `measured`: the answering party measures the line first, and its choice by it alone counts.
    """

    way: NonlinearWay = "garbled"
    link: Link = WITHIN_A_MACHINE
    measured: bool = False

    @classmethod
    def of(cls, way: NonlinearWay, link: str | None) -> NonlinearChoice:
        """From two flags; ConfigError for a link that is none."""
        if link == MEASURED:
            return cls(way, measured=True)
        return cls(way, WITHIN_A_MACHINE if link is None else Link.parse(link))

    def to_fields(self) -> dict[str, str | None]:
        """What `of` takes."""
        return {"way": self.way, "link": MEASURED if self.measured else self.link.text}

    @property
    def is_the_peers(self) -> bool:
        """Whether the answering party alone chooses, by the line that it measured."""
        return self.measured and self.way == "auto"

    def transfers(self, network: QuantizedNetwork) -> set[str]:
        """The names of the layers that run by transfers.

        `auto` takes what is expected to be faster for one query, both phases together.
        """
        both = transferable(network) if self.way != "garbled" else set()
        if self.way != "auto":
            return both
        return {
            name
            for name, (garbled, looked_up) in both_costs(network, self.link).items()
            if looked_up is not None and looked_up.seconds(self.link) < garbled.seconds(self.link)
        }


GARBLED = NonlinearChoice()


def both_costs(
    network: QuantizedNetwork, link: Link
) -> Mapping[str, tuple[LayerCost, LayerCost | None]]:
    """By non-linear layer, what one query takes garbled and, where there is that, by transfers.

    Transfers are those that suit the line (capc.inference.supply).
    """
    both = transferable(network)
    supply = Supply.over(link)
    plans = [nonlinear_plans(network, functions_of(network, way), 1, supply) for way in ((), both)]
    costs = {}
    for name in plans[0]:
        garbled, looked_up = (nonlinear_cost(network.layer(name), plan[name]) for plan in plans)
        costs[name] = garbled, looked_up if name in both else None
    return costs


def described(network: QuantizedNetwork, transfers: Collection[str], supply: Supply) -> str:
    """One line for a log: which non-linear layers run in which way."""
    names = list(circuits_of(network))
    ways = (
        ("by transfers", [name for name in names if name in transfers]),
        ("garbled", [name for name in names if name not in transfers]),
    )
    said = [f"{way}: {', '.join(found)}" for way, found in ways if found]
    if transfers:
        said.append(supply.described())
    return f"non-linear layers {'; '.join(said) or 'none'}"
