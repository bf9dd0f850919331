"""The guardian's words of step 3: those of the tested circuit, checked before they are used."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from capc.errors import ConfigError
from capc.fixed_point import Int64
from capc.parties.config import PrivacySettings
from capc.parties.privacy_guardian import BatchNoise, Guardian

VOTE_SHARE = np.array([[1, 2, (1 << 32) - 1]])


class Program:
    """A circuit program that keeps the words it is fed."""

    def __init__(self) -> None:
        self.words: list[list[list[int]]] = []

    def evaluate(self, words: Int64) -> Int64:
        self.words.append(words.tolist())
        return np.ones((len(words), 1), dtype=np.int64)


def guardian(program: Program, threshold: int | None) -> Guardian:
    settings = PrivacySettings(1.0, threshold, 1.0, None, 1e-5, "improved")
    config = SimpleNamespace(privacy=settings, n_parties=10, num_classes=3)
    unused = cast(Any, None)
    runtime = cast(Any, SimpleNamespace(config=config))
    return Guardian(runtime, unused, [], cast(Any, program))


def test_the_words_are_those_of_the_circuit() -> None:
    program = Program()
    noise = BatchNoise(np.array([[-2, 0, 5]]), np.array([-3]))
    for threshold in (None, 4):
        answered = guardian(program, threshold)._noisy_argmax(VOTE_SHARE, noise)
        assert answered.tolist() == [1]
    noisy = [(1 << 32) - 1, 2, 4]
    below = [(1 << 32) - 6, (1 << 32) - 5, (1 << 32) - 8]
    assert program.words == [[noisy], [noisy + below]]


@pytest.mark.parametrize("threshold", [None, 4])
@pytest.mark.parametrize("reach", [(1 << 31) - 10, -(1 << 31) - 1])
def test_noise_that_would_wrap_never_reaches_the_circuit(threshold: int | None, reach: int) -> None:
    program = Program()
    noise = BatchNoise(np.array([[0, reach, 0]]), np.array([0]))
    with pytest.raises(ConfigError, match="use a smaller sigma"):
        guardian(program, threshold)._noisy_argmax(VOTE_SHARE, noise)
    assert program.words == []
