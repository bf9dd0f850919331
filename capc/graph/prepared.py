"""Networks on disk as `.npz` without pickle, and a cache of imported models.

Who serves a prepared model needs NumPy alone. The files hold a party's weights: they are written
readable by their owner only.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from capc.arrays import open_arrays
from capc.errors import ModelError
from capc.files import cache_root, open_bounded, parse_json, write_whole
from capc.graph.calibration import Calibration, calibrated
from capc.graph.frameworks import import_verified, is_onnx
from capc.graph.layers import KINDS, Layer, Network
from capc.graph.tensorflow.names import DEFAULT_INPUT, DEFAULT_OUTPUT
from capc.graph.tensorflow.sources import kind_of, model_path
from capc.machine import package_version

FORMAT = 13  # part of the cache key: raise it whenever importing gives other layers

_PIECE = 1 << 20
_TENSORFLOW_PACKAGES = ("tensorflow", "tensorflow-cpu", "tensorflow-intel", "tensorflow-macos")
_MALFORMED = (ValueError, KeyError, TypeError, AttributeError, IndexError)


def save_network(network: Network, path: Path, verified: Mapping[str, Any] | None = None) -> None:
    """Write a network to `path`, whole or not at all. Raises ModelError where that fails.

    `verified` is what `verification` gives back: how the network was tried.
    """
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    described = []
    for place, layer in enumerate(network.layers):
        entry: dict[str, Any] = {"kind": type(layer).__name__}
        for field in fields(layer):
            value = getattr(layer, field.name)
            if isinstance(value, np.ndarray):
                arrays[f"{place}.{field.name}"] = value.astype(np.float64)
            else:
                entry[field.name] = value
        described.append(entry)
    content = {"format": FORMAT, "layers": described, "verified": dict(verified or {})}
    header = json.dumps(content).encode()
    arrays["header"] = np.frombuffer(header, dtype=np.uint8)
    write_whole(path, lambda file: np.savez(file, **arrays), make_folder=True, error=ModelError)  # type: ignore[arg-type]


def load_network(path: Path) -> Network:
    """Read what `save_network` wrote. Raises ModelError where the file is not that."""
    try:
        with open_arrays(path) as archive:
            header = parse_json(archive["header"].tobytes())
            if header["format"] != FORMAT:
                raise ModelError(
                    f"{path} has format {header['format']}, not {FORMAT}; write it again with: "
                    "capc graph prepare"
                )
            return Network(
                tuple(_layer(entry, place, archive) for place, entry in enumerate(header["layers"]))
            )
    except FileNotFoundError as error:
        raise ModelError(
            f"there is no prepared model at {path}; write it with: capc graph prepare"
        ) from error
    except (OSError, EOFError, zipfile.BadZipFile, *_MALFORMED) as error:
        raise ModelError(
            f"{path} is not a prepared model: write it with: capc graph prepare"
        ) from error


def verification(path: Path) -> dict[str, Any]:
    """How a prepared network was tried; empty where it was not, or is no prepared network.

    `input_range` of the inputs, how many `images`, and the largest `error` of a logit that the
    import made, as a share of the largest logit.
    """
    try:
        with open_arrays(path) as archive:
            return dict(parse_json(archive["header"].tobytes())["verified"])
    except (OSError, EOFError, zipfile.BadZipFile, *_MALFORMED):
        return {}


def prepare(
    path: Path,
    input_node: str = DEFAULT_INPUT,
    output_node: str = DEFAULT_OUTPUT,
    cache_dir: Path | None = None,
    calibration: Calibration | None = None,
    *,
    input_range: tuple[float, float] = (0.0, 1.0),
    multi_label: bool = False,
) -> Path:
    """The prepared file of a model, imported only where the cache lacks it or is damaged.

    What is imported is compared with its framework on inputs in `input_range`, and refused where
    they differ; another range is tried anew. `cache_key` says what the file's name stands for. With
    a calibration, the file without one is made too. Without `cache_dir`, `default_cache_dir` is
    used. `multi_label`: several sigmoids at its end are several labels, and left out. Importing
    loads onnxruntime for an ONNX model, else TensorFlow, which takes seconds.
    Raises ModelError as `import_verified` does, and where the model changes meanwhile; ConfigError
    for examples that do not fit, or without the framework.
    """
    directory = default_cache_dir() if cache_dir is None else Path(cache_dir)
    key = cache_key(Path(path), input_node, output_node, multi_label=multi_label)
    original = directory / f"{key}.npz"
    tried = {"input_range": [float(end) for end in input_range]}
    if verification(original).get("input_range") != tried["input_range"] or not _intact(original):
        network, agreement = import_verified(
            Path(path), input_node, output_node, input_range, multi_label=multi_label
        )
        if cache_key(Path(path), input_node, output_node, multi_label=multi_label) != key:
            raise ModelError(
                f"{path} has changed while it was read; start again when it is written"
            )
        save_network(network, original, tried | asdict(agreement))
    if calibration is None:
        return original
    named = cache_key(Path(path), input_node, output_node, calibration, multi_label=multi_label)
    target = directory / f"{named}.npz"
    if not _intact(target):
        save_network(calibrated(load_network(original), calibration), target)
    return target


def cache_key(
    path: Path,
    input_node: str,
    output_node: str,
    calibration: Calibration | None = None,
    *,
    multi_label: bool = False,
) -> str:
    """64 hexadecimal digits that stand for all that a prepared model depends on.

    That is: the content of the file and of those that hold its weights, or of every file of the
    folder, links followed; how it is read, which its suffix says; the node names; the calibration;
    whether it gives several labels; this program's FORMAT; and the versions of what does the
    reading: onnx and onnxruntime, or TensorFlow and Keras. Raises ModelError or ConfigError where a
    file cannot be read.
    """
    path = model_path(path)
    named: list[Any] = [FORMAT, kind_of(path), *_versions(path), input_node, output_node]
    try:
        named.extend((name, _digest(file)) for name, file in _files(path))
    except OSError as error:
        raise ModelError(
            f"{path} cannot be read: {error.strerror}; check the path and its permissions"
        ) from error
    if calibration is not None:
        named.append(calibration.digest())
    if multi_label:
        named.append("multi-label")
    return hashlib.sha256(json.dumps(named).encode()).hexdigest()


def default_cache_dir() -> Path:
    """`prepared` in the cache of this user: capc.files.cache_root."""
    return cache_root() / "prepared"


def _files(path: Path) -> Iterator[tuple[str, Path]]:
    """The files of a model, by name below it, in a fixed order; a linked folder once."""
    if is_onnx(path):
        from capc.graph.onnx.sources import files_of  # noqa: PLC0415  needs onnx

        yield from files_of(path)
        return
    if not path.is_dir():
        yield "", path
        return
    seen: set[Path] = set()
    for folder, folders, names in os.walk(path, followlinks=True):
        real = Path(folder).resolve()
        folders[:] = [] if real in seen else sorted(folders)
        for name in [] if real in seen else sorted(names):
            file = Path(folder) / name
            if file.is_file():
                yield file.relative_to(path).as_posix(), file
        seen.add(real)


def _digest(path: Path) -> str:
    """SHA-256, in pieces: models are larger than what should be held twice."""
    digest = hashlib.sha256()
    with open_bounded(path) as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _versions(path: Path) -> tuple[str, str]:
    """Of onnx and onnxruntime for an ONNX model, else of TensorFlow and Keras; none is imported.

    TensorFlow has several names as a package.
    """
    if is_onnx(path):
        return package_version("onnx") or "", package_version("onnxruntime") or ""
    found = [package_version(name) for name in _TENSORFLOW_PACKAGES]
    return next((version for version in found if version), ""), package_version("keras") or ""


def _intact(path: Path) -> bool:
    try:
        load_network(path)
    except ModelError:
        return False
    return True


def _layer(entry: dict[str, Any], place: int, archive: Any) -> Layer:
    kind = KINDS[entry.pop("kind")]
    values = {name: _tuples(value) for name, value in entry.items()}
    for field in fields(kind):
        if field.name not in values:
            values[field.name] = archive[f"{place}.{field.name}"]
    return kind(**values)


def _tuples(value: Any) -> Any:
    """JSON's lists as the tuples that they were."""
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
