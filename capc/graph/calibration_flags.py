"""--calibration and --calibration_margin, the same for every command that prepares models."""

from __future__ import annotations

import argparse
from pathlib import Path

from capc.errors import ConfigError
from capc.graph.calibration import DEFAULT_MARGIN, Calibration


def add_calibration(parser: argparse._ActionsContainer) -> None:
    """The flags that `calibration_of` reads."""
    parser.add_argument(
        "--calibration",
        metavar="EXAMPLES.npy",
        help="public examples, float32 (n, height, width, channels). An activation without an "
        "upper limit gets one, above all that these examples reach. Every answering party sees "
        "them",
    )
    parser.add_argument(
        "--calibration_margin",
        type=float,
        help="a limit is the next power of two above this factor times what the examples reach. "
        f"Needs --calibration (default {DEFAULT_MARGIN:g})",
    )


def calibration_of(
    chosen: argparse.Namespace, input_range: tuple[float, float]
) -> Calibration | None:
    """The calibration that the flags ask for, for pixels in `input_range`.

    Raises ConfigError for a margin that none has.
    """
    margin = chosen.calibration_margin
    if chosen.calibration is None:
        if margin is not None:
            raise ConfigError("--calibration_margin needs --calibration, a file of public examples")
        return None
    chosen_margin = DEFAULT_MARGIN if margin is None else margin
    return Calibration(Path(chosen.calibration), chosen_margin, input_range)
