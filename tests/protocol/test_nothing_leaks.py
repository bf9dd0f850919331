"""Every secret of a real run is looked for wherever another party could find it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from capc.harness.experiment import run
from capc.harness.settings import parse_settings

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MODULES = {
    "querying": "revealing_querying",
    "answering": "revealing_answering",
    "guardian": "revealing_guardian",
}
FLAGS = [
    "--n_parties=2",
    "--n_queries=2",
    "--ignore_parties",
    f"--checkpoint_dir={ROOT / 'models'}",
    f"--encryption_params={ROOT / 'config' / 'fast.json'}",
    "--sigma=3",
    "--timeout=120",
]


class Evidence:
    """What a run left or showed, and the secrets that its parties had."""

    def __init__(self, revealed: Path, shown: dict[str, bytes]) -> None:
        self.shown = shown
        self.secrets: dict[str, list[list[int]]] = {"mask": [], "share": [], "query": []}
        self.texts: list[str] = []
        for file in revealed.iterdir():
            for line in file.read_text().splitlines():
                kind, value = json.loads(line)
                if kind.startswith("shown:"):
                    self.shown[f"{file.name} {kind}"] = self.shown.get(
                        f"{file.name} {kind}", b""
                    ) + value.encode("latin1")
                elif isinstance(value, str):
                    self.texts.append(value)
                else:
                    self.secrets[kind].append(value)


def run_revealing(
    monkeypatch: pytest.MonkeyPatch, folder: Path, launcher: str
) -> tuple[int, Path, Path]:
    revealed, results = folder / "revealed", folder / "results"
    revealed.mkdir()
    monkeypatch.setenv("CAPC_TEST_REVEAL", str(revealed))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), str(ROOT)]))
    settings = parse_settings([*FLAGS, f"--launcher={launcher}", f"--results_dir={results}"])
    return run(settings, MODULES), revealed, results


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def monkeypatch_module() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def evidence(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch_module: pytest.MonkeyPatch
) -> Iterator[Evidence]:
    """A run in tmux, on a tmux server of its own, with everything it showed."""
    folder = tmp_path_factory.mktemp("leaks")
    patch = monkeypatch_module
    patch.delenv("TMUX", raising=False)
    patch.setenv("TMUX_TMPDIR", str(folder))
    try:
        status, revealed, results = run_revealing(patch, folder, "tmux")
        assert status == 0
        shown = files_below(results)
        panes = subprocess.run(
            ["tmux", "list-panes", "-a", "-F", "#{pane_id}"], capture_output=True, check=True
        )
        for pane in panes.stdout.decode().split():
            capture = ["tmux", "capture-pane", "-p", "-J", "-S", "-", "-t", pane]
            shown[f"pane {pane}"] = subprocess.run(capture, capture_output=True, check=True).stdout
        yield Evidence(revealed, shown)
    finally:
        subprocess.run(["tmux", "kill-server"], check=False, capture_output=True)


def test_there_is_something_to_find(evidence: Evidence) -> None:
    assert len(evidence.shown) > 10
    assert sum(map(len, evidence.secrets["mask"])) > 2 * 2 * 2000
    assert len(evidence.secrets["query"]) >= 4
    assert len(evidence.secrets["share"]) >= 8
    assert len(evidence.texts) >= 4
    assert any("argmax_1" in key.decode("latin1") for key in evidence.shown.values())


def test_no_number_in_text(evidence: Evidence) -> None:
    """Masks and shares of 32 bits or more, in decimal or hexadecimal."""
    secret = {
        value
        for kind in ("mask", "share")
        for values in evidence.secrets[kind]
        for value in values
        if value >= 1 << 28
    }
    assert len(secret) > 5000
    for place, content in evidence.shown.items():
        text = content.decode("latin1")
        decimal = {int(word) for word in re.findall(r"(?<![\d.])\d{9,19}(?![\d.])", text)}
        hexadecimal = {int(word, 16) for word in re.findall(r"[0-9a-fA-F]{7,16}", text)}
        assert not (decimal | hexadecimal) & secret, place


def test_no_raw_bytes(evidence: Evidence) -> None:
    """The start of every secret vector, in the widths that programs store."""
    for kind in ("mask", "share", "query"):
        for values in evidence.secrets[kind]:
            array = np.asarray(values, dtype=np.int64)
            nonzero = np.flatnonzero(array)
            if nonzero.size < 4:
                continue
            start = int(nonzero[nonzero.size // 2])
            piece = array[start : start + 4]
            needles = {piece.astype(dtype).tobytes() for dtype in ("<i8", "<f8", ">i8")}
            if kind != "query":
                needles.add(piece.astype("<u4").tobytes())
            for place, content in evidence.shown.items():
                assert not any(needle in content for needle in needles if any(needle)), (
                    kind,
                    place,
                )


def test_no_query_in_text(evidence: Evidence) -> None:
    """Four neighbouring pixels that are not all alike, written as a list of any common form."""
    for values in evidence.secrets["query"]:
        array = np.asarray(values)
        for start in range(0, array.size - 4, 4):
            piece = array[start : start + 4]
            if len(set(piece.tolist())) < 4:
                continue
            for scale in (1, 4096 / 255, 4096):
                words = [f"{value / scale:.6g}" for value in piece]
                pattern = re.compile(r"[,\s\[\]]+".join(re.escape(word) for word in words).encode())
                for place, content in evidence.shown.items():
                    assert not pattern.search(content), place


def test_no_key(evidence: Evidence) -> None:
    for text in evidence.texts:
        for place, content in evidence.shown.items():
            assert text.encode() not in content, place
            if re.fullmatch(r"(?:[0-9a-f]{2})+", text):
                assert bytes.fromhex(text) not in content, place


def test_masks_are_never_repeated(evidence: Evidence) -> None:
    """The same vector twice would show a difference of secrets; so would two alike parties."""
    vectors = [tuple(values) for values in evidence.secrets["mask"] if len(values) >= 10]
    assert len(vectors) == len(set(vectors)) > 10


def test_the_search_finds_what_is_there(evidence: Evidence) -> None:
    """The test above can fail: a planted mask is found."""
    value = next(v for values in evidence.secrets["mask"] for v in values if v >= 1 << 28)
    planted = Evidence.__new__(Evidence)
    planted.secrets, planted.texts = evidence.secrets, evidence.texts
    planted.shown = {"a log": f"09:00:00 answering-0 mask {value}".encode()}
    with pytest.raises(AssertionError):
        test_no_number_in_text(planted)


def test_a_party_alone_prints_its_usage() -> None:
    for role in ("querying_party", "answering_party", "privacy_guardian"):
        result = subprocess.run(
            [sys.executable, "-m", f"capc.parties.{role}"],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
        )
        assert result.returncode == 2
        assert "usage: capc party" in result.stderr
        assert "examples:" in result.stderr
