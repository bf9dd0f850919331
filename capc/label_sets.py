"""Sets of labels as numbers and as text: label j is the bit 2^j."""

from __future__ import annotations

TASKS = ("single-label", "multi-label")
"""What a model answers: one class, or a set of labels."""

NONE = "none"


def set_text(number: int) -> str:
    """The labels of a set with blanks between them, or "none"."""
    return " ".join(str(j) for j in range(number.bit_length()) if number >> j & 1) or NONE


def set_number(text: str) -> int:
    """The set that `set_text` shows. Raises ValueError for another text."""
    return 0 if text == NONE else sum({1 << int(label) for label in text.split()})
