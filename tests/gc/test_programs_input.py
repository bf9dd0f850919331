"""What the circuit programs make of bytes on standard input, and of its end."""

from __future__ import annotations

import struct
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capc.gc.program_files import ProgramName, find_program

KEY_FRAME = struct.pack("<2sBBI", b"CG", 1, 1, 32) + bytes(32)
SESSION = ["2", "1", "--session", "--ring-bits=8", "--classes=2", "--timeout=2"]


def talk(text: bytes, name: ProgramName = "argmax_1") -> subprocess.CompletedProcess[bytes]:
    arguments = [word for word in SESSION if name == "argmax_1" or "ring" not in word]
    program = [str(find_program(name)), *arguments]
    return subprocess.run(program, input=text, capture_output=True, timeout=10, check=False)


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        (b"", 3, b""),
        (b"CG\x01", 3, b""),
        (KEY_FRAME[:-1], 3, b""),
        (b"not a frame at all", 1, b"no frame"),
        (b"CG\x02\x01" + bytes(4), 1, b"version 2"),
        (b"CG\x01\x63" + bytes(4), 1, b"unknown type 99"),
        (b"CG\x01\x11" + bytes(4), 1, b"unknown type 17"),
        (b"CG\x01\x01\xff\xff\xff\xff", 1, b"at most 268435456"),
        (b"CG\x01\x01" + struct.pack("<I", 31) + bytes(31), 1, b"KEY frame of 32"),
        (b"CG\x01\x04" + bytes(4), 1, b"KEY frame of 32"),
    ],
)
def test_garbage_on_standard_input(text: bytes, status: int, said: bytes) -> None:
    done = talk(text)
    assert done.returncode == status
    assert said in done.stderr
    assert done.stderr.count(b"\n") == (1 if said else 0)
    if said:
        assert done.stdout[:4] == b"CG\x01\x1f"
        assert said in done.stdout
    else:
        assert done.stdout == b""


@settings(max_examples=10, deadline=None)
@given(noise=st.binary(max_size=200), framed=st.booleans())
def test_any_bytes_on_standard_input_end_the_program(noise: bytes, framed: bool) -> None:
    done = talk((b"CG\x01" if framed else b"") + noise, "sum_histogram")
    assert done.returncode in (1, 3)
    assert done.stderr.count(b"\n") <= 1


def test_closing_standard_input_ends_a_waiting_program_at_once() -> None:
    words = ["1", "0", "--session", "--ring-bits=8", "--classes=2", "--timeout=600"]
    with subprocess.Popen(
        [find_program("argmax_1"), *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as program:
        assert program.stdin is not None and program.stdout is not None
        program.stdin.write(KEY_FRAME)
        program.stdin.flush()
        assert program.stdout.read(12)[3] == 17
        program.stdin.close()
        try:
            assert program.wait(timeout=5) == 3
        finally:
            program.kill()
