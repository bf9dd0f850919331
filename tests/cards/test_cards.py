"""Cards at every size: what they say, what they never say, and that nothing is cut in a number."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from made_cards import LABEL, made
from rich.text import Text

from capc.cards.board import board_lines
from capc.cards.card import Card
from capc.cards.glyphs import ASCII, UNICODE, Glyphs, glyphs_for, short_bytes, short_seconds
from capc.cards.lines import card_lines, fitted
from capc.cards.shared import shared_lines
from capc.cards.words import STAGES, Facts, sentence
from capc.transport.control_messages import (
    Answer,
    Done,
    Error,
    Hold,
    Message,
    Opened,
    Progress,
    Timing,
)

PARTIES = ("querying", "guardian", "answering-0", "answering-399")
SIZES = ((38, 7), (39, 6), (60, 17), (80, 23), (90, 24), (100, 12), (120, 40), (200, 50))


def text_of(card: Card, width: int, height: int, glyphs: Glyphs = UNICODE) -> list[str]:
    return [line.plain for line in card_lines(card, width, height, 0.5, glyphs)]


def states() -> Iterator[Callable[[str], Card]]:
    """A card at each moment of a run."""

    def after(*messages: Message, asked: int = 12) -> Callable[[str], Card]:
        def make(party: str) -> Card:
            card = made(party, asked=asked)
            for message in messages:
                card.apply(message, 0.0)
            return card

        return make

    yield lambda party: Card(Facts(party, 1_000_000))
    yield after(Progress(None, "1c", "setup"), asked=0)
    yield after(asked=0)
    yield after(Hold(999_999, "1b", "online"))
    yield after(Progress(999_999, "2", "offline"))
    yield after(Timing(999_999, "2", "online", 86_400.0, 10**15, 10**15, 1, 1))
    yield after(Done(), asked=1)
    yield after(Done(), asked=20)
    yield after(Error("querying closed the connection before 1234567890123 bytes " * 5))


NUMBER_CUT = re.compile(r"\d+…|\d~")


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII], ids=["unicode", "ascii"])
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("party", PARTIES)
def test_a_card_fits_and_cuts_no_number(party: str, size: tuple[int, int], glyphs: Glyphs) -> None:
    for state in states():
        lines = text_of(state(party), *size, glyphs)
        assert 0 < len(lines) <= size[1]
        assert all(len(line) <= size[0] for line in lines), lines
        assert not NUMBER_CUT.search("\n".join(lines)), lines
        if glyphs is ASCII:
            assert "\n".join(lines).isascii()


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII], ids=["unicode", "ascii"])
def test_in_a_tiny_pane_a_line_ends_at_a_word(glyphs: Glyphs) -> None:
    line = Text("1a 263ms 1.2MB budget 8.4 of 1234567 answered 12345")
    for width in range(1, 60):
        (kept,) = fitted([line], width, 1, glyphs)
        assert kept.cell_len <= width
        assert set(kept.plain.split()) <= {*line.plain.split(), glyphs.more}
    for party in PARTIES:
        for width, height in ((1, 1), (7, 2), (26, 5), (37, 6), (200, 3)):
            lines = text_of(made(party), width, height, glyphs)
            assert len(lines) <= height
            assert all(len(line) <= width for line in lines)
            assert not NUMBER_CUT.search("\n".join(lines))


@pytest.mark.parametrize("size", [(38, 7), (200, 50)], ids=str)
def test_the_querying_partys_card_ends_with_its_label(size: tuple[int, int]) -> None:
    card = Card(Facts("querying", 1))
    card.apply(Progress(0, "3", "online"), 0.0)
    card.apply(Timing(0, "3", "online", 0.002, 7, 8, 1, 1), 0.0)
    card.apply(Answer(0, True, 7), 0.0)
    card.apply(Done(), 0.0)
    lines = text_of(card, *size)
    assert "querying party" in lines[0]
    assert "✓ finished: label 7" in lines[0]
    assert lines[-1].split() == ["label", "7"]
    assert any("holds  its queries" in line for line in lines)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_last_labels_stand_at_the_end(size: tuple[int, int]) -> None:
    card = Card(Facts("querying", 500))
    for query in range(500):
        card.apply(Answer(query, query % 3 > 0, query if query % 3 else None), 0.0)
    last = text_of(card, *size)[-1].split()
    assert last[-3:] == ["497", "none", "499"][-3:]
    first = next(line for line in text_of(card, *size) if line.startswith("labels"))
    assert first.split()[1] == "…"


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_guardians_gauge_and_counts(size: tuple[int, int]) -> None:
    card = made("guardian")
    card.apply(Done(), 0.0)
    *_, gauge, counts = text_of(card, *size)
    assert gauge.startswith("budget ")
    assert gauge.endswith("ε 8.4 of 10")
    bar = gauge.removeprefix("budget ").removesuffix(" ε 8.4 of 10")
    assert bar.count("█") == int(len(bar) * 0.84)
    assert counts in ("9 answered, 3 not answered, 8 refused", "9 answered, 3 below, 8 refused")


def test_a_budget_without_a_limit_has_no_gauge() -> None:
    lines = text_of(made("guardian", epsilon=None), 80, 23)
    assert "budget ε 8.4 spent, no limit" in lines


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("party", ["guardian", "answering-0"])
def test_only_the_querying_partys_card_has_a_label(party: str, size: tuple[int, int]) -> None:
    """Even if another party said one; and nobody's card has a share that --verify opens."""
    for name in (party, "querying"):
        card = made(name)
        card.apply(Answer(12, True, LABEL), 0.0)
        card.apply(Opened(12, "vote_share", None, (987_654_321,)), 0.0)
        card.apply(Done(), 0.0)
        text = "\n".join(text_of(card, *size))
        assert (str(LABEL) in text) == (name == "querying")
        assert "987654321" not in text


def test_a_failure_is_said_in_words() -> None:
    for size in SIZES:
        card = made("answering-0")
        card.apply(Error("the port is\ntaken \x1b[2J"), 0.0)
        lines = text_of(card, *size)
        assert "✗ failed" in lines[0]
        assert any("the port is taken ?[2J" in line for line in lines)


def test_cpu_says_who_sees_the_query() -> None:
    facts = Facts("answering-0", 1, unencrypted=True)
    for size in ((38, 7), (80, 23)):
        assert any("QUERY" in line for line in text_of(Card(facts), *size))
    assert "learns the query" in sentence("1a", facts)
    assert "nobody learns" in sentence("1a", Facts("answering-0", 1))


def test_who_draws_the_noise_is_said() -> None:
    for distributed in (False, True):
        facts = Facts("querying", 1, distributed_noise=distributed)
        for party, holds in (("guardian", not distributed), ("answering-0", distributed)):
            card = Card(Facts(party, 1, distributed_noise=distributed))
            for size in ((38, 7), (80, 23)):
                said = next(line for line in text_of(card, *size) if line.startswith("holds"))
                assert ("noise" in said.replace("no noise", "")) == holds
        assert ("guardian's noise" in sentence("3", facts)) != distributed
        assert ("the guardian draws" in sentence("set-up", facts)) != distributed
        assert ("part of the noise" in sentence("2", facts)) == distributed


def test_a_sentence_for_each_stage() -> None:
    for stage in STAGES:
        for threshold in (False, True):
            said = sentence(stage, Facts("querying", 1, with_threshold=threshold))
            assert "learns" in said
            assert "." not in said
    assert "whether there is one" in sentence("3", Facts("querying", 1, with_threshold=True))
    assert "every share" in sentence("3", Facts("querying", 1, verify=True))


def test_offline_and_online_differ_without_colour() -> None:
    card = Card(Facts("answering-0", 1))
    card.apply(Progress(0, "1a", "offline"), 0.0)
    card.apply(Timing(0, "1a", "offline", 1.0, 0, 0, 0, 1), 0.0)
    card.apply(Progress(0, "1a", "online"), 0.0)
    line = next(line for line in text_of(card, 80, 23) if line.startswith("1a"))
    bar = line[3:].split()[0]
    # Half a second has passed of the online phase.
    assert bar.count("▒") / bar.count("█") == pytest.approx(2, rel=0.1)
    assert "500.0 ms" in line


def test_no_label_in_a_shared_pane() -> None:
    card = made("answering-0")
    card.apply(Answer(12, True, LABEL), 0.0)
    for size in SIZES:
        lines = shared_lines([card, card], *size, 0.0, UNICODE)
        assert str(LABEL) not in "\n".join(line.plain for line in lines)


def test_fifty_parties_in_one_pane() -> None:
    cards = [made(f"answering-{index}", asked=1) for index in range(50)]
    cards[7].apply(Error("killed by SIGKILL"), 0.0)
    cards[9].apply(Done(), 0.0)
    cards[31].apply(Timing(0, "1c", "online", 9.0, 0, 0, 0, 1), 0.0)
    cards[12].apply(Timing(0, "1c", "online", 5.0, 0, 0, 0, 1), 0.0)
    for width, height in SIZES:
        lines = [line.plain for line in shared_lines(cards, width, height, 0.5, UNICODE)]
        assert len(lines) == height or height > 51
        assert all(len(line) <= width for line in lines)
        assert [line.split()[1] for line in lines[1:4]] == [
            *("answering-7", "answering-31", "answering-12")
        ]
        assert lines[-1].startswith(f"and {50 - (height - 2)} more: ") or height > 51
        assert "killed by SIGKILL" in lines[1]
    assert len(shared_lines(cards[:5], 80, 24, 0.0, UNICODE)) == 6


def test_the_board_shows_every_party_once() -> None:
    cards = [*(made(f"answering-{index}") for index in range(10)), made("guardian")]
    cards.append(made("querying"))
    for width, height in ((80, 24), (120, 40), (200, 50), (38, 7)):
        lines = [line.plain for line in board_lines(cards, width, height, 0.0, UNICODE)]
        assert len(lines) <= height
        assert all(len(line.rstrip()) <= width for line in lines)
    text = "\n".join(line.plain for line in board_lines(cards, 200, 50, 0.0, UNICODE))
    assert text.count("querying party") == text.count("privacy guardian") == 1


@pytest.mark.parametrize(
    ("environment", "glyphs"),
    [
        ({"LANG": "de_DE.UTF-8"}, UNICODE),
        ({"LC_ALL": "C.utf8", "LANG": "C"}, UNICODE),
        ({"LC_CTYPE": "en_US.utf8"}, UNICODE),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "C"}, ASCII),
        ({"LANG": "en_US.ISO-8859-1"}, ASCII),
        ({"LC_ALL": "", "LANG": "C.UTF-8"}, UNICODE),
        ({}, ASCII),
        ({"LC_CTYPE": "C.UTF-8"}, ASCII),  # Python's own doing, where there is no locale
        ({"LC_CTYPE": "C.UTF-8", "LANG": "C.UTF-8"}, UNICODE),
    ],
)
def test_characters_follow_the_locale(environment: dict[str, str], glyphs: Glyphs) -> None:
    assert glyphs_for(environment) is glyphs


def test_short_numbers_have_at_most_five_characters() -> None:
    assert [short_seconds(s) for s in (0, 1e-5, 0.0123, 0.9996, 9.994, 9.996, 123.4, 86_400)] == [
        *("0s", "<1ms", "12ms", "1.00s", "9.99s", "10.0s", "123s", "24h")
    ]
    assert [short_bytes(b) for b in (0, 999, 999.6, 1_500, 99_940, 999_600, 7e15)] == [
        *("0B", "999B", "1.0kB", "1.5kB", "100kB", "1.0MB", "999TB")
    ]
    for power in range(-60, 160):
        value = 10 ** (power / 10)
        assert len(short_seconds(value)) <= 5
        assert len(short_bytes(value)) <= 5
