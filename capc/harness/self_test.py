"""One query of the real protocol on a tiny model of its own: parties, ciphertexts, circuits.

It needs no data set, no model file and no TensorFlow. Every share is opened and compared, as with
--verify: the model and the query are made up and hide nothing.
"""

from __future__ import annotations

import io
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console

from capc.command_line import ExitStatus
from capc.console import plain_console
from capc.data.saved_queries import save_queries
from capc.errors import CapcError
from capc.graph.layers import Dense, Input, Network, Relu, Reshape
from capc.graph.prepared import save_network
from capc.harness.experiment import Run
from capc.harness.launchers.subprocesses import SubprocessLauncher
from capc.harness.machine_checks import Finding
from capc.harness.queries import load_queries
from capc.harness.settings import parse_settings
from capc.harness.verify import check_run
from capc.roles import MODULES

_SECONDS = 60.0
_SHAPE, _HIDDEN, _CLASSES = (4, 4, 1), 8, 3


def self_test() -> Finding:
    """Whether a run gives, bit for bit, what its model says; and in how many seconds."""
    started = time.monotonic()
    said = io.StringIO()
    with tempfile.TemporaryDirectory(prefix="capc-doctor-") as folder:
        try:
            status = _run(Path(folder), plain_console(file=said, width=200))
        except CapcError as error:
            return Finding("self-test", "missing", str(error), "see the lines above for what lacks")
    seconds = time.monotonic() - started
    if status == ExitStatus.OK:
        return Finding("self-test", "ok", f"one query, every bit as it should be ({seconds:.1f} s)")
    lines = [line.strip() for line in said.getvalue().splitlines() if "failed" in line]
    found = lines[0] if lines else f"a run ended with status {status}"
    remedy = "run the same with all its logs: capc run --ignore_parties --launcher=subprocess"
    return Finding("self-test", "missing", found, remedy)


def _network() -> Network:
    """A dense layer, a ReLU and a dense layer, with weights of either sign in [-1, 1]."""
    inputs = int(np.prod(_SHAPE))
    first = np.sin(np.arange(inputs * _HIDDEN)).reshape(inputs, _HIDDEN)
    second = np.cos(np.arange(_HIDDEN * _CLASSES)).reshape(_HIDDEN, _CLASSES)
    return Network(
        (
            Input("input", (), _SHAPE),
            Reshape("flat", ("input",), (inputs,)),
            Dense("dense", ("flat",), (_HIDDEN,), first, np.zeros(_HIDDEN)),
            Relu("relu", ("dense",), (_HIDDEN,)),
            Dense("logits", ("relu",), (_CLASSES,), second, np.zeros(_CLASSES)),
        )
    )


def _run(folder: Path, console: Console) -> int:
    """The exit status of the run; it leaves everything in `folder`."""
    network, model, asked = _network(), folder / "model.npz", folder / "queries"
    save_network(network, model)
    image = np.linspace(0.0, 1.0, int(np.prod(_SHAPE)), dtype=np.float32).reshape(1, *_SHAPE)
    save_queries(asked, image, np.zeros(1, np.int64))
    settings = parse_settings(
        [
            *(f"--dataset_path={asked}", f"--results_dir={folder / 'results'}"),
            *("--encryption_params=config/fast.json", "--launcher=subprocess", "--verify"),
            *("--sigma=1", f"--num_classes={_CLASSES}", f"--timeout={_SECONDS}"),
        ]
    )
    queries = load_queries(settings, _SHAPE)
    run = Run(settings, SubprocessLauncher(), queries, [model], MODULES)
    return run.run(
        console,
        lambda recorder: check_run([network], queries, recorder.results, settings.privacy),
    )
