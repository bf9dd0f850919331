"""The parsers behind the subcommands of `capc`, found by asking each for its help."""

from __future__ import annotations

import argparse
import contextlib
import io
from collections.abc import Iterator
from unittest.mock import patch

from capc import cli
from capc.command_line import Parser
from capc.roles import MODULES


class _FoundError(Exception):
    """Carries the parser whose help was asked for."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self.parser = parser


def _keep(parser: argparse.ArgumentParser, file: object = None) -> None:
    raise _FoundError(parser)


def _parser_of(*words: str) -> argparse.ArgumentParser | str:
    """The parser behind a subcommand, or the text of its help where it has none of its own."""
    printed = io.StringIO()
    with patch.object(Parser, "print_help", _keep), contextlib.redirect_stdout(printed):
        try:
            cli._dispatch([*words, "--help"], "capc")
        except _FoundError as found:
            return found.parser
    return printed.getvalue()


def commands() -> Iterator[tuple[tuple[str, ...], argparse.ArgumentParser | str]]:
    """The words of each subcommand and of those below it, with parser or text."""
    for name in cli._COMMANDS:
        found = _parser_of(name)
        yield (name,), found
        if name == "party":
            for below in (*MODULES, *cli._PARTY_TOOLS):
                yield (name, below), _parser_of(name, below)
        elif not isinstance(found, str):
            for action in found._actions:
                if isinstance(action, argparse._SubParsersAction):
                    for below, parser in action.choices.items():
                        yield (name, below), parser
