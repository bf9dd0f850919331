"""The circuit programs as the original's users call them, and what comes in from outside."""

from __future__ import annotations

import os
import secrets
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from programs_pair import BACK_ENDS, Relay, require

from capc.gc import _engine, noisy_argmax_circuit
from capc.gc.program_files import BackEnd, ProgramName, find_program

MODEST = settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def run_pair(
    name: ProgramName,
    folder: Path,
    inputs: tuple[str, str],
    *options: str,
    back_end: BackEnd = "builtin",
    evaluator_first: bool = False,
) -> tuple[list[int] | None, list[int] | None]:
    """Both programs with files; what each wrote, None for nothing. A free port is announced."""
    require(name, back_end)
    program = str(find_program(name, back_end))
    outputs = folder / "output1.txt", folder / "output2.txt"
    for party, text in enumerate(inputs, start=1):
        (folder / f"input{party}.txt").write_text(text)
        outputs[party - 1].unlink(missing_ok=True)

    def command(party: int, port: int) -> list[str]:
        files = [str(folder / f"input{party}.txt"), str(outputs[party - 1])]
        return [program, str(party), str(port), *files, "--timeout=20", *options]

    if evaluator_first:
        port = _free_port()
        evaluator = subprocess.Popen(command(2, port), text=True)
        garbler = subprocess.Popen(command(1, port), stdout=subprocess.DEVNULL, text=True)
    else:
        garbler = subprocess.Popen(command(1, 0), stdout=subprocess.PIPE, text=True)
        assert garbler.stdout is not None
        port = int(garbler.stdout.readline().rpartition(":")[2])
        evaluator = subprocess.Popen(command(2, port), text=True)
    with garbler, evaluator:
        try:
            assert (garbler.wait(30), evaluator.wait(30)) == (0, 0)
        finally:
            garbler.kill()
            evaluator.kill()
    written = [_numbers(path) if path.exists() else None for path in outputs]
    return written[0], written[1]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _numbers(path: Path) -> list[int]:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    return [int(line) for line in path.read_text().splitlines()]


def lines(values: list[int]) -> str:
    return "".join(f"{value}\n" for value in values)


def opened(written: tuple[list[int] | None, list[int] | None]) -> list[int]:
    assert written[0] is not None and written[1] is not None
    return [(a + b) % (1 << 32) for a, b in zip(written[0], written[1], strict=True)]


@pytest.mark.parametrize("back_end", BACK_ENDS)
@pytest.mark.parametrize("evaluator_first", [False, True])
def test_argmax_known_answer(back_end: BackEnd, evaluator_first: bool, tmp_path: Path) -> None:
    # Logits -4, 6, 6, 1: a negative one, and a tie that the lower class wins.
    written = run_pair(
        "argmax_1",
        tmp_path,
        (lines([5, -3, 100, 8]), lines([-9, 9, -94, -7])),
        back_end=back_end,
        evaluator_first=evaluator_first,
    )
    assert opened(written) == [0, 1, 0, 0]


@MODEST
@given(
    pairs=st.lists(
        st.tuples(
            st.integers(-(1 << 63), (1 << 64) - 1),
            st.one_of(st.integers(-3, 3), st.sampled_from([(1 << 63) - 1, -(1 << 63)])),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_argmax_of_any_integers(pairs: list[tuple[int, int]], tmp_path: Path) -> None:
    shares = [(logit - mask + (1 << 63)) % (1 << 64) - (1 << 63) for mask, logit in pairs]
    written = run_pair("argmax_1", tmp_path, (lines([m for m, _ in pairs]), lines(shares)))
    logits = [logit for _, logit in pairs]
    assert opened(written) == [int(j == logits.index(max(logits))) for j in range(len(logits))]


def test_argmax_in_a_small_ring(tmp_path: Path) -> None:
    # 3 + 5 = 8 is -8 modulo 16, so the second class wins.
    written = run_pair(
        "argmax_1", tmp_path, ("3\n1\n", "5\n1\n"), "--ring-bits=4", "--vote-bits", "8"
    )
    assert written[0] is not None and written[1] is not None
    assert [(a + b) % 256 for a, b in zip(written[0], written[1], strict=True)] == [0, 1]
    assert all(0 <= share < 256 for share in written[0] + written[1])


def test_vote_shares_are_fresh_and_not_the_logits_masks(tmp_path: Path) -> None:
    runs = [run_pair("argmax_1", tmp_path, ("7\n7\n", "1\n2\n"))[0] for _ in range(3)]
    shares = [tuple(run or ()) for run in runs]
    assert len(set(shares)) == 3
    assert all(share != (7, 7) for share in shares)


@pytest.mark.parametrize("back_end", BACK_ENDS)
@pytest.mark.parametrize(
    ("party_1", "party_2", "label"),
    [
        ([5, -3, 8], [1, 9, -7], 0),  # 6, 6, 1
        ([-10, -20, -9], [0, 5, 0], 2),  # -10, -15, -9: all negative
        ([(1 << 32) - 1, 0], [1, -1], 0),  # 0 and -1, after the wrap
        ([4], [4], 0),
    ],
)
def test_sum_histogram_known_answers(
    back_end: BackEnd, party_1: list[int], party_2: list[int], label: int, tmp_path: Path
) -> None:
    written = run_pair(
        "sum_histogram", tmp_path, (lines(party_1), lines(party_2)), back_end=back_end
    )
    assert written == (None, [label])


@pytest.mark.parametrize("back_end", BACK_ENDS)
@pytest.mark.parametrize(
    ("threshold", "answered"), [(6, False), (5, True), (4, True), (-100, True), (1000, False)]
)
def test_sum_histogram_threshold(
    back_end: BackEnd, threshold: int, answered: bool, tmp_path: Path
) -> None:
    # Votes 6, 6, 1 with noise -9, 0, 0, and -1 on the threshold: 5 is the most that is reached.
    shares, noisy = [5, -3, 8], [-4, -3, 8]
    written = run_pair(
        "sum_histogram",
        tmp_path,
        (lines(noisy + [share - 1 for share in shares]), lines([1, 9, -7])),
        f"--threshold={threshold}",
        back_end=back_end,
    )
    assert written == ([int(answered)], [1 if answered else -1])


def test_an_evaluator_cannot_deny_an_answer(tmp_path: Path) -> None:
    """The label of `answered` is the last that the evaluator says; one bit of it is flipped."""
    (tmp_path / "input1").write_text(lines([5, 3, 8, 5, 3, 8]))
    (tmp_path / "input2").write_text(lines([1, 9, -7]))
    program, answered = str(find_program("sum_histogram", "builtin")), tmp_path / "answered"
    circuit = noisy_argmax_circuit(32, 3, True)
    greeting, header, label = 48, 40, 16
    said_before = _engine.SETUP_OFFER_BYTES + _engine.SETUP_TREES_BYTES
    at = greeting + said_before + circuit.offline_bytes(1)[1] + header + label - 1
    garbler = subprocess.Popen(
        [program, "1", "0", str(tmp_path / "input1"), str(answered), "--threshold=0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with garbler:
        assert garbler.stdout is not None
        port = int(garbler.stdout.readline().rpartition(":")[2])
        relay = Relay(port, flip_after=at, flip_to_port=True)
        try:
            files = [str(tmp_path / "input2"), str(tmp_path / "label")]
            evaluator = [program, "2", str(relay.port), *files, "--threshold=0"]
            subprocess.run(evaluator, timeout=30, check=True)
            _, error = garbler.communicate(timeout=30)
        finally:
            garbler.kill()
            relay.close()
    assert (tmp_path / "label").read_text() == "1\n"  # it was answered
    assert garbler.returncode != 0
    assert "a label that no output has" in error
    assert not answered.exists()


def test_a_shared_key_encrypts_the_link(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.touch(0o600)
    key.write_bytes(secrets.token_bytes(32))
    written = run_pair("argmax_1", tmp_path, ("1\n2\n", "0\n0\n"), f"--key-file={key}")
    assert opened(written) == [0, 1]


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "good").write_text("1\n2\n3\n")
    (tmp_path / "word").write_text("1\nsecret17\n3\n")
    (tmp_path / "gap").write_text("1\n\n3\n")
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "huge").write_text("1\n18446744073709551616\n")
    (tmp_path / "fraction").write_text("1\n2.5\n")
    (tmp_path / "binary").write_bytes(os.urandom(2000))
    (tmp_path / "odd").write_text("1\n2\n3\n")
    (tmp_path / "long").write_bytes(b"1\n" * (3 << 20))
    (tmp_path / "short_key").write_bytes(bytes(31))
    (tmp_path / "short_key").chmod(0o600)
    (tmp_path / "open_key").write_bytes(bytes(32))
    (tmp_path / "open_key").chmod(0o644)
    yield tmp_path


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ([], 2, "--help"),
        (["1"], 2, "--help"),
        (["3", "37000", "good", "out"], 2, "the party"),
        (["1", "65536", "good", "out"], 2, "the port"),
        (["2", "0", "good", "out"], 2, "the port"),
        (["1", "37000", "good", "out", "more"], 2, "positional"),
        (["1", "37000", "good"], 2, "party 1 draws a vote share and needs an output file"),
        (["2", "37000", "good"], 2, "party 2 gets the other vote share"),
        (["1", "0", "good", "out", "--ring-bits=65"], 2, "1 to 64"),
        (["1", "0", "good", "out", "--timeout=-1"], 2, "seconds"),
        (["1", "0", "good", "out", "--timeout"], 2, "needs a value"),
        (["1", "0", "good", "out", "--treshold=3"], 2, "--treshold"),
        (["1", "0", "good", "out", "--threshold=3"], 2, "sum_histogram"),
        (["1", "0", "good", "out", "--classes=4"], 2, "--classes"),
        (["2", "1", "good", "out", "--host=example"], 2, "IPv4"),
        (["1", "0", "good", "out", "--host=127.0.0.1"], 2, "party 2"),
        (["1", "0", "--session"], 2, "--classes"),
        (["1", "0", "--session", "--classes=0", "--ring-bits=8"], 2, "1 to 65536"),
        (["1", "0", "missing", "out"], 1, "missing: No such file"),
        (["1", "0", "word", "out"], 1, "word:2: not an integer"),
        (["1", "0", "gap", "out"], 1, "gap:2: not an integer"),
        (["1", "0", "huge", "out"], 1, "huge:2: not an integer"),
        (["1", "0", "fraction", "out"], 1, "fraction:2: not an integer"),
        (["1", "0", "binary", "out"], 1, "binary:"),
        (["1", "0", "empty", "out"], 1, "no numbers"),
        (["1", "0", "long", "out"], 1, "4 MiB"),
        (["1", "0", ".", "out"], 1, "cannot read"),
        (["1", "0", "good", "no/such/folder/out"], 1, "cannot write"),
        (["1", "0", "good", "out", "--timeout=0.1"], 1, "no peer connected"),
        (["2", "1", "good", "out", "--timeout=0.1"], 1, "does not answer"),
        (["1", "0", "good", "out", "--key-file=short_key"], 1, "32 bytes"),
        (["1", "0", "good", "out", "--key-file=open_key"], 1, "chmod 600"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], status: int, said: str, files: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = sorted(files.iterdir())
    done = subprocess.run(
        [find_program("argmax_1"), *arguments], cwd=files, timeout=10, check=False
    )
    error = capfd.readouterr().err
    assert done.returncode == status
    assert said in error
    assert error.startswith("argmax_1: error: ")
    assert error.count("\n") == 1
    assert "secret17" not in error
    assert sorted(files.iterdir()) == before


def test_sum_histogram_needs_whole_pairs_of_lines(
    files: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    program = find_program("sum_histogram")
    done = subprocess.run(
        [program, "1", "0", "odd", "--threshold=3"], cwd=files, timeout=10, check=False
    )
    assert done.returncode == 2
    assert "two for each class" in capfd.readouterr().err


def test_files_of_different_length_are_an_error_on_both_sides(
    files: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (files / "four").write_text("1\n2\n3\n4\n")
    program = str(find_program("argmax_1"))
    with subprocess.Popen(
        [program, "1", "0", "good", "out"], cwd=files, stdout=subprocess.PIPE, text=True
    ) as garbler:
        assert garbler.stdout is not None
        port = garbler.stdout.readline().rpartition(":")[2].strip()
        evaluator = subprocess.run(
            [program, "2", port, "four", "out2"], cwd=files, timeout=10, check=False
        )
    assert (garbler.returncode, evaluator.returncode) == (1, 1)
    assert capfd.readouterr().err.count("the number of classes differs") == 2
    assert not (files / "out").exists() and not (files / "out2").exists()


def test_a_busy_port(files: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        program = find_program("argmax_1")
        assert (
            subprocess.run([program, "1", port, "good", "out"], cwd=files, check=False).returncode
            == 1
        )
    assert "give another port" in capfd.readouterr().err


def test_garbage_from_the_peer_of_a_file_run(
    files: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    program = str(find_program("argmax_1"))
    for garbage in (b"", b"GET / HTTP/1.0\r\n\r\n" * 10, b"CaPCprg1" + bytes(100)):
        with subprocess.Popen(
            [program, "1", "0", "good", "out"], cwd=files, stdout=subprocess.PIPE, text=True
        ) as garbler:
            assert garbler.stdout is not None
            port = int(garbler.stdout.readline().rpartition(":")[2])
            with socket.create_connection(("127.0.0.1", port)) as stranger:
                stranger.sendall(garbage)
        assert garbler.returncode == 1
        assert capfd.readouterr().err.count("\n") == 1
        assert not (files / "out").exists()


@pytest.mark.parametrize("name", ["argmax_1", "sum_histogram"])
def test_help_shows_an_example(name: ProgramName) -> None:
    done = subprocess.run(
        [find_program(name), "--help"], capture_output=True, text=True, timeout=10, check=True
    )
    assert "Example" in done.stdout and f"{name} 1 37000" in done.stdout


def test_shares_of_both_programs_fit_together(tmp_path: Path) -> None:
    """Three answering parties, then the guardian: the whole of steps 1c to 3 on files."""
    logits = np.array([[1, 9, 3], [4, 8, -2], [7, 0, 0]])
    sums = np.zeros((2, 3), dtype=np.int64)
    for row in logits:
        masks = np.array([secrets.randbelow(1 << 40) for _ in row])
        written = run_pair("argmax_1", tmp_path, (lines(list(masks)), lines(list(row - masks))))
        sums += np.array(written)
    written = run_pair("sum_histogram", tmp_path, (lines(list(sums[0])), lines(list(sums[1]))))
    assert written == (None, [1])
