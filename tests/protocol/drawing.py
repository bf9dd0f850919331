"""Test-only stand-in: the real party, whose sampler of noise fails once its set-up is over."""

from __future__ import annotations

import sys
from typing import Any

from dying import MODULES

from capc.parties import own_noise
from capc.transport.control import ControlClient


def main(role: str) -> int:
    """Run the real party of this role; its exit status."""
    drawing: Any = own_noise if role == "answering" else MODULES[role]
    sample, ready = drawing.sample_noise, ControlClient.ready
    over: list[bool] = []

    def sample_before(*arguments: Any, **options: Any) -> Any:
        if over:
            raise AssertionError("noise is drawn in the middle of a run")
        return sample(*arguments, **options)

    def note(client: ControlClient) -> None:
        over.append(True)
        ready(client)

    drawing.sample_noise = sample_before
    ControlClient.ready = note  # type: ignore[assignment, method-assign]
    status: int = MODULES[role].main(sys.argv[1:])
    return status
