"""Keyword arguments as the flags of `capc run`, so that both are checked in one place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike

from capc.errors import ConfigError
from capc.harness.command_again import PROGRAM, flag_words
from capc.harness.settings import Settings, parse_settings

StrPath = str | PathLike[str]
FlagValue = StrPath | float | Sequence[float] | None
"""A flag's value: a switch is true or false, and None leaves the flag out."""


def settings_of(flags: Mapping[str, FlagValue]) -> Settings:
    """The flags, validated; ConfigError that names the flag, the value and what is allowed."""
    if "help" in flags:  # it prints, and ends the program
        raise ConfigError("help is no argument; docs/running.md lists the flags")
    words = [word for name, value in flags.items() for word in flag_words(name, value)]
    return parse_settings(words, PROGRAM)
