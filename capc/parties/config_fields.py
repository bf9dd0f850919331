"""The checks of single fields of a party's config: a ValueError says what is allowed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from capc.errors import ConfigError

Choice = TypeVar("Choice", bound=str)


def field(fields: Mapping[str, Any], name: str, check: Callable[[Any], Any]) -> Any:
    """The checked field; ConfigError names it, its value and what is allowed."""
    if name not in fields:
        raise ConfigError(f"the party's config has no field {name}")
    try:
        return check(fields[name])
    except ValueError as error:
        raise ConfigError(
            f"the party's config: {name} is {fields[name]!r}; allowed is {error}"
        ) from None


def whole(low: int, high: int = 1 << 31) -> Callable[[Any], int]:
    """A whole number."""

    def check(value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return value

    return check


def real(low: float, *, above: bool = False) -> Callable[[Any], float]:
    """A finite number; `above`: and not `low` itself."""

    def check(value: Any) -> float:
        number = type(value) in (int, float) and math.isfinite(value)
        if not number or value < low or (above and value == low):
            raise ValueError(f"a number {'above' if above else 'of at least'} {low:g}")
        return float(value)

    return check


def boolean(value: Any) -> bool:
    """True or false."""
    if type(value) is not bool:
        raise ValueError("true or false")
    return value


def string(value: Any) -> str:
    """A text that is not empty."""
    if type(value) is not str or not value:
        raise ValueError("a text")
    return value


def optional(check: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The same, or null."""
    return lambda value: None if value is None else check(value)


def one_of(allowed: Sequence[Choice]) -> Callable[[Any], Choice]:
    """One of the texts."""

    def check(value: Any) -> Choice:
        for choice in allowed:
            if value == choice:
                return choice
        raise ValueError(f"one of {', '.join(allowed)}")

    return check


def mapping(value: Any) -> dict[str, Any]:
    """A JSON object."""
    if type(value) is not dict:
        raise ValueError("a JSON object")
    return value


def interval(value: Any) -> tuple[float, float]:
    """Two numbers, the lower first."""
    if type(value) is not list or len(value) != 2:
        raise ValueError("two numbers, the lower first")
    low, high = (real(-math.inf)(end) for end in value)
    if low >= high:
        raise ValueError("two numbers, the lower first")
    return low, high


def shape(value: Any) -> tuple[int, ...]:
    """A shape of one axis or more."""
    if type(value) not in (list, tuple) or not value:
        raise ValueError("a list of whole numbers from 1 up")
    return tuple(whole(1)(size) for size in value)
