"""What NGRAPH_HE_LOG_LEVEL and NGRAPH_HE_VERBOSE_OPS make a server print, on standard output."""

from __future__ import annotations

import math
import os
import sys
import time

from capc.ckks.context import default_scale
from capc.graph.layers import Bias, Conv2D, Dense, Gather, Layer, Square, Transpose
from capc.he.parameters import EncryptionParameters

PARAMETERS, OPERATIONS, COMMUNICATION = 1, 3, 4

_GREEN, _RED, _END = "\033[1;32m", "\033[1;31m", "\033[0m"
_NAMES: dict[type[Layer], str] = {
    Bias: "Add",
    Conv2D: "Convolution",
    Dense: "Dot",
    Gather: "Slice",
    Square: "Multiply",
    Transpose: "Reshape",
}
"""nGraph's names of layers, where they are not those of the classes."""


def log_level() -> int:
    """NGRAPH_HE_LOG_LEVEL, 0 to 5; 0 where it is not set or no number."""
    text = os.environ.get("NGRAPH_HE_LOG_LEVEL", "").strip()
    return int(text) if text.isdigit() else 0


def say(level: int, line: str) -> None:
    """Print a line where the log level is at least `level`."""
    if log_level() >= level:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def is_verbose(operation: str) -> bool:
    """Whether NGRAPH_HE_VERBOSE_OPS asks for an operation: "all", or names between commas."""
    asked = {
        name.strip().lower() for name in os.environ.get("NGRAPH_HE_VERBOSE_OPS", "").split(",")
    }
    return "all" in asked or operation.lower() in asked


def operation_name(layer: Layer) -> str:
    """A layer as nGraph calls it."""
    return _NAMES.get(type(layer), type(layer).__name__)


def say_parameters(parameters: EncryptionParameters, scheme: str) -> None:
    """At level 1: the encryption parameters."""
    bits = parameters.coeff_modulus
    lines = [
        "Encryption parameters :",
        f"  scheme: {scheme}",
        f"  poly_modulus_degree: {parameters.poly_modulus_degree}",
        f"  coeff_modulus size: {sum(bits)} ({' + '.join(map(str, bits))}) bits",
        f"  security_level: {parameters.security_level}",
    ]
    if scheme == "CKKS":
        scale = parameters.scale or default_scale(bits)
        lines[4:4] = [
            f"  scale: 2^{math.log2(scale):.1f}",
            f"  complex_packing: {parameters.complex_packing}",
        ]
    for line in lines:
        say(PARAMETERS, f"| {line}")


class OperationTimer:
    """At level 3, for the operations asked for: one line each with its time, then the total."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._start = self._last = time.perf_counter()

    def restart(self) -> None:
        """Count from here: what went before was set-up."""
        self._counts.clear()
        self._start = self._last = time.perf_counter()

    def done(self, operation: str, detail: str = "") -> None:
        """An operation has ended now; it began when the one before ended."""
        now = time.perf_counter()
        name = f"{operation}_{self._counts.get(operation, 0)}"
        self._counts[operation] = self._counts.get(operation, 0) + 1
        if is_verbose(operation):
            say(OPERATIONS, f"{_GREEN}[ {name} ]{_END} {detail}".rstrip())
            say(OPERATIONS, f"{_RED}{name} took {(now - self._last) * 1e3:.0f}ms{_END}")
        self._last = now

    def total(self) -> None:
        """The end of one evaluation."""
        if is_verbose("total"):
            spent = (time.perf_counter() - self._start) * 1e3
            say(OPERATIONS, f"{_GREEN}Total time {spent:.0f} (ms){_END}")
