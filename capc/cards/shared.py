"""Many parties in one pane: a line each, the slowest first."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from capc.cards.card import Card
from capc.cards.glyphs import (
    NAME,
    QUIET,
    WORKING,
    Glyphs,
    short_bytes,
    short_seconds,
    symbol_of,
)
from capc.cards.lines import fitted, state_words
from capc.console import printable

_STATES = ("failed", "held", "working", "ready", "starting", "done")
_WORDS = 14  # columns for what a party is doing, where a bar follows


def shared_lines(
    cards: Sequence[Card], width: int, height: int, now: float, glyphs: Glyphs
) -> list[Text]:
    """A head, then as many parties as fit; the last line counts the others by their state.

    Failed parties come first. `now` by time.monotonic.
    """
    ordered = sorted(cards, key=lambda card: (card.state != "failed", -card.seconds(now)))
    longest = max((card.seconds(now) for card in cards), default=0.0)
    room = height - 1 if len(cards) <= height - 1 else height - 2
    shown, rest = ordered[: max(0, room)], ordered[max(0, room) :]
    lines = [_head(cards, width)]
    lines += [_line(card, longest, width, now, glyphs) for card in shown]
    if rest:
        lines.append(Text(f"and {len(rest)} more: {_counted(rest)}", style=QUIET))
    return fitted(lines, width, height, glyphs)


def _head(cards: Sequence[Card], width: int) -> Text:
    counted = _counted(cards)
    for name in (f"{len(cards)} parties", str(len(cards))):
        room = width - len(name) - len(counted) - 1
        if room >= 0:
            return Text.assemble((name, NAME), " " * (room + 1), (counted, QUIET))
    return Text(counted)


def _counted(cards: Sequence[Card]) -> str:
    """How many are in which state, as 3 working, 4 done."""
    states = [card.state for card in cards]
    return ", ".join(f"{states.count(name)} {name}" for name in _STATES if name in states)


def _line(card: Card, longest: float, width: int, now: float, glyphs: Glyphs) -> Text:
    """State, name, at what, seconds and bytes; a bar where there is room."""
    symbol, style = symbol_of(card.state, glyphs)
    name = f"{card.facts.party:<14}" if width >= 45 else f"{card.facts.party:<13}"
    text = Text.assemble((f"{symbol} ", style), name)
    if card.state == "failed":
        return text.append(printable(card.reason), style)
    words = card.state if card.query is None else state_words(card)[-1]
    figures = (
        f"{short_seconds(card.seconds(now)):>5} "
        f"{short_bytes(card.bytes_sent + card.bytes_received):>5}"
    )
    spare = width - text.cell_len - len(figures)
    said = words if len(words) < spare else ""
    text.append(said, style)
    bar = spare - _WORDS - 2
    if bar >= 6:
        text.append(" " * (_WORDS - len(said)))
        full = round(bar * card.seconds(now) / longest) if longest else 0
        text.append(glyphs.online * full, WORKING).append(glyphs.empty * (bar - full), QUIET)
        text.append("  ")
    else:
        text.append(" " * (spare - len(said)))
    return text.append(figures)
