"""The artefact: commands that exist, claims that can fail, an index page whatever happens."""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from capc import cli
from capc.bench import artefact
from capc.bench.artefact_claims import Claim, Step, steps
from capc.bench.rows import measured, write_rows
from capc.command_line import Parser


@pytest.mark.parametrize("size", ["small", "full"])
def test_each_command_is_one_of_ours(size: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = []

    def stop(parser: Parser, words: Any = None, namespace: Any = None) -> Any:
        flags, unknown = argparse.ArgumentParser.parse_known_args(parser, words, namespace)
        assert not unknown
        parsed.append(flags)
        raise SystemExit

    monkeypatch.setattr(Parser, "parse_args", stop)
    for step in steps(size):
        with pytest.raises(SystemExit):
            cli.main([*step.words, *(["--results_dir=x"] if step.takes_folder else [])])
    assert len(parsed) == len(steps(size))


def artefact_claim(part: str) -> Claim:
    (found,) = [c for step in steps("small") for c in step.claims if part in c.said]
    return found


def put(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(("status", "rows", "holds"), [(0, 5, True), (3, 5, False), (0, 4, False)])
def test_every_share_is_compared(tmp_path: Path, status: int, rows: int, holds: bool) -> None:
    put(tmp_path, "latest/run.json", json.dumps({"exit_status": status}))
    put(tmp_path, "latest/queries.csv", "query\n" + "1\n" * rows)
    assert artefact_claim("bit for bit").look(tmp_path, "")[1] is holds


@pytest.mark.parametrize(
    ("answered", "epsilon", "holds"),
    [(3, 1.4, True), (3, 1.6, False), (5, 1.4, False), (0, 0, False)],
)
def test_the_budget(tmp_path: Path, answered: int, epsilon: float, holds: bool) -> None:
    lines = [f"true,{epsilon}"] * answered + ["false,"] * (5 - answered)
    put(tmp_path, "latest/queries.csv", "answered,epsilon_spent\n" + "\n".join(lines) + "\n")
    assert artefact_claim("refuses").look(tmp_path, "")[1] is holds


def test_epsilon_and_the_recorded_run(tmp_path: Path) -> None:
    account, recorded = artefact_claim("100 answers"), artefact_claim("re-derived")
    assert account.look(tmp_path, '{"epsilon": 10.9104}') == ("10.9104", True)
    assert not account.look(tmp_path, '{"epsilon": 11.2}')[1]
    line = "queries within 2.5            1621  {}\n"
    assert recorded.look(tmp_path, line.format(1616)) == ("1,616", True)
    assert not recorded.look(tmp_path, line.format(900))[1]


@pytest.mark.parametrize(("ratio", "holds"), [(12.0, True), (0.5, False)])
def test_ratios(tmp_path: Path, ratio: float, holds: bool) -> None:
    rows = "".join(f"N = {n},1a,{ratio}\nN = {n},2-3,0.1\n" for n in (8192, 16384, 32768))
    put(tmp_path, "table1.csv", f"row,steps,ratio\n{rows}no encryption,1a,0.1\n")
    assert artefact_claim("step 1a").look(tmp_path, "")[1] is holds
    ours, peer = measured("relu", "builtin", [1.0]), measured("relu", "emp-0.3", [ratio])
    later = measured("relu", "emp-dev", [0.75 if holds else 12.0])  # the claim is of 0.3
    write_rows(tmp_path / "gc.csv", [ours, peer, later])
    assert artefact_claim("EMP").look(tmp_path, "")[1] is holds
    write_rows(tmp_path / "gc.csv", [ours])
    assert artefact_claim("EMP").look(tmp_path, "") == (
        "EMP 0.3 is not installed; docs/emp.md says how",
        None,
    )


@pytest.mark.parametrize(("off", "gain", "holds"), [(0.01, 0.02, True), (0.2, -0.01, False)])
def test_lines_and_gains(tmp_path: Path, off: float, gain: float, holds: bool) -> None:
    put(tmp_path, "laws.csv", f"axis,megabytes_off\nparties,{off}\nbatch,9\n")
    assert artefact_claim("bytes of a query").look(tmp_path, "")[1] is holds
    put(
        tmp_path,
        "few/summary.csv",
        f"arm,strategy,metric,mean\ncapc,gap,accuracy_gain,{gain}\nvote,,x,1\n",
    )
    put(tmp_path, "few/queries.csv", "epsilon_independent\n19.9\n")
    said, found = artefact_claim("models better").look(tmp_path, "")
    assert said.startswith(f"{100 * gain:.1f} by gap") and found is holds


def plan(monkeypatch: pytest.MonkeyPatch, *planned: Step) -> None:
    monkeypatch.setattr(artefact, "steps", lambda size: planned)


def test_the_folder_has_an_index_page_and_claims(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good = Claim("it prints", "an epsilon", lambda folder, printed: ("yes", "epsilon" in printed))
    bad = Claim("it fails <b>", "never", lambda folder, printed: ("no", False))
    absent = Claim("there is no peer", "a ratio", lambda folder, printed: ("no peer", None))
    words = ("privacy", "cost", "--sigma=7", "--queries=1")
    plan(
        monkeypatch,
        Step("cost", words, 0.1, (good, bad, absent), takes_folder=False, page="x.html"),
    )
    folder = tmp_path / "results" / "artefact"
    flags = ["artefact", f"--results_dir={folder}"]
    assert cli.main(flags) == 3
    with (folder / "claims.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["verdict"] for row in rows] == ["holds", "does not hold", "not measured"]
    assert rows[0]["command"] == "capc privacy cost --sigma=7 --queries=1"
    index = (folder / "index.html").read_text()
    assert "3 claims: holds 1, does not hold 1, not measured 1." in index
    assert "it fails &lt;b&gt;" in index
    assert 'href="cost/x.html"' in index and 'href="cost/output.txt"' in index
    assert (folder / "cost" / "output.txt").read_text().startswith("$ capc privacy cost")
    assert "artefact/index.html" in (tmp_path / "results" / "index.html").read_text()
    assert "does not hold: it fails" in capsys.readouterr().out
    assert cli.main(flags) == 2
    assert "is not empty" in capsys.readouterr().err


def test_a_command_that_fails_costs_its_claims_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(words: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        status = 1 if "broken" in words else 0
        return subprocess.CompletedProcess(words, status, "said", "")

    monkeypatch.setattr(subprocess, "run", ended)
    holds = Claim("c", "e", lambda folder, printed: ("f", True))
    absent = Claim("d", "e", lambda folder, printed: (str((folder / "x").stat()), True))
    plan(
        monkeypatch, Step("a", ("broken",), 0.1, (holds,)), Step("b", ("b",), 0.1, (holds, absent))
    )
    monkeypatch.setattr(artefact, "machine", dict)
    assert artefact.main([f"--results_dir={tmp_path / 'new'}"]) == 3
    with (tmp_path / "new" / "claims.csv").open(newline="") as file:
        found = [(row["verdict"], row["found"].partition(":")[0]) for row in csv.DictReader(file)]
    assert found == [
        ("does not hold", "no result"),
        ("holds", "f"),
        ("does not hold", "no result"),
    ]
