"""The flags that say how non-linear layers run, for every command that has them."""

from __future__ import annotations

import argparse

from capc.inference.choice import NONLINEAR_WAYS, NonlinearChoice


def add_nonlinear(parser: argparse._ActionsContainer) -> None:
    """Add --nonlinear and --link."""
    parser.add_argument(
        "--nonlinear",
        choices=NONLINEAR_WAYS,
        default="garbled",
        help="non-linear layers in garbled circuits, by oblivious transfers (fewer bytes, more "
        "round trips) where a layer has that form, or whichever is faster (default garbled)",
    )
    parser.add_argument(
        "--link",
        default=None,
        metavar="TIME,RATE",
        help="the line between the parties, by which auto chooses and encrypted layers are packed: "
        "its round-trip time and its rate, such as 40ms,100mbit, or `measured`: when they meet "
        "(default: one machine)",
    )


def nonlinear_choice(flags: argparse.Namespace) -> NonlinearChoice:
    """What the flags say; ConfigError for a line that is none."""
    return NonlinearChoice.of(flags.nonlinear, flags.link)
