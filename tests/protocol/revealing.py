"""Test-only stand-ins for the three programs: the same program, its secrets copied to a file.

`python -m revealing_querying` and its siblings run the real party after hooking the places where
secrets are made, so that a test can look for those very values wherever they must not be. The
file's folder comes from CAPC_TEST_REVEAL.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import capc.fixed_point
from capc.gc.programs import CircuitProgram
from capc.transport.tls import Identity

PROGRAMS = ("argmax_1", "sum_histogram")


class Reveal:
    """One line per secret: kind and value."""

    def __init__(self, party: str) -> None:
        folder = Path(os.environ["CAPC_TEST_REVEAL"])
        self._file = (folder / f"{party}-{os.getpid()}.jsonl").open("a", buffering=1)

    def integers(self, kind: str, values: Any) -> None:
        """Write an array down, flattened."""
        self._file.write(json.dumps([kind, np.asarray(values).reshape(-1).tolist()]) + "\n")

    def text(self, kind: str, value: str) -> None:
        """Write a text down."""
        self._file.write(json.dumps([kind, value]) + "\n")

    def processes(self) -> None:
        """What `ps` shows, arguments and environment, of this process and its programs."""
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                if os.getpgid(int(entry.name)) == os.getpgid(0):
                    for name in ("cmdline", "environ"):
                        self.text(f"shown:{name}", (entry / name).read_bytes().decode("latin1"))
            except OSError:
                continue


def hook(owner: Any, name: str, after: Callable[[Any], None]) -> None:
    """Call `after` with every result of owner.name."""
    original = getattr(owner, name)

    def hooked(*arguments: Any, **options: Any) -> Any:
        result = original(*arguments, **options)
        after(result)
        return result

    setattr(owner, name, hooked)


def reveal(party: str, module: ModuleType) -> int:
    """Run a party's program with its secrets copied."""
    target = Reveal(party)

    def masks(values: Any) -> None:
        target.integers("mask", values)

    hook(capc.fixed_point, "uniform_bits", masks)
    if hasattr(module, "uniform_bits"):
        hook(module, "uniform_bits", masks)
    hook(capc.fixed_point.FixedPoint, "encode", lambda values: target.integers("query", values))
    create = Identity.create

    def create_identity(name: str) -> Identity:
        identity = create(name)
        target.text("private key", identity._private_key.decode().split("\n")[1])
        return identity

    Identity.create = create_identity  # type: ignore[method-assign,assignment]
    evaluate = CircuitProgram.evaluate

    def evaluate_shown(program: CircuitProgram, shares: Any) -> Any:
        target.text("program key", program.key.hex())
        target.integers("share", shares)
        outputs = evaluate(program, shares)
        if outputs is not None and program.name == "argmax_1":
            target.integers("share", outputs)
        target.processes()
        return outputs

    CircuitProgram.evaluate = evaluate_shown  # type: ignore[assignment, method-assign]
    status: int = module.main()
    return status
