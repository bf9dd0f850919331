"""Several cards in one terminal, beside and below each other; those that do not fit in one list."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from rich.text import Text

from capc.cards.card import Card
from capc.cards.glyphs import QUIET, Glyphs
from capc.cards.lines import SMALLEST, card_lines
from capc.cards.shared import shared_lines
from capc.roles import ANSWERING

_TALLEST = 26  # lines of the richest form
_GAP = 3  # columns between two cards


def board_lines(
    cards: Sequence[Card], width: int, height: int, now: float, glyphs: Glyphs
) -> list[Text]:
    """All cards within the terminal, in their order; `now` by time.monotonic."""
    columns = max(1, min(len(cards), (width + _GAP) // (SMALLEST[0] + _GAP), 2 + width // 120))
    rows = max(1, min(math.ceil(len(cards) / columns), (height + 1) // (SMALLEST[1] + 1)))
    cell = ((width + _GAP) // columns - _GAP, min((height + 1) // rows - 1, _TALLEST))
    cells = _cells(cards, columns * rows)
    lines: list[Text] = []
    for first in range(0, len(cells), columns):
        drawn = [one(*cell, now, glyphs) for one in cells[first : first + columns]]
        lines += [] if not first else [Text(glyphs.rule * width, style=QUIET)]
        lines += _beside(drawn, cell[0])
    return lines[:height]


def _cells(
    cards: Sequence[Card], room: int
) -> list[Callable[[int, int, float, Glyphs], list[Text]]]:
    """A card each, or where there is no room, the last answering parties in one list."""
    answering = [card for card in cards if card.facts.role == ANSWERING]
    too_many = len(cards) - room
    together = answering[-too_many - 1 :] if 0 < too_many < len(answering) else []
    cells: list[Callable[[int, int, float, Glyphs], list[Text]]] = []
    for card in cards:
        if card in together:
            if card is together[0]:
                cells.append(lambda *size: shared_lines(together, *size))
        else:
            cells.append(lambda *size, card=card: card_lines(card, *size))
    return cells


def _beside(drawn: Sequence[list[Text]], width: int) -> list[Text]:
    """The lines of cards that stand in one row."""
    lines = []
    for place in range(max(len(lines) for lines in drawn)):
        line = Text()
        for number, own in enumerate(drawn):
            part = own[place].copy() if place < len(own) else Text()
            part.truncate(width, pad=True)
            line.append_text(Text(" " * _GAP if number else "")).append_text(part)
        lines.append(line)
    return lines
