"""What all programs of CaPC share on the command line: exit statuses, a parser, one-line errors."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import errno
import logging
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from capc.errors import CapcError, ConfigError, ExitStatus
from capc.files import owner_only
from capc.standard_streams import OutputError, ReaderGoneError, abandon_output, guard, say
from capc.unforeseen import one_line, unforeseen

__all__ = [
    "STATUS_MEANINGS",
    "ExitStatus",
    "Parser",
    "add_results_dir",
    "epilog",
    "run_command",
    "status_table",
    "whole_number",
]

STATUS_MEANINGS = {
    ExitStatus.OK: "all went well",
    ExitStatus.FAILED: "a party, a program or a results file failed",
    ExitStatus.USAGE: "a flag or a file cannot be used",
    ExitStatus.DISAGREES: "a result differs from the reference",
    ExitStatus.NOTHING_ANSWERED: "the privacy budget admitted no query",
    ExitStatus.INTERRUPTED: "stopped by Ctrl-C",
}


# A name of a file that a user gave and that stands for nothing usable.
_UNUSABLE = (errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENOENT)


def status_table() -> str:
    """The exit statuses, one on each line, as `--help` prints them."""
    lines = [f"  {status.value:>3}  {meaning}" for status, meaning in STATUS_MEANINGS.items()]
    return "\n".join(["exit status:", *lines])


def epilog(*examples: str) -> str:
    """What `--help` of a subcommand ends with: its examples, and the exit statuses."""
    heading = "example:" if len(examples) == 1 else "examples:"
    return "\n".join([heading, *(f"  {example}" for example in examples), "", status_table()])


class Parser(argparse.ArgumentParser):
    """A parser that says in one line, by ConfigError, what it cannot read.

    `examples` are complete commands. They stand at the end of the help, above the exit statuses.
    """

    def __init__(
        self,
        prog: str | None = None,
        *,
        description: str | None = None,
        examples: Sequence[str] = (),
        **others: object,
    ) -> None:
        settings: dict[str, object] = {
            "formatter_class": argparse.RawDescriptionHelpFormatter,
            "allow_abbrev": False,
            **others,
        }
        if examples:
            settings["epilog"] = epilog(*examples)
        super().__init__(prog, description=description, **settings)  # type: ignore[arg-type]

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """The flags; ConfigError names the first word that is none, and what it may have meant."""
        flags, unknown = self.parse_known_args(args, namespace)
        if unknown:
            self.error(self._unknown(unknown[0]))
        return flags

    def error(self, message: str) -> NoReturn:
        """Raise ConfigError, where argparse would print and exit."""
        raise ConfigError(f"{message.removeprefix('argument ')}; see {self.prog} --help")

    def _unknown(self, word: str) -> str:
        if not word.startswith("-"):
            return f"unexpected word {word!r}: every value follows its flag"
        name = word.partition("=")[0]
        close = difflib.get_close_matches(name, self._option_string_actions, 1)
        return f"there is no flag {name}" + (f"; did you mean {close[0]}?" if close else "")


def whole_number(least: int, most: int | None = None) -> Callable[[str], int]:
    """A flag's type: a whole number from `least` to `most`."""
    allowed = f"from {least} up" if most is None else f"from {least} to {most}"

    def number(text: str) -> int:
        try:
            value = int(text) if len(text) <= 20 else None
        except ValueError:
            value = None
        if value is None or value < least or (most is not None and value > most):
            raise argparse.ArgumentTypeError(f"{text[:40]} is not a whole number {allowed}")
        return value

    return number


def add_results_dir(
    parser: argparse._ActionsContainer, default: object, meaning: str, *old_names: str
) -> None:
    """`--results_dir`, the same for every subcommand; `old_names` are earlier spellings of it."""
    shown = f"{meaning} (default: {default})"
    parser.add_argument("--results_dir", metavar="FOLDER", default=default, help=shown)
    for name in old_names:
        parser.add_argument(name, dest="results_dir", help=argparse.SUPPRESS)


def run_command(entry: Callable[[], int], *, debug: bool = False) -> int:
    """The exit status of `entry`; whatever goes wrong is one line on standard error.

    What nobody foresaw leaves its traceback in a file that the line names, and shows it under
    `debug`. Files and folders made meanwhile, by children too, are their owner's alone.
    """
    logging.raiseExceptions = debug  # a log on a full disk loses lines, not the run
    with owner_only():
        try:
            guard()
            _require_working_folder()
            return _all_written(entry)
        except KeyboardInterrupt:
            say("capc: stopped")
            return ExitStatus.INTERRUPTED
        except ReaderGoneError:
            abandon_output()
            return ExitStatus.FAILED
        except OutputError as error:
            abandon_output()
            return _failed(str(error), error, debug)
        except CapcError as error:
            return _failed(str(error), error, debug)
        except Exception as error:
            return _failed(one_line(error) or unforeseen(error), error, debug)


def _all_written(entry: Callable[[], int]) -> int:
    """Output that waits in its buffer must not fail when nobody can say so any more."""
    try:
        status = entry()
    except SystemExit:  # argparse, after --help
        sys.stdout.flush()
        raise
    sys.stdout.flush()
    return status


def _failed(line: str, error: Exception, debug: bool) -> int:
    if debug:
        with contextlib.suppress(OSError, ValueError):
            traceback.print_exception(type(error), error, error.__traceback__)
    say(f"capc: error: {' '.join(line.split())}")
    if isinstance(error, CapcError):
        return error.exit_status
    unusable = isinstance(error, OSError) and error.filename and error.errno in _UNUSABLE
    return ExitStatus.USAGE if unusable else ExitStatus.FAILED


def _require_working_folder() -> None:
    try:
        Path.cwd()
    except OSError as error:
        raise ConfigError(
            f"the working folder cannot be used ({error.strerror}): it was deleted, or is not "
            "this user's; change to another"
        ) from None
