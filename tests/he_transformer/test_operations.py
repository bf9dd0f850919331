"""Every operation of he-transformer's list against TensorFlow: right, or refused by name."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from operations import CASES

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(__file__).resolve().parent / "programs" / "operations_run.py"
KINDS = ["local", "local_packed", "client", "client_packed"]

NOT_FOR_CLIENTS = {
    "divide_by_encrypted": "'truediv' (RealDiv) is supported at the end",
    "exp_inside": "'Exp' (Exp) is supported at the end",
    "softmax_inside": "'Softmax' (Softmax) is supported at the end",
}
"""What only a key at hand can evaluate, and the words of the refusal."""


def cases_of(kind: str) -> list[str]:
    """All, but with a client half: it takes minutes, and each is tried both ways without one."""
    if kind.startswith("client") and "CAPC_ALL_OPERATIONS" not in os.environ:
        return [*CASES][kind == "client" :: 2]  # every second one packed, the others not
    return [*CASES]


@pytest.fixture(scope="module")
def found() -> dict[str, dict[str, str]]:
    """By kind and case what came out, all in one process: TensorFlow takes seconds to load."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    paths = [str(ROOT / "capc" / "he_transformer"), str(ROOT)]
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(port), json.dumps({k: cases_of(k) for k in KINDS})],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "CAPC_INSECURE": "1",  # for small parameters
        },
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outcomes: dict[str, dict[str, str]] = {kind: {} for kind in KINDS}
    for line in done.stdout.splitlines():
        kind, case, outcome = json.loads(line)
        outcomes[kind][case] = outcome
    return outcomes


@pytest.mark.timeout(1000)
@pytest.mark.parametrize("kind", KINDS)
def test_right_or_refused_by_name(found: dict[str, dict[str, str]], kind: str) -> None:
    assert len(CASES) > 90
    assert list(found[kind]) == cases_of(kind)
    for name, outcome in found[kind].items():
        words = NOT_FOR_CLIENTS.get(name) if kind.startswith("client") else None
        if words is None:
            assert outcome == "right", (name, outcome)
        else:
            assert outcome.startswith("refused: ") and words in outcome, (name, outcome)
