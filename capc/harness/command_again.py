"""The command line of a run, from its flags: to repeat it, or to go on where it stopped."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping
from typing import Any

from capc.harness.flags import build_parser

PROGRAM = "capc run"


def command_again(flags: Mapping[str, Any], unknown: Collection[str] = ()) -> str:
    """The shortest command that gives these flags; those that are the defaults are left out.

    `flags` are as argparse or run.json has them. `unknown` flags have a value that is not said.
    """
    defaults = vars(build_parser(PROGRAM).parse_args([]))
    words = PROGRAM.split()
    for name, default in defaults.items():
        if name == "resume":
            continue  # the others are those of the run that it went on from
        if name in unknown:
            words.append(f"--{name}=...")
        elif name in flags and str(_plain(flags[name])) != str(_plain(default)):
            words += flag_words(name, flags[name])
    return shlex.join(words)


def command_to_go_on(flags: Mapping[str, Any], done: int) -> str:
    """The command that asks what is left after `done` queries of this run; at least one is."""
    left = int(flags["n_queries"]) - done
    if left < 1:
        raise ValueError(f"{done} of {flags['n_queries']} queries are done: nothing is left")
    start = int(flags["start_batch"]) + done
    return command_again({**flags, "n_queries": left, "start_batch": start})


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def flag_words(name: str, value: Any) -> list[str]:
    """The words of a flag on a command line; none for a switch that is off, or for no value."""
    if value is None or value is False:
        return []
    if value is True:
        return [f"--{name}"]
    if isinstance(value, list | tuple):
        return [f"--{name}", *map(str, value)]
    return [f"--{name}={value}"]
