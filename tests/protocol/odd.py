"""Test-only stand-in for a program: the real party, whose frames are of another kind.

CAPC_TEST_ODD is "<party> <kind>": kind "garbage" breaks the frames' beginning, "version" their
version, "type" their type.
"""

from __future__ import annotations

import os
import sys

from dying import MODULES

from capc.transport import channel
from capc.transport.framing import MessageType, encode_header


def main(role: str) -> int:
    """Run the real party of this role, its frames spoiled where asked; its exit status."""
    party, kind = os.environ["CAPC_TEST_ODD"].split()

    def header(message_type: MessageType, length: int) -> bytes:
        frame = bytearray(encode_header(message_type, length))
        if kind == "garbage":
            frame[:4] = b"GET "
        elif kind == "version":
            frame[4] += 1
        elif kind == "type":
            frame[5] = 99
        return bytes(frame)

    if party.startswith(role):
        channel.encode_header = header  # type: ignore[attr-defined]
    status: int = MODULES[role].main(sys.argv[1:])
    return status
