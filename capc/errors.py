"""The errors that a user can cause or meet; each message says what is wrong and what to do."""

from __future__ import annotations

from enum import IntEnum


class ExitStatus(IntEnum):
    """The exit statuses of `capc` and run_experiment.py, the same for every subcommand."""

    OK = 0
    FAILED = 1
    USAGE = 2
    DISAGREES = 3
    NOTHING_ANSWERED = 4
    INTERRUPTED = 130


class CapcError(Exception):
    """Base of every error that reaches the command line as one line.

    Its `exit_status` is USAGE where a flag or a file cannot be used, FAILED where something that
    runs has failed.
    """

    exit_status = ExitStatus.USAGE


class ConfigError(CapcError):
    """A flag, parameter file or environment that cannot be used as given."""


class ModelError(CapcError):
    """A model file that cannot be read, or that the protocol cannot run."""


class RangeError(ModelError):
    """A value that may leave the ring Z_t; the message names the layer."""


class ProtocolError(CapcError):
    """A peer that sent what the protocol does not allow, another version, or nothing in time."""

    exit_status = ExitStatus.FAILED


class PeerGoneError(ProtocolError):
    """A peer whose connection has ended: the peer itself knows why."""


class SilentPeerError(ProtocolError):
    """A peer that sent nothing in time; it may itself have waited for another.

    `party` is its name in the protocol.
    """

    def __init__(self, party: str, said: str) -> None:
        super().__init__(said)
        self.party = party


class StoppedError(CapcError):
    """A party that its owner stops before the run is over."""

    exit_status = ExitStatus.FAILED


class FileError(CapcError):
    """A results file that cannot be written."""

    exit_status = ExitStatus.FAILED


class ProgramError(CapcError):
    """A program that this one has started, and that failed."""

    exit_status = ExitStatus.FAILED


class DisagreementError(CapcError):
    """Labels that differ from the reference on the same models: they must not be used."""

    exit_status = ExitStatus.DISAGREES


class BudgetError(CapcError):
    """A query that would exceed the privacy budget (epsilon, delta)."""

    exit_status = ExitStatus.NOTHING_ANSWERED
