"""Area inference: steps 1a to 1c of CryptoNets-ReLU in two processes, SPU on the same; CKKS."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from capc.bench.areas import ckks as homomorphic
from capc.bench.rows import Row, measured, skipped
from capc.bench.runs import MeasuredRun, measured_run
from capc.data.datasets import queries
from capc.errors import ProgramError
from capc.files import REPOSITORY
from capc.fixed_point import Float64
from capc.graph.layers import Conv2D, Dense
from capc.graph.prepared import cache_key, default_cache_dir, load_network
from capc.graph.tensorflow.names import DEFAULT_INPUT, DEFAULT_OUTPUT

CONFIGS = ("config/fast.json", "config/10.json")
STEPS = ("1a", "1b", "1c")
BATCH = 1000
SPU_VARIABLE = "CAPC_SPU_PYTHON"
_SPU_NAME = "spu-0.9.5-cheetah"
_SPU_SECONDS = 600


def run(repeat: int) -> list[Row]:
    """One query at a time, garbled and by transfers; a batch of 1,000; SPU if installed; CKKS."""
    rows, ways = [], [(config, "garbled") for config in CONFIGS] + [(CONFIGS[0], "transfers")]
    for config, way in ways:
        flags = (f"--n_queries={repeat}", f"--nonlinear={way}")
        rows += single_query(config, way, measured_run(config=config, flags=flags))
    rows += spu(repeat=max(3, repeat // 10))
    return rows + throughput() + homomorphic.run(repeat)


def single_query(config: str, way: str, finished: MeasuredRun) -> list[Row]:
    """Offline and online together, online alone, and the set-up of a pair."""
    name = f"builtin {Path(config).name}{'' if way == 'garbled' else f' {way}'}"
    both, online, setup = ("offline", "online"), ("online",), ("setup",)
    parts = (
        ("steps_1a_1c", STEPS, both, "offline and online"),
        ("step_1a", ("1a",), both, "offline and online"),
        ("steps_1a_1c_online", STEPS, online, "online alone"),
        ("pair_setup", STEPS, setup, "keys, base transfers, weights"),
    )
    return [
        measured(
            benchmark,
            name,
            finished.per_query(steps, phases),
            traffic=finished.traffic(steps, phases),
            note=note,
        )
        for benchmark, steps, phases, note in parts
    ]


def throughput(config: str = CONFIGS[0]) -> list[Row]:
    """Seconds an image in one batch of 1,000."""
    flags = (f"--n_queries={BATCH}", f"--batch_size={BATCH}")
    finished = measured_run(config=config, flags=flags)
    phases = ("offline", "online")
    seconds = float(np.median(finished.per_query(STEPS, phases)))
    note = f"seconds an image in a batch of {BATCH}: {1 / seconds:.1f} images/s; "
    note += f"{finished.processor_seconds:.1f} s of processor time in all"
    traffic = finished.traffic(STEPS, phases)
    name = f"builtin {Path(config).name}"
    return [measured("batch_1000", name, [seconds], traffic=traffic, note=note)]


def spu(repeat: int) -> list[Row]:
    """SPU's Cheetah on the same model: two processes over TCP, owners of model and image apart."""
    interpreter = os.environ.get(SPU_VARIABLE)
    if not interpreter:
        reason = f"{SPU_VARIABLE} does not name a Python that has spu==0.9.5"
        return [skipped("step_1a", _SPU_NAME, reason)]
    images, labels = queries("mnist", 0, repeat + 1)
    with tempfile.TemporaryDirectory(prefix="capc-bench-") as folder:
        owners = [Path(folder) / name for name in ("model", "image")]
        for owner in owners:
            owner.mkdir()
        np.savez(owners[0] / "model.npz", allow_pickle=False, **_float_model())
        np.save(owners[1] / "images.npy", images.astype(np.float32))
        report = _run_spu(interpreter, owners, repeat)
    right = sum(int(found == true) for found, true in zip(report["labels"], labels, strict=True))
    note = f"step 1a and 1b, no argmax; {right} of {len(labels)} labels right"
    return [
        measured("step_1a", _SPU_NAME, report["seconds"], note=note),
        measured("pair_setup", _SPU_NAME, report["setup"], note="compilation and first query"),
    ]


def _float_model() -> dict[str, Float64]:
    model = REPOSITORY / "models" / "cryptonets-relu.pb"
    key = cache_key(model, DEFAULT_INPUT, DEFAULT_OUTPUT)
    network = load_network(default_cache_dir() / f"{key}.npz")
    convolution = next(layer for layer in network.layers if isinstance(layer, Conv2D))
    first, second = (layer for layer in network.layers if isinstance(layer, Dense))
    return {
        "kernel": convolution.kernel, "bias1": convolution.bias,
        "dense1": first.weight, "bias2": first.bias,
        "dense2": second.weight, "bias3": second.bias,
    }  # fmt: skip


def _run_spu(interpreter: str, folders: list[Path], repeat: int) -> dict[str, list[float]]:
    program = Path(__file__).with_name("spu_peer.py")
    addresses = [f"127.0.0.1:{port}" for port in _free_ports(2)]
    parties = [
        subprocess.Popen(
            [interpreter, str(program), str(rank), str(folder), *addresses, str(repeat)],
            stdout=subprocess.PIPE,
            stderr=(folder / "errors.txt").open("wb"),
        )
        for rank, folder in enumerate(folders)
    ]
    try:
        output = parties[1].communicate(timeout=_SPU_SECONDS)[0]
        parties[0].communicate(timeout=_SPU_SECONDS)
    except subprocess.TimeoutExpired:
        raise ProgramError(f"SPU did not finish within {_SPU_SECONDS} s") from None
    finally:
        for party in parties:
            party.kill()
            party.wait()
    statuses = [party.returncode for party in parties]
    if any(statuses):
        said = [line for folder in folders for line in _lines(folder / "errors.txt")[-1:]]
        raise ProgramError(f"SPU ended with status {statuses}: {' | '.join(said)}")
    report: dict[str, list[float]] = json.loads(output.decode().splitlines()[-1])
    return report


def _lines(path: Path) -> list[str]:
    return path.read_text(errors="replace").splitlines()


def _free_ports(count: int) -> list[int]:
    """Ports that were free just now: SPU takes addresses, not sockets."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports
