"""Every worked example of docs/extending.md is followed, and every file it names is looked at."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import types
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from documents import ROOT, read, section

from capc.bench import bench_command
from capc.bench.rows import parse_rows
from capc.data import dataset_sources, datasets
from capc.fixed_point import FixedPoint
from capc.graph.layers import KINDS, Input, Layer, Scales
from capc.graph.layers.interval import Interval
from capc.graph.tensorflow import operations
from capc.graph.tensorflow.builder import Builder
from capc.harness import tables
from capc.harness.launchers.processes import PartySpec
from capc.harness.outcome import Outcome
from capc.harness.supervisor import Supervisor
from capc.inference import protocols
from capc.transport.control_messages import Message

PAGE = "docs/extending.md"
SECTIONS = re.findall(r"^## (.+)$", read(PAGE), re.MULTILINE)
FAKE_PARTY = ROOT / "tests" / "harness" / "fake_party.py"


def worked(heading: str, language: str) -> list[str]:
    """The worked blocks of a section in one language."""
    fence = rf"^```{language} worked\n(.*?)^```$"
    found = re.findall(fence, section(PAGE, heading), re.MULTILINE | re.DOTALL)
    assert found, f"{heading}: no worked example"
    return found


def follow(heading: str, **given: Any) -> dict[str, Any]:
    """Execute the Python blocks of a section, one after the other; the names they leave."""
    names: dict[str, Any] = {"__name__": "worked_example", **given}
    for example in worked(heading, "python"):
        exec(compile(example, f"{PAGE}: {heading}", "exec"), names)
    return names


def rows(heading: str) -> Iterator[tuple[str, list[str]]]:
    """The files of a section's table, and the names that each row gives to search for."""
    for line in section(PAGE, heading).splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        path = re.fullmatch(r"`(.+)`", cells[0])
        if line.startswith("|") and len(cells) == 3 and path is not None:
            yield path[1], re.findall(r"`([^`]+)`", cells[2])


@pytest.mark.parametrize("heading", SECTIONS)
def test_files_exist_and_hold_what_to_search_for(heading: str) -> None:
    found = list(rows(heading))
    assert len(found) >= 3
    for path, names in found:
        text = (ROOT / path).read_text(encoding="utf-8")
        for name in names:
            assert name in text, f"{heading}: {path} has no {name}"


@pytest.mark.slow
def test_the_circuit_in_cpp_builds_and_its_test_passes(tmp_path: Path) -> None:
    """The three blocks go where the table says, in a copy of the sources."""
    compiler = shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler")
    builder, declaration, test = worked("Adding a circuit", "cpp")
    engine, tests = tmp_path / "engine", tmp_path / "test"
    for folder in (engine, tests):
        shutil.copytree(ROOT / "gc-emp-test" / folder.name, folder)
    put(engine / "layer_circuits.hpp", declaration, before="}  // namespace capc::gc")
    put(engine / "layer_circuits.cpp", builder, before="}  // namespace capc::gc")
    put(tests / "test_layer_circuits.cpp", test, before="}  // namespace")
    source = tests / "test_layer_circuits.cpp"
    source.write_text(source.read_text().replace("int main() {", "int main() {\n  absolute();"))
    units = [
        engine / f"{name}.cpp" for name in ("builder", "circuit", "layer_circuits", "word_digest")
    ]
    command = [compiler, "-std=c++20", "-Wall", "-Wextra", "-Werror", f"-I{engine}"]
    command += [*map(str, (source, *units)), "-o", str(tmp_path / "program"), "-lcrypto"]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    subprocess.run([str(tmp_path / "program")], check=True)


def put(path: Path, text: str, *, before: str) -> None:
    """Insert text before the last line that is `before`."""
    head, found, tail = path.read_text().rpartition(f"\n{before}\n")
    assert found, f"{path.name} has no line {before}"
    path.write_text(f"{head}\n{text}{found}{tail}")


def test_the_circuit_in_bristol_fashion() -> None:
    follow("Adding a circuit")


def test_the_data_set_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPC_CACHE", str(tmp_path))
    monkeypatch.setattr(datasets, "DATASETS", datasets.DATASETS.copy())
    sources = dataset_sources.SOURCES.copy()
    monkeypatch.setattr(dataset_sources, "SOURCES", sources)
    monkeypatch.setattr(datasets, "SOURCES", sources)
    follow("Adding a data set")
    assert (tmp_path / "datasets" / "stripes.npz").is_file()


class Silent:
    """An observer that keeps nothing."""

    def on_message(self, party: str, message: Message) -> None:
        pass

    def on_state(self, party: str, state: str) -> None:
        pass

    def refresh_at(self) -> float | None:
        return None

    def refresh(self) -> None:
        pass


@pytest.mark.slow
@pytest.mark.parametrize("behaviour", ["good", "exit3", "stubborn"])
def test_the_launcher_runs_scripted_parties(
    behaviour: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All succeed; one fails; one ignores SIGTERM while another fails."""
    failing = {"guardian": "exit3"} if behaviour == "stubborn" else {}
    monkeypatch.setenv("CAPC_FAKE", json.dumps({"answering-0": behaviour, **failing}))
    launcher = follow("Adding a launcher")["NiceLauncher"]()
    names = ("answering-0", "guardian", "querying")
    launcher.prepare(names, tmp_path)
    outcome = supervised(launcher, names, tmp_path)
    launcher.finish(keep=True)
    assert outcome.succeeded == (behaviour == "good")
    assert None not in outcome.exit_statuses.values()
    assert launcher.notes == ["3 parties run with low priority"]
    said = (tmp_path / "answering-0.log").read_text()
    assert launcher.redirects("answering-0")
    assert f"answering-0 is {behaviour}" in said


def supervised(launcher: Any, names: tuple[str, ...], folder: Path) -> Outcome:
    def with_control(spec: PartySpec, control: Path) -> PartySpec:
        config = str(spec.directory / "config.json")
        words = (str(FAKE_PARTY), "--config", config, "--control", str(control))
        return replace(spec, command=(sys.executable, *words))

    specs = []
    for name in names:
        directory = folder / name
        directory.mkdir()
        (directory / "config.json").write_text(json.dumps({"party": name, "n_queries": 1}))
        specs.append(PartySpec(name, (), directory, folder / f"{name}.log"))
    supervisor = Supervisor(
        specs,
        with_control,
        launcher,
        Silent(),
        setup_seconds=60.0,
        query_seconds=60.0,
        grace_seconds=1.0,
    )
    return supervisor.run()


def test_the_column_is_written(tmp_path: Path) -> None:
    follow("Adding a CSV column", folder=tmp_path)


@pytest.mark.parametrize(
    ("file", "columns"),
    [
        ("queries.csv", tables.QUERY_COLUMNS),
        ("timings.csv", tables.TIMING_COLUMNS),
        ("summary.csv", tables.SUMMARY_COLUMNS),
        ("private/check.csv", tables.CHECK_COLUMNS),
    ],
)
def test_the_changelog_lists_the_columns(file: str, columns: tuple[str, ...]) -> None:
    listed = re.search(rf"`{file}`: ([^.`]+)\.", read("CHANGELOG.md"))
    assert listed is not None
    assert tuple(re.split(r",\s+", listed[1].strip())) == columns


def test_the_flag_becomes_a_setting() -> None:
    follow("Adding a party's flag")


def test_the_benchmark_is_measured_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = types.ModuleType("worked_benchmark")
    module.__dict__.update(follow("Adding a benchmark"))
    monkeypatch.setitem(sys.modules, "worked_benchmark", module)
    monkeypatch.setitem(bench_command.AREAS, "building", "worked_benchmark")
    monkeypatch.setenv("COLUMNS", "160")  # so that no name in the table is cut
    status = bench_command.main(["building", "--repeat=3", f"--results_dir={tmp_path}"])
    assert status == 0
    ours, peer = parse_rows((tmp_path / "building.csv").read_text())
    assert (ours.benchmark, ours.n) == ("build_relu", 3)
    assert ours.median_s is not None
    assert peer.note == "skipped: EMP has no Python face"
    assert "build_relu" in capsys.readouterr().out


def test_the_layer_means_what_its_protocol_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "Half", Layer)  # so that the made class is taken out again
    monkeypatch.setattr(protocols, "PROTOCOLS", protocols.PROTOCOLS.copy())
    monkeypatch.setitem(operations.OPERATIONS, "Halve", operations.OPERATIONS["Neg"])
    names = follow("Adding a layer")
    builder = Builder(Input("input", (), (5,)), {})
    node = types.SimpleNamespace(name="half", op="Halve")
    half: Any = builder.layer(operations.OPERATIONS["Halve"](builder, node, ["input"]))
    assert (half.name, half.inputs, half.shape) == ("half", ("input",), (5,))
    scales, ring = Scales((24,), 12, 12), FixedPoint(37, 12)
    values = np.array([-(1 << 30), -4097, -1, 8192, 1 << 30], dtype=np.int64)
    expected = half.integer([values], scales)
    assert expected.tolist() == [value >> 13 for value in values.tolist()]
    bounds = half.interval([Interval(values, values)], scales)
    assert np.array_equal(bounds.low, expected)
    assert np.array_equal(bounds.high, expected)
    protocol = protocols.PROTOCOLS[names["Half"]]
    assert isinstance(protocol, protocols.GarbledCircuit)
    circuit = protocol.circuit(half, ring, scales)
    masks = ring.uniform((5,))
    out, _ = circuit.plain_evaluate(ring.reduce(values - masks), masks, masks)
    assert np.array_equal(ring.signed(ring.reduce(out.ravel() + masks)), expected)


def test_a_layer_that_lacks_a_method_cannot_be_defined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "Half", Layer)
    example = worked("Adding a layer", "python")[0]
    method = example.index("    def interval"), example.index("    def rounded")
    with pytest.raises(TypeError, match="the layer Half lacks interval"):
        exec(example[: method[0]] + example[method[1] :], {"__name__": "worked_example"})
