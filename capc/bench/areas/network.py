"""Area network: whole networks between two hosts with a delay and a rate, SPU on the same.

One answering party, steps 1a and 1b, no argmax. Hosts are network namespaces of this machine, so
this area needs root; without it there are the rows over loopback alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from capc.bench.areas import models, spu_peers
from capc.bench.emulated_hosts import Host, hosts, why_not
from capc.bench.emulated_hosts import Link as EmulatedLink
from capc.bench.rows import Row, measured, skipped
from capc.bench.two_parties import EncryptedRun, run_encrypted
from capc.data.datasets import load_dataset
from capc.errors import ProgramError
from capc.fixed_point import MAX_LOGIT, Float64
from capc.graph.layers import Network, QuantizedNetwork
from capc.graph.prepared import save_network
from capc.graph.ring_choice import to_ring
from capc.graph.tensorflow.importer import network_of_keras
from capc.he.parameters import EncryptionParameters
from capc.inference.arrangement import arranged
from capc.inference.choice import NONLINEAR_WAYS, NonlinearChoice
from capc.inference.link import Link
from capc.inference.reference import evaluate

MODELS = ("cryptonets-relu", "vgg-7-calibrated", "resnet-10-calibrated")
LINES = (None, "2ms,100mbit", "40ms,100mbit", "40ms,400mbit")  # None: loopback
_WAYS = tuple(sorted(NONLINEAR_WAYS))  # auto first: ratios are to it


@dataclass(frozen=True)
class Task:
    """A model as it runs encrypted, the same as SPU takes it, and one image for each query.

    Both warm up with the first image: SPU compiles the model then, and ours seeds its transfers.

    SPU gets the network before calibration: its rings have room for any value.
    """

    name: str
    plain: Network
    integers: QuantizedNetwork
    prepared: Path
    parameters: EncryptionParameters
    images: Float64


def run(repeat: int) -> list[Row]:
    """Each model over each line: `auto`, garbled, by transfers, SPU if installed.

    A third of `repeat` queries for CryptoNets, a thirtieth for the others.
    """
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="capc-bench-") as folder:
        for name in MODELS:
            queries = max(1, repeat // (3 if name == MODELS[0] else 30))
            task = prepared_task(name, Path(folder) / f"{name}.npz", queries)
            for line in LINES:
                rows += over_line(task, line)
    return rows


def prepared_task(name: str, path: Path, queries: int) -> Task:
    """A model of the table, with so many images and one more, with which both warm up."""
    model = models.built(name)
    plain = network_of_keras(model, name)
    network = models.as_encrypted(name, plain, model)
    save_network(network, path)
    integers = to_ring(network, models.INPUT_RANGE, MAX_LOGIT)
    parameters = models.encryption_parameters(models.fitting_config(integers))
    images = models.resized(load_dataset("mnist").test_images[: queries + 1], model)
    return Task(name, plain, integers, path, parameters, images)


def over_line(task: Task, line: str | None) -> Iterator[Row]:
    """The rows of one model over one of LINES; one that says so where it cannot be had."""
    benchmark = f"{task.name}, {line or 'loopback'}"
    if line is not None and (reason := why_not()) is not None:
        yield skipped(benchmark, "builtin", reason)
        return
    runs: dict[object, EncryptedRun] = {}
    with ExitStack() as ending:
        between = None
        if line is not None:
            link = Link.parse(line)
            emulated = EmulatedLink(link.round_trip, link.rate)
            querying, answering = ending.enter_context(hosts(2, emulated))
            between = querying, answering
        for way in _WAYS:
            choice = NonlinearChoice.of(way, line)
            network = arranged(task.integers, choice)
            by_transfers = choice.transfers(network)
            kinds = tuple((type(layer), layer.name) for layer in network.layers)
            key = kinds, frozenset(by_transfers)
            if key not in runs:
                runs[key] = _encrypted(task, choice, between)
            yield _row(benchmark, way, runs[key], len(by_transfers))
        yield _spu_row(benchmark, task, between)


def _encrypted(
    task: Task, choice: NonlinearChoice, between: tuple[Host, Host] | None
) -> EncryptedRun:
    found = run_encrypted(
        task.integers,
        task.prepared,
        task.parameters,
        task.images,
        choice=choice,
        between=between,
        warm_up=1,
    )
    if not np.array_equal(found.logits, evaluate(task.integers, task.images)):
        raise ProgramError(f"{task.name} ({choice.way}): logits differ from the reference")
    return found


def _row(benchmark: str, way: str, found: EncryptedRun, by_transfers: int) -> Row:
    offline, online = found.costs.offline, found.costs.online
    spent = offline.traffic + online.traffic
    note = f"{offline.traffic.rounds} + {online.traffic.rounds} rounds, {online.seconds:.3g} s "
    note += f"online, set-up {found.costs.setup.seconds:.2g} s, first query "
    note += f"{found.costs.warm_up_seconds[0]:.3g} s; {by_transfers} layers by transfers"
    return measured(
        benchmark,
        f"builtin {way}",
        found.costs.query_seconds,
        traffic=(spent.bytes_sent, spent.bytes_received),
        note=note,
    )


def _spu_row(benchmark: str, task: Task, between: tuple[Host, Host] | None) -> Row:
    if not spu_peers.is_installed():
        return spu_peers.missing(benchmark)
    try:
        found = spu_peers.run(task.plain, task.images, between)
    except ProgramError as error:  # of the peer: our rows are there
        return skipped(benchmark, spu_peers.NAME, str(error))
    note = f"first query, with compilation, {found.setup:.3g} s"
    if between is not None:
        note += f"; {np.median(found.moved_bytes) / 1e6:.3g} MB both ways, with packet headers"
    return measured(benchmark, spu_peers.NAME, found.seconds, note=note)
