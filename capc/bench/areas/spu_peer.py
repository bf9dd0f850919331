"""One of the two parties of SPU's benchmark, run by SPU's own interpreter: imports nothing of ours.

spu_peer.py RANK FOLDER ADDRESS0 ADDRESS1 REPETITIONS. Rank 0 owns the model (FOLDER/model.npz),
rank 1 the images (FOLDER/images.npy), in folders of their own. The compiled program comes from the
shapes alone. Rank 1 writes one JSON object with its times and the labels to standard output.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import spu
from spu import libspu
from spu.utils import frontend

WEIGHTS = {"kernel": 4, "bias1": 1, "dense1": 2, "bias2": 1, "dense2": 2, "bias3": 1}


def cryptonets_relu(image: Any, *weights: Any) -> Any:
    """Conv 5x5, stride 2, SAME, ReLU; dense, ReLU; dense: logits (1, 10)."""
    kernel, bias1, dense1, bias2, dense2, bias3 = weights
    dimensions = ("NHWC", "HWIO", "NHWC")
    x = jax.lax.conv_general_dilated(image, kernel, (2, 2), "SAME", dimension_numbers=dimensions)
    x = jnp.maximum(x + bias1, 0).reshape((1, -1))
    x = jnp.maximum(x @ dense1 + bias2, 0)
    return x @ dense2 + bias3


def main() -> None:
    """Set up, run once to warm up, then time each query from its image's shares to its logits."""
    rank, folder = int(sys.argv[1]), Path(sys.argv[2])
    start = time.perf_counter()
    link = _link(rank, sys.argv[3:5])
    config = libspu.RuntimeConfig(
        protocol=libspu.ProtocolKind.CHEETAH, field=libspu.FieldType.FM64, fxp_fraction_bits=12
    )
    config.experimental_enable_colocated_optimization = True
    runtime, io = spu.Runtime(link, config), spu.Io(2, config)
    executable = _compiled(link, rank, folder)
    names = list(executable.input_names)
    model = np.load(folder / "model.npz") if rank == 0 else {}
    for name in names[1:]:
        _share(link, (runtime, io), 0, name, model[name] if rank == 0 else None)
    images = np.load(folder / "images.npy") if rank == 1 else None
    repetitions = int(sys.argv[5])
    logits, seconds = [], []
    for repetition in range(repetitions + 1):
        link.barrier()
        begin = time.perf_counter()
        image = None if images is None else images[repetition][None]
        _share(link, (runtime, io), 1, names[0], image)
        runtime.run(executable)
        mine = runtime.get_var(executable.output_names[0])
        link.barrier()
        if repetition == 0:
            setup = time.perf_counter() - start
        else:
            seconds.append(time.perf_counter() - begin)
        logits.append(_opened(link, io, rank, mine))
    if rank == 1:
        labels = [int(np.argmax(one)) for one in logits]
        report = {"setup": [setup], "seconds": seconds, "labels": labels}
        sys.stdout.write(json.dumps(report) + "\n")
    link.stop_link()


def _link(rank: int, addresses: list[str]) -> Any:
    description = libspu.link.Desc()
    description.recv_timeout_ms = 120_000
    description.connect_retry_times = 120
    description.connect_retry_interval_ms = 250
    for index, address in enumerate(addresses):
        description.add_party(f"party-{index}", address)
    return libspu.link.create_brpc(description, rank)


def _compiled(link: Any, rank: int, folder: Path) -> Any:
    """Both parties compile the same program from the shapes, which the model's owner tells."""
    shapes: dict[str, list[int]] = {}
    if rank == 0:
        model = np.load(folder / "model.npz")
        shapes = {name: list(model[name].shape) for name in WEIGHTS}
    told = json.loads(link.broadcast(json.dumps(shapes), 0))
    arguments = [np.zeros((1, 28, 28, 1), np.float32)]
    arguments += [np.zeros(told[name], np.float32) for name in WEIGHTS]
    secret = libspu.Visibility.VIS_SECRET
    executable, _ = frontend.compile(
        frontend.Kind.JAX,
        cryptonets_relu,
        arguments,
        {},
        ["image", *WEIGHTS],
        [secret] * len(arguments),
        lambda outputs: [f"out{index}" for index in range(len(outputs))],
    )
    return executable


def _share(link: Any, engine: tuple[Any, Any], owner: int, name: str, values: Any) -> None:
    """The owner makes the shares and sends the other party its own."""
    runtime, io = engine
    if link.rank == owner:
        secret = libspu.Visibility.VIS_SECRET
        shares = io.make_shares(np.ascontiguousarray(values, np.float32), secret, owner)
        other = shares[1 - owner]
        parts = [other.meta, *other.share_chunks]
        link.send(1 - owner, json.dumps([part.hex() for part in parts]))
        runtime.set_var(name, shares[owner])
        return
    received = [bytes.fromhex(part) for part in json.loads(link.recv(owner))]
    share = libspu.Share()
    share.meta, share.share_chunks = received[0], received[1:]
    runtime.set_var(name, share)


def _opened(link: Any, io: Any, rank: int, mine: Any) -> Any:
    """The logits, at the images' owner; outside the measured time."""
    if rank == 0:
        link.send(1, json.dumps([part.hex() for part in (mine.meta, *mine.share_chunks)]))
        return np.zeros(1)
    received = [bytes.fromhex(part) for part in json.loads(link.recv(0))]
    other = libspu.Share()
    other.meta, other.share_chunks = received[0], received[1:]
    return np.asarray(io.reconstruct([other, mine]))


if __name__ == "__main__":
    main()
