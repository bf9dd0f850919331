"""--step: who is held before what, when a key is asked for, and who goes on after it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from capc.cards.words import STEPS_OF, Facts
from capc.errors import ConfigError
from capc.harness.experiment import run
from capc.harness.lecture import Lecture
from capc.harness.settings import parse_settings
from capc.roles import role_of
from capc.transport.control_messages import Hold

NAMES = ("answering-0", "answering-1", "guardian", "querying")


class Talk:
    """A lecture with a pipe for a keyboard."""

    def __init__(self) -> None:
        self.keyboard, self.fingers = os.pipe()
        self.said: list[str] = []
        self.lecture = Lecture(NAMES, Facts("querying", 2), self.keyboard, self.said.append)

    def press(self) -> list[str]:
        os.write(self.fingers, b"x")
        pressed = self.lecture.pressed()
        assert pressed is not None
        assert pressed[1] >= 0
        return pressed[0]

    def hold(self, party: str, query: int, step: str, phase: str = "online") -> list[str]:
        return self.lecture.hold(party, Hold(query, step, phase))

    @property
    def next(self) -> str:
        return self.said[-2]


@pytest.fixture
def talk() -> Iterator[Talk]:
    made = Talk()
    assert not made.lecture.may_introduce()
    assert made.next.startswith("NEXT: set-up: ")
    assert made.press() == []
    assert made.lecture.may_introduce()
    yield made
    os.close(made.keyboard)
    os.close(made.fingers)


def test_a_stage_begins_for_all_that_take_part_in_it(talk: Talk) -> None:
    for name in ("guardian", "answering-1", "querying"):
        assert talk.hold(name, 0, "3" if name == "guardian" else "1a", "offline") == []
        assert not talk.lecture.asking
    assert talk.hold("answering-0", 0, "1a", "offline") == []
    assert talk.lecture.asking
    assert talk.next.startswith("NEXT: before query 0: ")
    assert sorted(talk.press()) == sorted(NAMES)
    assert not talk.lecture.asking
    # What is left of the same stage is not held; the guardian waits for a later one meanwhile.
    assert talk.hold("querying", 0, "3", "offline") == ["querying"]
    assert talk.hold("guardian", 0, "2") == []
    assert talk.hold("querying", 0, "1a") == []
    assert talk.hold("answering-1", 0, "1a") == []
    assert not talk.lecture.asking
    assert talk.hold("answering-0", 0, "1a") == []
    assert talk.next.startswith("NEXT: query 0, step 1a: ")
    assert set(talk.press()) == set(NAMES) - {"guardian"}


def test_every_party_goes_through_every_stage(talk: Talk) -> None:
    asked = []
    for query in (0, 4):
        for stage in ("offline", "1a", "1b", "1c", "2", "3"):
            taking_part = [
                name for name in NAMES if stage == "offline" or stage in STEPS_OF[role_of(name)]
            ]
            for name in taking_part:
                step = STEPS_OF[role_of(name)][0] if stage == "offline" else stage
                talk.hold(name, query, step, stage if stage == "offline" else "online")
            asked.append(talk.next.split(":")[1].strip())
            assert set(talk.press()) == set(taking_part)
    assert len(asked) == len(set(asked)) == 12


def test_a_key_that_nothing_asked_for_changes_nothing(talk: Talk) -> None:
    assert talk.press() == []
    talk.hold("querying", 0, "1a")
    assert talk.press() == []
    assert not talk.lecture.asking


def test_a_terminal_that_is_gone(talk: Talk) -> None:
    os.close(talk.fingers)
    assert talk.lecture.pressed() is None
    talk.fingers = os.open(os.devnull, os.O_WRONLY)


def test_off_a_terminal_it_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Path(os.devnull).open() as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        with pytest.raises(ConfigError, match=r"--step waits for a key, .* no terminal"):
            run(parse_settings(["--step", f"--results_dir={tmp_path / 'results'}"]))
    assert not (tmp_path / "results").exists()
