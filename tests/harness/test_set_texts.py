"""Sets of labels on the screen: as text, there and back, on cards and in replays."""

from __future__ import annotations

import pytest

from capc.cards.card import Card
from capc.cards.words import Facts
from capc.label_sets import set_number, set_text
from capc.transport.control_messages import Answer


@pytest.mark.parametrize(
    ("number", "text"), [(0, "none"), (1, "0"), (9, "0 3"), (1 << 61 | 2, "1 61")]
)
def test_a_set_is_a_text_and_back(number: int, text: str) -> None:
    assert set_text(number) == text
    assert set_number(text) == number


def test_a_card_shows_the_labels_of_a_set() -> None:
    for label_sets, shown in ((False, 9), (True, "0 3")):
        card = Card(Facts("querying", 3, label_sets=label_sets))
        card.apply(Answer(0, True, 9), 0.0)
        card.apply(Answer(1, False, None), 0.0)
        assert list(card.labels) == [shown, None]
