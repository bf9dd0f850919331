"""The errors that a user can cause or meet; each message says what is wrong and what to do."""


class CapcError(Exception):
    """Base of every error that reaches the command line as one line and a non-zero exit status."""


class ConfigError(CapcError):
    """A flag, parameter file or environment that cannot be used as given."""


class ModelError(CapcError):
    """A model file that cannot be read, or that the protocol cannot run."""


class RangeError(ModelError):
    """A value that may leave the ring Z_t; the message names the layer."""


class ProtocolError(CapcError):
    """A peer that sent what the protocol does not allow, another version, or nothing in time."""


class BudgetError(CapcError):
    """A query that would exceed the privacy budget (epsilon, delta)."""
