"""Characters, colours and short numbers of the cards: the same everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Glyphs:
    """The characters that stand for a state, a bar and the like; each is one column wide."""

    working: str
    waiting: str
    finished: str
    failed: str
    online: str
    offline: str
    empty: str
    rule: str
    more: str
    epsilon: str


UNICODE = Glyphs("▶", "‖", "✓", "✗", "█", "▒", "·", "─", "…", "ε")
ASCII = Glyphs(">", "=", "+", "x", "#", "o", ".", "-", "~", "eps")

# A colour repeats what a word or a character says.
WORKING = "cyan"
FINISHED = "green"
FAILED = "bold red"
CAUTION = "yellow"
LEARNED = "bold magenta"
QUIET = "dim"
NAME = "bold"


def glyphs_for(environment: Mapping[str, str]) -> Glyphs:
    """ASCII where the locale is not UTF-8.

    Python itself sets LC_CTYPE to C.UTF-8 where there is no locale (PEP 538), and its children see
    that: alone it says nothing of the terminal.
    """
    coerced = environment.get("LC_CTYPE") in ("C.UTF-8", "C.utf8") and not any(
        environment.get(name, "C") not in ("", "C", "POSIX") for name in ("LC_ALL", "LANG")
    )
    names = () if coerced else ("LC_ALL", "LC_CTYPE", "LANG")
    locale = next((environment[name] for name in names if environment.get(name)), "C")
    return UNICODE if locale.lower().replace("-", "").endswith("utf8") else ASCII


def symbol_of(state: str, glyphs: Glyphs) -> tuple[str, str]:
    """The character and the colour of a card's state; waiting where it is none of the others."""
    return {
        "working": (glyphs.working, WORKING),
        "held": (glyphs.waiting, CAUTION),
        "done": (glyphs.finished, FINISHED),
        "failed": (glyphs.failed, FAILED),
    }.get(state, (glyphs.waiting, QUIET))


def short_seconds(seconds: float) -> str:
    """A time in at most five characters, three digits of it."""
    if seconds < 0.0005:
        return "<1ms" if seconds else "0s"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f}ms"
    for digits, limit in ((2, 9.995), (1, 99.95), (0, 9999.5)):
        if seconds < limit:
            return f"{seconds:.{digits}f}s"
    return f"{min(seconds / 3600, 9999):.0f}h"


def short_bytes(count: float) -> str:
    """A number of bytes in at most five characters, in powers of 1000."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 999.5 or unit == "TB":
            digits = 1 if unit != "B" and count < 9.95 else 0
            return f"{min(count, 999):.{digits}f}{unit}"
        count /= 1000
    raise AssertionError
