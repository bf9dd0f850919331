"""Cards as parties would fill them, for the tests."""

from __future__ import annotations

from capc.cards.card import Card
from capc.cards.words import STEPS_OF, Facts
from capc.roles import GUARDIAN, QUERYING
from capc.transport.control_messages import (
    Answer,
    Progress,
    Refused,
    Spent,
    Timing,
)

LABEL = 424242  # a label that no figure of a card can be taken for


def made(party: str, n_queries: int = 20, asked: int = 12, *, epsilon: float | None = 10.0) -> Card:
    """A card after set-up and `asked` queries; its figures have many digits."""
    guardian = party == GUARDIAN
    card = Card(Facts(party, n_queries, guardian, epsilon=epsilon if guardian else None))
    card.apply(Timing(None, "1a", "setup", 123.4, 827_000_123, 9_999_999_999, 3, 1), 0.0)
    for query in range(asked):
        for step in STEPS_OF[card.facts.role]:
            for phase in ("offline", "online"):
                card.apply(Progress(query, step, phase), 0.0)
                card.apply(Timing(query, step, phase, 0.1432, 320_700, 999_499, 4, 1), 0.0)
        if party == QUERYING:
            answered = query % 4 != 1
            card.apply(Answer(query, answered, LABEL if answered else None), 0.0)
        if guardian:
            card.apply(Spent(query, 0.7 * (query + 1), 1e-5, "improved", query % 4 != 1), 0.0)
    if guardian and asked < n_queries:
        card.apply(Refused(asked, "epsilon would be 10.1, the budget is 10"), 0.0)
    return card
