"""A card as lines of text that fit a pane, from 38 x 7 characters up.

The richest of four forms that fits is taken; in a smaller pane the last lines are left out. No line
is ever cut inside a number: what does not fit is said more briefly, or ends at a word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest

from rich.cells import cell_len
from rich.text import Text

from capc.cards.card import Card, Figures, stage_of
from capc.cards.glyphs import (
    CAUTION,
    FAILED,
    FINISHED,
    LEARNED,
    NAME,
    QUIET,
    WORKING,
    Glyphs,
    short_bytes,
    short_seconds,
    symbol_of,
)
from capc.cards.words import OFFLINE, SETUP, STEP_NAMES, STEPS_OF, sentence
from capc.console import bytes_text, epsilon_text, printable, seconds_text
from capc.roles import ANSWERING, GUARDIAN, QUERYING

SMALLEST = (38, 7)
_FORMS = ((90, 24), (60, 17), (38, 11), (0, 0))  # the least width and height of each, richest first
_CELL = 18  # of the smallest form: two steps beside each other


class _Painter:
    """One card at one moment in one width."""

    def __init__(self, card: Card, width: int, now: float, glyphs: Glyphs) -> None:
        self.card, self.width, self.now, self.glyphs = card, width, now, glyphs
        self.role = card.facts.role
        self.steps = STEPS_OF[self.role]

    # -- forms, the smallest first ---------------------------------------------------------

    def smallest(self) -> Iterator[Text]:
        facts = self.card.facts
        yield self.title()
        yield self._row("holds", facts.holds[0])
        yield self._row("learns", facts.brief)
        if self.card.state == "failed":
            yield from self.reason(most=3)
            return
        cells = [self._cell(step) for step in self.steps]
        if self.role == QUERYING:
            cells.append(self._setup_cell())
        for left, right in zip_longest(cells[::2], cells[1::2], fillvalue=Text()):
            left.truncate(_CELL, pad=True)
            yield Text.assemble(left, "  ", right)
        yield from self.own(lines=1)

    def small(self) -> Iterator[Text]:
        yield self.title()
        yield from self._roles(index=0)
        yield from self.reason(most=4)
        for step in self.steps:
            yield self._bar_row(step, short=True)
        yield self._setup_row()
        yield from self.own(lines=1)

    def usual(self) -> Iterator[Text]:
        yield self.title()
        yield Text(self.glyphs.rule * self.width, style=QUIET)
        yield from self._roles(index=1)
        yield from self.reason(most=4)
        yield from self._table()
        yield self._setup_row()
        yield from self.own(lines=1)

    def richest(self) -> Iterator[Text]:
        yield self.title()
        yield Text(self.glyphs.rule * self.width, style=QUIET)
        yield from self._roles(index=1)
        yield from self.reason(most=6)
        yield Text()
        yield from self._at_work()
        yield Text()
        yield from self._table()
        yield self._legend()
        yield Text()
        yield self._setup_row()
        yield from self.own(lines=6)

    # -- parts -----------------------------------------------------------------------------

    def title(self) -> Text:
        """Who, and at what: as many words as fit."""
        facts, (symbol, style) = self.card.facts, symbol_of(self.card.state, self.glyphs)
        for said in state_words(self.card):
            for name in (facts.title, facts.party):
                room = self.width - cell_len(name) - cell_len(said) - 3
                if room >= 0:
                    return Text.assemble(
                        (name, NAME), " " * (room + 1), (f"{symbol} {said}", style)
                    )
        return Text.assemble((f"{symbol} ", style), (facts.party, NAME))

    def reason(self, most: int) -> Iterator[Text]:
        """Why the party failed, where it did."""
        if self.card.state == "failed" and self.card.reason:
            lines = _wrapped(Text(printable(self.card.reason), FAILED), self.width)
            yield from lines[:most]

    def _row(self, head: str, said: str | Text) -> Text:
        return Text.assemble((f"{head:<7}", QUIET), said)

    def _roles(self, index: int) -> Iterator[Text]:
        facts = self.card.facts
        for head, said in (
            ("holds", facts.holds[index]),
            ("learns", facts.learns[index]),
            ("never", facts.never[index]),
        ):
            for place, line in enumerate(_wrapped(Text(said), self.width - 7)):
                yield self._row("" if place else head, line)

    def _at_work(self) -> Iterator[Text]:
        card = self.card
        if not card.step or card.state in ("done", "failed"):
            return
        stage = stage_of(card.step, card.phase)
        named = {SETUP: "set-up", OFFLINE: "before the query"}.get(stage, f"step {stage}")
        said = f"{named}: {sentence(stage, card.facts)}"
        yield from _wrapped(Text(said, CAUTION if card.state == "held" else WORKING), self.width)

    # -- steps -----------------------------------------------------------------------------

    def _figures(self) -> dict[str, Figures]:
        return {step: self.card.figures(step, self.now) for step in self.steps}

    def _bar(self, step: str, width: int) -> Text:
        """Offline and online as different characters, to the scale of the longest step."""
        every = self._figures()
        longest = max(figures.seconds for figures in every.values())
        figures = every[step]
        if longest <= 0:
            return Text(self.glyphs.empty * width, style=QUIET)
        whole = round(width * figures.seconds / longest)
        online = round(width * figures.online / longest)
        if figures.seconds and not whole:
            whole, online = 1, int(figures.online >= figures.offline)
        whole = max(whole, online)
        return Text.assemble(
            (self.glyphs.offline * (whole - online), WORKING),
            (self.glyphs.online * online, WORKING),
            (self.glyphs.empty * (width - whole), QUIET),
        )

    def _step_style(self, step: str) -> str:
        at_work = self.card.step == step and self.card.state == "working"
        return f"bold {WORKING}" if at_work and self.card.query is not None else ""

    def _cell(self, step: str) -> Text:
        figures = self.card.figures(step, self.now)
        total = figures.bytes_sent + figures.bytes_received
        text = Text.assemble((f"{step:<3}", self._step_style(step)), self._bar(step, 3))
        text.append(f" {short_seconds(figures.seconds):>5} {short_bytes(total):>5}")
        return text

    def _setup_cell(self) -> Text:
        return Text(f"set-up {short_seconds(self.card.setup_seconds):>5}", style=QUIET)

    def _bar_row(self, step: str, *, short: bool) -> Text:
        figures = self.card.figures(step, self.now)
        total = figures.bytes_sent + figures.bytes_received
        text = Text.assemble((f"{step:<3}", self._step_style(step)))
        text.append_text(self._bar(step, self.width - 3 - 13))
        text.append(f" {short_seconds(figures.seconds):>5} {short_bytes(total):>6}")
        return text

    def _table(self) -> Iterator[Text]:
        """A head and a line for each step, the bar as wide as the rest allows."""
        name = 20 if self.width >= 100 else 0
        columns: tuple[tuple[str, Callable[[Figures], str]], ...] = (
            ("offline", lambda figures: seconds_text(figures.offline)),
            ("online", lambda figures: seconds_text(figures.online)),
            ("sent", lambda figures: bytes_text(figures.bytes_sent)),
            ("received", lambda figures: bytes_text(figures.bytes_received)),
        )
        bar = min(60, self.width - 3 - name - 10 * len(columns))
        head = f"{'step':<{3 + name + bar}}" + "".join(f"{title:>10}" for title, _ in columns)
        yield Text(head, style=QUIET)
        for step in self.steps:
            figures = self.card.figures(step, self.now)
            text = Text.assemble((f"{step:<3}", self._step_style(step)))
            if name:
                text.append(f"{STEP_NAMES[step]:<{name}}", self._step_style(step))
            text.append_text(self._bar(step, bar))
            for _, value in columns:
                text.append(f"{value(figures):>10}")
            yield text

    def _legend(self) -> Text:
        glyphs = self.glyphs
        said = f"{glyphs.offline} offline, before the query is known   {glyphs.online} online"
        return Text(said, style=QUIET)

    def _setup_row(self) -> Text:
        card = self.card
        said = f"set-up {short_seconds(card.setup_seconds)}, in all "
        traffic = f"{short_bytes(card.bytes_sent)} out, {short_bytes(card.bytes_received)} in"
        return Text(said + traffic, style=QUIET)

    # -- what is a role's own --------------------------------------------------------------

    def own(self, lines: int) -> Iterator[Text]:
        """The guardian's budget, the querying party's labels, an answering party's service."""
        if self.role == GUARDIAN:
            yield self._gauge()
            yield self._counts()
        elif self.role == QUERYING:
            yield from self._labels(lines)
        elif self.card.served:
            yield Text(f"served {_queries(self.card.served)}, learned nothing")

    def _gauge(self) -> Text:
        """The budget that is spent, of what is allowed."""
        card, limit = self.card, self.card.facts.epsilon
        spent = 0.0 if card.epsilon is None else card.epsilon
        epsilon = self.glyphs.epsilon
        if limit is None:
            said = f"{epsilon} {epsilon_text(spent)} spent, no limit"
            return Text.assemble(("budget ", QUIET), said)
        share = min(1.0, spent / limit)
        said = f" {epsilon} {epsilon_text(spent)} of {epsilon_text(limit)}"
        width = max(3, min(60, self.width - 7 - cell_len(said)))
        full = int(width * share)
        style = FAILED if card.refused else CAUTION if share >= 0.8 else WORKING
        return Text.assemble(
            ("budget ", QUIET),
            (self.glyphs.online * full, style),
            (self.glyphs.empty * (width - full), QUIET),
            said,
        )

    def _counts(self) -> Text:
        card = self.card
        long, short = Text(), Text()
        for count, word, brief, style in (
            (card.answered, "answered", "answered", FINISHED),
            (card.below, "not answered", "below", CAUTION),
            (card.refused, "refused", "refused", FAILED),
        ):
            for text, name in ((long, word), (short, brief)):
                text.append(f"{', ' if text else ''}{count} {name}", style if count else QUIET)
        return long if long.cell_len <= self.width else short

    def _labels(self, lines: int) -> Iterator[Text]:
        """The last labels, the newest at the end."""
        labels = list(self.card.labels)
        if not labels:
            yield Text.assemble(("labels ", QUIET), ("none yet", QUIET))
            return
        room, rows, row = self.width - 8, [], ""
        for label in reversed(labels):
            word = "none" if label is None else str(label)
            if row and len(row) + 1 + len(word) > room - 2:
                rows.append(row)
                row = word
                if len(rows) == lines:
                    break
            else:
                row = f"{word} {row}".rstrip()
        else:
            rows.append(row)
        left_out = len(" ".join(rows).split()) < len(labels)
        for place, text in enumerate(reversed(rows)):
            head = ("label" if len(labels) == 1 else "labels") if not place else ""
            more = f"{self.glyphs.more} " if left_out and not place else ""
            yield Text.assemble((f"{head:<7}", QUIET), more, (text, LEARNED))


def _queries(count: int) -> str:
    return "1 query" if count == 1 else f"{count} queries"


def state_words(card: Card) -> Sequence[str]:
    """What the party is doing, or how it ended: from many words to few."""
    if card.state in ("starting", "failed"):
        return (card.state,)
    if card.state == "done":
        return _ending(card)
    if card.query is None:
        return ("ready",) if card.state == "ready" else (f"set-up, step {card.step}", "set-up")
    number = f"query {card.query}"
    place = f"{number} ({card.query + 1} of {card.facts.n_queries})"
    if card.state == "held":
        stage = stage_of(card.step, card.phase)
        before = "what is prepared" if stage == OFFLINE else f"step {stage}"
        return (f"{place}, held before {before}", f"{number}, held: {card.step}", "held")
    if card.state == "ready":
        return (f"{place}, step {card.step} done", f"{number}, {card.step} done", "waiting")
    at = f"{card.step} {card.phase}"
    return (f"{place}, step {at}", f"{number}, {at}", at)


def _ending(card: Card) -> Sequence[str]:
    role = card.facts.role
    if role == ANSWERING:
        return (f"finished: served {_queries(card.served)}", "finished")
    if role == GUARDIAN:
        refused = f", {card.refused} refused" if card.refused else ""
        return (f"finished: {card.answered} answered{refused}", "finished")
    if not card.labels:
        return ("finished: no query was answered", "finished")
    last = card.labels[-1]
    said = "the last without a label" if last is None else f"last label {last}"
    if len(card.labels) == 1:
        return ("finished: no label" if last is None else f"finished: label {last}", "finished")
    return (f"finished: {_queries(card.answered + card.below)}, {said}", said, "finished")


def _wrapped(text: Text, width: int) -> list[Text]:
    """Lines that end at a word; a word wider than a line is cut."""
    lines: list[Text] = []
    for word in text.plain.split():
        if lines and cell_len(lines[-1].plain) + 1 + cell_len(word) <= width:
            lines[-1].append(f" {word}")
        else:
            lines.append(Text(word, style=text.style))
    return lines


def fitted(lines: Sequence[Text], width: int, height: int, glyphs: Glyphs) -> list[Text]:
    """The first `height` lines; one that is too wide ends at a word, with a mark."""
    return [_clipped(line, width, glyphs) for line in lines[:height]]


def _clipped(line: Text, width: int, glyphs: Glyphs) -> Text:
    if line.cell_len <= width:
        return line
    place = line.plain.rfind(" ", 0, max(1, width - 1))
    kept = line[: max(0, place)]
    kept.rstrip()
    kept.append(f" {glyphs.more}" if width > 2 else "")
    kept.truncate(width)
    return kept


def card_lines(card: Card, width: int, height: int, now: float, glyphs: Glyphs) -> list[Text]:
    """The card as at most `height` lines of at most `width` columns; `now` by time.monotonic."""
    with card.locked():
        painter = _Painter(card, width, now, glyphs)
        forms: tuple[Callable[[], Iterator[Text]], ...] = (
            painter.richest,
            painter.usual,
            painter.small,
            painter.smallest,
        )
        lines: list[Text] = []
        for form, (least_width, least_height) in zip(forms, _FORMS, strict=True):
            if width < least_width or height < least_height:
                continue
            lines = list(form())
            if len(lines) <= height and all(line.cell_len <= width for line in lines):
                return lines
    if len(lines) > height > 1:
        del lines[1 : 1 + len(lines) - height]  # its own figures matter more than what it holds
    return fitted(lines, width, height, glyphs)
