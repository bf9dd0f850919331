"""Area inference: steps 1a to 1c of CryptoNets-ReLU in two processes, SPU on the same; CKKS."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from capc.bench.areas import ckks as homomorphic
from capc.bench.areas import spu_peers
from capc.bench.rows import Row, measured
from capc.bench.runs import MeasuredRun, measured_run
from capc.data.datasets import queries
from capc.files import REPOSITORY
from capc.graph.layers import Network
from capc.graph.prepared import cache_key, default_cache_dir, load_network
from capc.graph.tensorflow.names import DEFAULT_INPUT, DEFAULT_OUTPUT

CONFIGS = ("config/fast.json", "config/10.json")
STEPS = ("1a", "1b", "1c")
BATCH = 1000


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
    """SPU's Cheetah on the same model: step 1a and 1b, without the argmax."""
    if not spu_peers.is_installed():
        return [spu_peers.missing("step_1a")]
    images, labels = queries("mnist", 0, repeat + 1)
    found = spu_peers.run(_float_model(), images.astype(np.float64))
    right = int(np.sum(np.array(found.labels) == labels))
    note = f"step 1a and 1b, no argmax; {right} of {len(labels)} labels right"
    return [
        measured("step_1a", spu_peers.NAME, found.seconds, note=note),
        measured("pair_setup", spu_peers.NAME, [found.setup], note="compilation and first query"),
    ]


def _float_model() -> Network:
    model = REPOSITORY / "models" / "cryptonets-relu.pb"
    key = cache_key(model, DEFAULT_INPUT, DEFAULT_OUTPUT)
    return load_network(default_cache_dir() / f"{key}.npz")
