"""The errors that a user can cause or meet; each message says what is wrong and what to do."""


class CapcError(Exception):
    """Base of every error that reaches the command line as one line.

    `exit_status` is one of capc.command_line.ExitStatus: 2 where a flag or a file cannot be used,
    1 where something that runs has failed.
    """

    exit_status = 2


class ConfigError(CapcError):
    """A flag, parameter file or environment that cannot be used as given."""


class ModelError(CapcError):
    """A model file that cannot be read, or that the protocol cannot run."""


class RangeError(ModelError):
    """A value that may leave the ring Z_t; the message names the layer."""


class ProtocolError(CapcError):
    """A peer that sent what the protocol does not allow, another version, or nothing in time."""

    exit_status = 1


class FileError(CapcError):
    """A results file that cannot be written."""

    exit_status = 1


class ProgramError(CapcError):
    """A program that this one has started, and that failed."""

    exit_status = 1


class BudgetError(CapcError):
    """A query that would exceed the privacy budget (epsilon, delta)."""
