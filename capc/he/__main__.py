"""`python -m capc.he`: what the linear layers of CryptoNets-ReLU cost under given parameters."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TextIO

from capc.errors import CapcError
from capc.fixed_point import FixedPoint
from capc.he.allocation import keep_freed_memory
from capc.he.measure import CRYPTONETS_RELU, ONLINE, Measurements, measure
from capc.he.parameters import EncryptionParameters

_EXAMPLE = "example: python -m capc.he --encryption_params config/fast.json --ring_bits 41"


def main(arguments: Sequence[str] | None = None, output: TextIO = sys.stdout) -> int:
    """Print medians in milliseconds and bytes per message; 0, or 1 with one line of error."""
    parser = argparse.ArgumentParser(prog="python -m capc.he", description=__doc__, epilog=_EXAMPLE)
    parser.add_argument("--encryption_params", default="config/fast.json", help="file or JSON")
    parser.add_argument("--ring_bits", type=int, default=41, help="bits of t, 26 to 60")
    parser.add_argument("--repetitions", type=int, default=20, help="queries to measure")
    options = parser.parse_args(arguments)
    if not 26 <= options.ring_bits <= 60 or options.repetitions < 1:
        parser.error("--ring_bits is 26 to 60, and --repetitions at least 1")
    keep_freed_memory()
    try:
        parameters = EncryptionParameters.from_json(options.encryption_params)
        fixed_point = FixedPoint(options.ring_bits, 12)
        taken = measure(parameters, fixed_point, CRYPTONETS_RELU, options.repetitions)
    except CapcError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    _report(taken, output)
    return 0


def _report(taken: Measurements, output: TextIO) -> None:
    for layer, operation in taken.seconds:
        spread = sorted(taken.seconds[layer, operation])
        low, high = spread[len(spread) // 10], spread[-1 - len(spread) // 10]
        output.write(
            f"{layer or 'set-up':15} {operation:15} {taken.median(layer, operation) * 1e3:8.2f} ms"
            f"   ({low * 1e3:.2f} to {high * 1e3:.2f})\n"
        )
    for (layer, kind), size in taken.bytes_sent.items():
        output.write(f"{layer or 'set-up':15} {kind:15} {size:8} bytes\n")
    output.write(
        f"one query, all layers: {taken.total() * 1e3:.1f} ms, "
        f"of which online {taken.total(ONLINE) * 1e3:.1f} ms\n"
    )


if __name__ == "__main__":
    sys.exit(main())
