"""What users and peers get wrong: one line that says what to do, a true status, nothing left."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from protocol_runs import ROOT, Runner

from capc.cli import main
from capc.errors import CapcError, ConfigError
from capc.graph.layers import Dense, Input, Network, Reshape
from capc.graph.ring_choice import to_ring
from capc.he.parameters import EncryptionParameters
from capc.inference.costs import check_encrypted
from capc.transport.endpoints import Listener

PARAMETERS = {
    "scheme_name": "HE_SEAL",
    "poly_modulus_degree": 8192,
    "security_level": 128,
    "coeff_modulus": [60, 60, 30],
}


def run_flags(tmp_path: Path, *flags: str) -> list[str]:
    return [
        "run",
        "--ignore_parties",
        "--launcher=subprocess",
        f"--checkpoint_dir={ROOT / 'models'}",
        f"--encryption_params={json.dumps(PARAMETERS)}",
        f"--results_dir={tmp_path / 'results'}",
        "--timeout=60",
        *flags,
    ]


def refused(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> str:
    """The one line on standard error of a run that ends with status 2."""
    assert main(arguments) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("capc: error: ")
    return lines[0]


def parameters(**changes: object) -> str:
    return "--encryption_params=" + json.dumps(PARAMETERS | changes)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--n_parties=0"], "--n_parties is 0; allowed is 1 to"),
        (["--n_parties=-1"], "--n_parties is -1; allowed is 1 to"),
        (["--n_parties=100000"], "allowed is 1 to"),
        (["--n_queries=0"], "--n_queries is 0"),
        (["--batch_size=-5"], "--batch_size is -5"),
        (["--start_batch=9999", "--n_queries=2"], "change --start_batch or --n_queries"),
        (["--dataset_path=/nonexistent"], "/nonexistent"),
        (["--dataset_name=nosuch"], "--dataset_name is nosuch; allowed are"),
        (["--model_type=nosuch"], "there is no model"),
        (["--num_classes=7"], "--num_classes is 7"),
        (["--sigma=-1"], "sigma"),
        (["--threshold=3", "--sigma_threshold=nan"], "sigma_threshold"),
        (["--delta=2"], "delta"),
        (["--epsilon=0"], "epsilon"),
        (["--start_port=65535", "--n_parties=3"], "--start_port"),
        (["--n_partys=3"], "did you mean --n_parties?"),
        (["--sigma=1e9"], "--sigma: sigma is 1e+09: 10 noisy votes wrap in 32 bits"),
        (["--timeout=1e300"], "--timeout"),
        (
            ["--results_dir=/dev/null/x"],
            "--results_dir is /dev/null/x, but /dev/null is not a folder",
        ),
        (["--log_timing_file=/nonexistent/x"], "a file in a folder that exists"),
        (["--log_timing_file=/"], "--log_timing_file"),
        ([parameters(scheme_name="HE_FOO")], "scheme_name is 'HE_FOO'; allowed are HE_SEAL"),
        ([parameters(poly_modulus_degree=8000)], "poly_modulus_degree is 8000; allowed are"),
        ([parameters(security_level=0)], "--insecure"),
        ([parameters(coeff_modulus=[61, 60])], "coeff_modulus"),
        ([parameters(coeff_modulus=[60, 60, 60, 60])], "218"),
        ([parameters(coeff_modulus=[40, 40, 30])], "too small for the model: layer"),
        ([parameters(poly_modulus_degree=1024, coeff_modulus=[27])], "at least two primes"),
        (["--encryption_params={}"], "miss"),
        (["--encryption_params=/nonexistent.json"], "which is not a file"),
    ],
)
def test_flags(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], said: str
) -> None:
    assert said in refused(capsys, run_flags(tmp_path, *flags))


def test_a_missing_field_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for field in PARAMETERS:
        less = json.dumps({name: value for name, value in PARAMETERS.items() if name != field})
        said = refused(capsys, run_flags(tmp_path, f"--encryption_params={less}"))
        assert field in said


@pytest.mark.usefixtures("prepare_here")
def test_a_file_that_is_no_graph(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "junk.pb").write_bytes(b"\x0a\x99 not a graph")
    flags = run_flags(tmp_path, f"--checkpoint_dir={tmp_path}", "--model_type=junk")
    assert main(flags) == 2
    assert "is not a frozen TensorFlow graph" in capfd.readouterr().err


@pytest.mark.usefixtures("prepare_here")
def test_other_node_names(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(run_flags(tmp_path, "--output_node=import/nope:0")) == 2
    said = capfd.readouterr().err
    assert "no node 'import/nope'" in said
    assert "output/BiasAdd" in said


def test_queries_of_another_shape(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "saved"
    folder.mkdir()
    np.save(folder / "samples.npy", np.zeros((2, 28, 20), dtype=np.float32))
    said = refused(capsys, run_flags(tmp_path, f"--dataset_path={folder}"))
    assert "28" in said and "20" in said


def test_a_label_that_is_no_class(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "saved"
    folder.mkdir()
    np.save(folder / "samples.npy", np.zeros((2, 28, 28), dtype=np.float32))
    np.save(folder / "labels.npy", np.array([10, 77]))
    said = refused(capsys, run_flags(tmp_path, f"--dataset_path={folder}"))
    assert "holds the label 10; there are 10 classes, 0 to 9" in said


def test_circuit_programs_that_are_not_built(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAPC_GC_BIN", str(tmp_path))
    assert "argmax_1 is not built; run `make setup`" in refused(capsys, run_flags(tmp_path))
    assert "-emp is not built" in refused(capsys, run_flags(tmp_path, "--gc_backend=emp"))


def test_a_folder_without_queries(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, run_flags(tmp_path, f"--dataset_path={tmp_path}"))
    assert "holds no queries" in said


def test_too_many_models(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "models" / "2"
    folder.mkdir(parents=True)
    for index in range(3):
        shutil.copy(ROOT / "models" / "cryptonets-relu.pb", folder / f"{index}.pb")
    flags = run_flags(tmp_path, f"--checkpoint_dir={folder.parent}", "--n_parties=2")
    flags.remove("--ignore_parties")
    said = refused(capsys, flags)
    assert "it must hold 0.pb to 1.pb" in said


def dense_network(weight: float) -> Network:
    return Network(
        (
            Input("x", (), (4, 1, 1)),
            Reshape("flat", ("x",), (4,)),
            Dense("wide", ("flat",), (2,), np.full((4, 2), weight), np.zeros(2)),
        )
    )


def test_too_large_weights_name_their_layer() -> None:
    fast = EncryptionParameters.from_json(json.dumps(PARAMETERS))
    check_encrypted(to_ring(dense_network(1.0), (0.0, 1.0), 36.0), fast)
    check_encrypted(to_ring(dense_network(1e12), (0.0, 1.0), 36.0), fast)  # by a common factor
    with pytest.raises(CapcError, match="wide"):
        check_encrypted(to_ring(dense_network(1e300), (0.0, 1.0), 36.0), fast)
    with pytest.raises(CapcError, match="wide"):
        check_encrypted(to_ring(dense_network(float("nan")), (0.0, 1.0), 36.0), fast)


def test_a_port_in_use(tmp_path: Path) -> None:
    """Each party takes the next free port from --start_port on: several runs may name the same."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        listeners = [Listener("127.0.0.1", port) for _ in range(3)]
    ports = [listener.port for listener in listeners]
    assert port < ports[0] < ports[1] < ports[2]
    for listener in listeners:
        listener.close()


def test_no_port_is_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with suppress(OSError), socket.create_server(("127.0.0.1", 65535)):
        with pytest.raises(ConfigError, match="is free from 65535 on"):
            Listener("127.0.0.1", 65535)
        return
    pytest.skip("port 65535 is in use")


@pytest.mark.parametrize("party", ["querying", "answering-0", "guardian"])
@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("garbage", "does not speak this protocol"),
        ("version", "speaks version 2 of the protocol and this program version 1"),
        ("type", "unknown type 99"),
    ],
)
def test_a_peer_of_another_kind(
    run_protocol: Runner, capsys: pytest.CaptureFixture[str], party: str, kind: str, said: str
) -> None:
    roles = {name: f"odd_{name}" for name in ("querying", "answering", "guardian")}
    finished = run_protocol(
        "--n_parties=1", "--sigma=0",
        modules=roles, environment={"CAPC_TEST_ODD": f"{party} {kind}"},
    )  # fmt: skip
    assert finished.status == 1
    assert said in capsys.readouterr().out


def test_a_full_disk(tmp_path: Path) -> None:
    """No more than 64 kB a file: an error that names the file, what was written stays readable."""
    flags = run_flags(tmp_path, "--n_queries=300", "--batch_size=300", "--sigma=0", "--cpu")
    command = " ".join(f"'{flag}'" for flag in flags[1:])
    prepare = [sys.executable, "-m", "capc.cli", "graph", "prepare", "models/cryptonets-relu.pb"]
    subprocess.run(prepare, cwd=ROOT, check=True, capture_output=True)
    result = subprocess.run(
        ["bash", "-c", f"ulimit -f 64; exec '{sys.executable}' run_experiment.py {command}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.returncode != 0
    assert "Traceback" not in result.stderr
    assert "timings.csv" in result.stdout + result.stderr
    timings = next((tmp_path / "results").glob("*-*/timings.csv")).read_text().splitlines()
    assert timings[0].startswith("query,party,step,phase")
    assert len(timings) > 10


class TestSetUp:
    """scripts/setup.sh with a PATH that lacks things, in a checkout without an environment."""

    def set_up(
        self, folder: Path, *tools: str, python: str = ""
    ) -> subprocess.CompletedProcess[str]:
        folder.mkdir()
        for tool in ("bash", "cat", "tr", "id", "sha256sum", "dirname", "find", "sort", *tools):
            found = shutil.which(tool)
            if found is None:
                pytest.skip(f"{tool} is not installed")
            (folder / tool).symlink_to(found)
        scripts = folder.parent / "checkout" / "scripts"
        scripts.mkdir(parents=True)
        script = shutil.copy(ROOT / "scripts" / "setup.sh", scripts)
        return subprocess.run(
            ["/bin/bash", script],
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": str(folder), "CAPC_NO_APT": "1", "PYTHON": python},
        )

    def test_a_python_that_is_none(self, tmp_path: Path) -> None:
        result = self.set_up(tmp_path / "bin", python="/bin/sh")
        assert result.returncode == 1
        assert "PYTHON is /bin/sh, which is no Python 3.10 to 3.13" in result.stderr

    def test_everything_missing_is_named_at_once(self, tmp_path: Path) -> None:
        result = self.set_up(tmp_path / "bin")
        assert result.returncode == 1
        assert result.stderr.count("\n") == 1
        for package in ("tmux", "g++", "cmake", "libssl-dev", "python3", "python3-venv"):
            assert package in result.stderr
        assert "apt-get install" in result.stderr

    def test_a_missing_compiler_alone(self, tmp_path: Path) -> None:
        result = self.set_up(tmp_path / "bin", "tmux", "cmake", "make", "python3")
        assert result.returncode == 1
        assert "g++" in result.stderr
        assert "tmux" not in result.stderr
