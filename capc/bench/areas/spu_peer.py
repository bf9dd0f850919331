"""One of the two parties of SPU's benchmark, run by SPU's own interpreter: imports nothing of ours.

spu_peer.py RANK FOLDER ADDRESS0 ADDRESS1. Rank 0 owns the model (FOLDER/steps.json and model.npz),
rank 1 the images (FOLDER/images.npy), in folders of their own. The compiled program comes from the
steps and shapes alone. Rank 1 writes one JSON object with its times, bytes and the labels to
standard output.
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

DIMENSIONS = ("NHWC", "HWIO", "NHWC")


def logits(steps: list[dict[str, Any]], image: Any, weights: dict[str, Any]) -> Any:
    """What the layers make of one image (1, H, W, C)."""
    values = {"input": image}
    for place, step in enumerate(steps):
        inputs = [values[name] for name in step["inputs"]]
        mine = [weights[f"{place}.{name}"] for name in ("weight", "bias")] if _owns(step) else []
        values[step["name"]] = _LAYERS[step["kind"]](step, inputs, *mine)
    return values[steps[-1]["name"]]


def _owns(step: dict[str, Any]) -> bool:
    return step["kind"] in ("Conv2D", "Dense")


def _convolution(step: dict[str, Any], inputs: list[Any], kernel: Any, bias: Any) -> Any:
    products = jax.lax.conv_general_dilated(
        inputs[0],
        kernel,
        step["strides"],
        step["padding"],
        rhs_dilation=step["dilations"],
        feature_group_count=step["groups"],
        dimension_numbers=DIMENSIONS,
    )
    return products + bias


def _windows(step: dict[str, Any], values: Any, start: float, combine: Any) -> Any:
    window, strides = (1, *step["window"], 1), (1, *step["strides"], 1)
    return jax.lax.reduce_window(values, start, combine, window, strides, "VALID")


def _average(step: dict[str, Any], inputs: list[Any]) -> Any:
    pixels = step["window"][0] * step["window"][1]
    return _windows(step, inputs[0], 0.0, jax.lax.add) * (1.0 / pixels)


_LAYERS: dict[str, Any] = {
    "Conv2D": _convolution,
    "Dense": lambda step, inputs, weight, bias: inputs[0] @ weight + bias,
    "Relu": lambda step, inputs: jnp.maximum(inputs[0], 0),
    "Add": lambda step, inputs: sum(inputs[1:], inputs[0]),
    "MaxPool": lambda step, inputs: _windows(step, inputs[0], -jnp.inf, jax.lax.max),
    "AvgPool": _average,
    "Reshape": lambda step, inputs: inputs[0].reshape((1, *step["shape"])),
}


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
    images = np.load(folder / "images.npy") if rank == 1 else None
    model = dict(np.load(folder / "model.npz")) if rank == 0 else {}
    executable, order, count = _compiled(link, folder, model, images)
    names = list(executable.input_names)
    for name, key in zip(names[1:], order, strict=True):
        _share(link, (runtime, io), 0, name, model[key] if rank == 0 else None)
    labels, seconds, moved = [], [], []
    setup = 0.0
    for repetition in range(count):
        link.barrier()
        begin, before = time.perf_counter(), _device_bytes()
        image = None if images is None else images[repetition][None]
        _share(link, (runtime, io), 1, names[0], image)
        runtime.run(executable)
        mine = runtime.get_var(executable.output_names[0])
        link.barrier()
        if repetition == 0:
            setup = time.perf_counter() - start
        else:
            seconds.append(time.perf_counter() - begin)
            moved.append(_device_bytes() - before)
        labels.append(int(np.argmax(_opened(link, io, rank, mine))))
    if rank == 1:
        report = {"setup": setup, "seconds": seconds, "moved_bytes": moved, "labels": labels}
        sys.stdout.write(json.dumps(report) + "\n")
    link.stop_link()


def _device_bytes() -> int:
    """Both directions of this host's network devices, loopback left out."""
    lines = Path("/proc/self/net/dev").read_text().splitlines()[2:]
    counts = [line.split(":") for line in lines]
    return sum(
        int(numbers.split()[0]) + int(numbers.split()[8])
        for name, numbers in counts
        if name.strip() != "lo"
    )


def _link(rank: int, addresses: list[str]) -> Any:
    description = libspu.link.Desc()
    description.recv_timeout_ms = 600_000
    description.connect_retry_times = 120
    description.connect_retry_interval_ms = 250
    for index, address in enumerate(addresses):
        description.add_party(f"party-{index}", address)
    return libspu.link.create_brpc(description, rank)


def _compiled(
    link: Any, folder: Path, model: dict[str, Any], images: Any
) -> tuple[Any, list[str], int]:
    """The program that both parties compile from what they tell each other: steps and shapes.

    Also the arrays in the order of its inputs, and the number of images.
    """
    mine: dict[str, Any] = {}
    if model:
        mine["steps"] = json.loads((folder / "steps.json").read_text())
        mine["shapes"] = {name: list(values.shape) for name, values in model.items()}
    told = json.loads(link.broadcast(json.dumps(mine), 0))
    size = json.loads(link.broadcast(json.dumps([] if images is None else images.shape), 1))
    order = list(told["shapes"])
    arguments = [np.zeros((1, *size[1:]), np.float32)]
    arguments += [np.zeros(told["shapes"][name], np.float32) for name in order]

    def network(image: Any, *weights: Any) -> Any:
        return logits(told["steps"], image, dict(zip(order, weights, strict=True)))

    secret = libspu.Visibility.VIS_SECRET
    executable, _ = frontend.compile(
        frontend.Kind.JAX,
        network,
        arguments,
        {},
        ["image", *(f"w{place}" for place in range(len(order)))],
        [secret] * len(arguments),
        lambda outputs: [f"out{index}" for index in range(len(outputs))],
    )
    return executable, order, size[0]


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
