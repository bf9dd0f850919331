"""A dataclass from a JSON object, each field checked; an error names the field and what is allowed.

Every function raises ConfigError for what it does not allow.
"""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, TypeVar

from capc.errors import ConfigError

_T = TypeVar("_T")


def build(kind: type[_T], values: Any, where: str) -> _T:
    """A dataclass from a JSON object; every field is checked against its annotation."""
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where.rstrip('.')} is {values!r}; give a JSON object")
    hints = typing.get_type_hints(kind)
    known = [entry.name for entry in fields(typing.cast(Any, kind))]
    for name in values:
        if name not in known:
            raise ConfigError(f"{where}{name} is no field; there are {', '.join(known)}")
    given = {name: _value(hints[name], value, f"{where}{name}") for name, value in values.items()}
    for entry in fields(typing.cast(Any, kind)):
        if entry.name not in given and entry.default is entry.default_factory is MISSING:
            raise ConfigError(f"{where}{entry.name} is missing")
    try:
        return kind(**given)
    except ConfigError as error:
        raise ConfigError(f"{where}{error}") from None


def _value(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _value(next(kind for kind in arguments if kind is not type(None)), value, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise ConfigError(f"{where} is {value!r}; give a list")
        return tuple(_value(arguments[0], entry, f"{where}[{i}]") for i, entry in enumerate(value))
    if is_dataclass(hint):
        return build(typing.cast("type[Any]", hint), value, f"{where}.")
    if origin is typing.Literal:
        choice(where, value, arguments)
    elif hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    elif not isinstance(value, hint) or (hint is not bool and isinstance(value, bool)):
        raise ConfigError(f"{where} is {value!r}; give a value of type {hint.__name__}")
    return value


def named(name: str, values: tuple[str, ...]) -> None:
    """One or more names, all different."""
    if not values or len(set(values)) < len(values):
        raise ConfigError(f"{name} is {list(values)}; give one or more different names")


def choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """One of the allowed values."""
    if value not in allowed:
        raise ConfigError(f"{name} is '{value}'; allowed are {', '.join(allowed)}")


def whole(name: str, value: int, low: int, high: int) -> None:
    """A whole number from `low` to `high`."""
    if not low <= value <= high:
        raise ConfigError(f"{name} is {value}; allowed is {low} to {high}")


def between(name: str, value: float, low: float, high: float) -> None:
    """A number from `low` to `high`."""
    if not low <= value <= high:
        raise ConfigError(f"{name} is {value:g}; allowed is {low:g} to {high:g}")


def positive(name: str, value: float) -> None:
    """A finite number above 0."""
    if not (math.isfinite(value) and value > 0):
        raise ConfigError(f"{name} is {value:g}; allowed is a number above 0")
