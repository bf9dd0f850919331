"""--encryption_params, the same for every command that takes it."""

from __future__ import annotations

import argparse

from capc.errors import ConfigError
from capc.files import existing
from capc.he.parameters import EncryptionParameters

FAST = "config/fast.json"
"""The default of every command but `capc run`, which keeps the original's config/10.json."""


def add_encryption_params(parser: argparse._ActionsContainer, default: str = FAST) -> None:
    """The flag that `read_encryption_params` reads."""
    parser.add_argument(
        "--encryption_params",
        metavar="FILE",
        default=default,
        help=f"file with the encryption parameters, or the JSON itself (default {default})",
    )


def read_encryption_params(source: str, *, allow_insecure: bool = False) -> EncryptionParameters:
    """The flag's value, checked: JSON, or a file as it is named or else below the repository.

    Raises ConfigError that names the flag, for parameters below 128-bit security too unless
    `allow_insecure`.
    """
    text, name = source, "--encryption_params"
    if not source.lstrip().startswith("{"):
        path = existing(source)
        if path is None or not path.is_file():
            raise ConfigError(
                f"--encryption_params names {source}, which is not a file; give one of config/, or "
                "the JSON itself"
            )
        text, name = str(path), f"--encryption_params {source}"
    try:
        parameters = EncryptionParameters.from_json(text)
        parameters.require_secure(allow_insecure)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None
    return parameters
