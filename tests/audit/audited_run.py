"""Runs of the real parties on small models, with all that they send, receive and learn recorded."""

from __future__ import annotations

import io
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
from recording import Record, read_records
from rich.console import Console

from capc.fixed_point import Float64, Int64
from capc.graph.float_reference import evaluate_float
from capc.graph.layers import Conv2D, Dense, Input, Network, Relu, Reshape
from capc.graph.prepared import save_network
from capc.harness.experiment import Run
from capc.harness.launchers.subprocesses import SubprocessLauncher
from capc.harness.queries import load_queries
from capc.harness.settings import parse_settings

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
N_PARTIES = 3
N_CLASSES = 4
BATCH_SIZE = 20
MODULES = {
    "querying": "recorded_querying",
    "answering": "recorded_answering",
    "guardian": "recorded_guardian",
}

TRUSTED = ("--sigma=1", "--threshold=2", "--sigma_threshold=1")  # the guardian draws the noise


@dataclass(frozen=True)
class World:
    """What one run holds that the protocol hides: the models' seed, the queries, the build.

    `models` seeds the weights, which `gain` multiplies; `images` are (n, 6, 6, 1) in [0, 1];
    `build` names a known-bad build, empty for the product; `flags` are the run's own.
    """

    images: Float64
    models: int = 1
    gain: float = 1.0
    build: str = ""
    flags: tuple[str, ...] = TRUSTED


@dataclass(frozen=True)
class Recorded:
    """A finished run: by party its records, the folder of results, and the true votes.

    `votes` is int64 (n_parties, n), each party's argmax on each query by the reference.
    """

    records: dict[str, list[Record]]
    folder: Path
    votes: Int64

    def views(self, party: str, what: str, peer: str = "") -> Int64:
        """The values of this name in a party's view, batch after batch, (rows, words)."""
        found = [
            record.words.reshape(len(record.words), -1)
            for record in self.records[party]
            if record.kind == "view"
            and record.what.startswith(what)
            and record.peer.startswith(peer)
        ]
        return np.concatenate(found)

    def messages(self, party: str, kind: str, what: str, peer: str = "") -> list[bytes]:
        """The messages of one type that a party sent or received, in order."""
        return [
            record.data
            for record in self.records[party]
            if (record.kind, record.what) == (kind, what) and record.peer.startswith(peer)
        ]


def images(seed: int, count: int) -> Float64:
    """Images of three by three squares, (count, 6, 6, 1) in [0, 1], on which models differ."""
    squares = np.random.default_rng(seed).integers(0, 2, size=(count, 3, 3, 1))
    return squares.repeat(2, axis=1).repeat(2, axis=2).astype(np.float64)


def network(seed: int, gain: float = 1.0) -> Network:
    """A convolution, a ReLU and two dense layers: each kind of step that a run has.

    The weights are drawn from `seed` and multiplied by `gain`; each class is about as frequent.
    """
    draw = np.random.default_rng(seed)
    kernel, dense = draw.normal(size=(3, 3, 1, 2)), draw.normal(size=(18, N_CLASSES))
    unbiased = _layers(gain * kernel, gain * dense, np.zeros(N_CLASSES))
    return _layers(gain * kernel, gain * dense, -evaluate_float(unbiased, images(0, 500)).mean(0))


def _layers(kernel: Float64, dense: Float64, bias: Float64) -> Network:
    return Network(
        (
            Input("input", (), (6, 6, 1)),
            Conv2D(
                *("conv", ("input",), (3, 3, 2), kernel, np.zeros(2)),
                strides=(2, 2),
                padding=((1, 1), (1, 1)),
            ),
            Relu("relu", ("conv",), (3, 3, 2)),
            Reshape("flat", ("relu",), (18,)),
            Dense("logits", ("flat",), (N_CLASSES,), dense, bias),
        )
    )


def record_run(world: World, folder: Path) -> Recorded:
    """Run the parties of a world; every record is read back. Raises RuntimeError where it fails."""
    folder.mkdir(parents=True)
    recordings = folder / "recordings"
    recordings.mkdir()
    queries_file = folder / "queries.npz"
    np.savez(queries_file, x=world.images.astype(np.float32))
    models = [folder / f"model-{party}.npz" for party in range(N_PARTIES)]
    networks = [network(10 * world.models + party, world.gain) for party in range(N_PARTIES)]
    for path, made in zip(models, networks, strict=True):
        save_network(made, path)
    settings = parse_settings(
        [
            *(f"--n_parties={N_PARTIES}", f"--n_queries={len(world.images)}"),
            *(f"--batch_size={BATCH_SIZE}", f"--dataset_path={queries_file}", "--seed=5"),
            *(f"--encryption_params={ROOT / 'config' / 'fast.json'}", "--input_range", "0", "1"),
            *(f"--results_dir={folder / 'results'}", "--launcher=subprocess", *world.flags),
        ]
    )
    environment = {
        "CAPC_AUDIT_RECORDINGS": str(recordings),
        "CAPC_AUDIT_BUILD": world.build,
        "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent / "he"), str(ROOT)]),
    }
    screen = io.StringIO()
    with mock.patch.dict(os.environ, environment):
        run = Run(
            settings, SubprocessLauncher(), load_queries(settings, (6, 6, 1)), models, MODULES
        )
        status = run.run(Console(file=screen, width=200), lambda recorder: {})
    if status != 0:
        raise RuntimeError(f"the audited run ended with status {status}:\n{screen.getvalue()}")
    return Recorded(
        _by_party(recordings),
        (folder / "results" / "latest").resolve(),
        _true_votes(networks, world.images),
    )


def _by_party(folder: Path) -> dict[str, list[Record]]:
    """Records by the party's name; answering parties are told apart by what the guardian got."""
    found = {path.name: list(read_records(path)) for path in sorted(folder.iterdir())}
    named = {name.split("-")[0]: records for name, records in found.items()}
    parties = {"querying": named["querying"], "guardian": named["guardian"]}
    shares: dict[bytes, str] = defaultdict(str)
    for record in named["guardian"]:
        if (record.kind, record.what) == ("received", "VOTE_SHARE"):
            shares.setdefault(record.data, record.peer)
    for name, records in found.items():
        if name.startswith("answering"):
            own = next(
                record.data
                for record in records
                if (record.kind, record.what) == ("sent", "VOTE_SHARE")
            )
            parties[shares[own]] = records
    return parties


def _true_votes(networks: Sequence[Network], images: Float64) -> Int64:
    """By the float models: the audit's images leave no doubt at twelve fractional bits."""
    return np.stack([evaluate_float(made, images).argmax(axis=1) for made in networks])
