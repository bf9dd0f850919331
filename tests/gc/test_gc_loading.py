"""The engine and TensorFlow in one process, whichever comes first."""

from __future__ import annotations

import subprocess
import sys

import pytest

SESSION = """
import threading
from capc.gc import EvaluatorSession, GarblerSession
from capc.transport.duplex import MemoryDuplex
left, right = MemoryDuplex.pair()
thread = threading.Thread(target=lambda: GarblerSession(left))
thread.start()
EvaluatorSession(right)
thread.join()
"""


@pytest.mark.parametrize("order", ["tensorflow first", "engine first"])
def test_beside_tensorflow(order: str) -> None:
    """TensorFlow exports BoringSSL under OpenSSL's names; base transfers would crash in it."""
    lines = ["import tensorflow", "import capc.gc"]
    program = "\n".join(lines if order == "tensorflow first" else lines[::-1]) + SESSION
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr[-2000:]
