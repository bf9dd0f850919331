"""`capc.run` as a notebook calls it: a real run, what it gives, and how it fails."""

from __future__ import annotations

import asyncio
import io
import json
import math
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import capc
from capc.data.datasets import load_dataset
from capc.errors import (
    BudgetError,
    ConfigError,
    DisagreementError,
    ExitStatus,
    ModelError,
    ProgramError,
)
from capc.harness import experiment

pytest.importorskip("capc.gc._engine", reason="the circuit extension is not built")
QUERIES = 2


@pytest.fixture(scope="module")
def model() -> capc.Model:
    return capc.load_model("cryptonets-relu")


@pytest.fixture(scope="module")
def asked() -> np.ndarray[Any, Any]:
    """Bytes (n, 28, 28)."""
    return load_dataset("mnist").test_images[:QUERIES].squeeze()


@pytest.fixture(scope="module")
def result(
    model: capc.Model, asked: np.ndarray[Any, Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[capc.RunResult, str]:
    """A run within a running event loop, with a standard output that is no file; what it said."""
    assert model.classes == 10  # prepared, so that the run need not

    async def cell() -> capc.RunResult:
        return capc.run(
            n_parties=2,
            ignore_parties=True,
            images=asked,
            labels=model.labels(asked),
            sigma=1,
            epsilon=30,
            results_dir=tmp_path_factory.mktemp("results"),
        )

    said, before = io.StringIO(), sys.stdout
    sys.stdout = said
    try:
        return asyncio.run(cell()), said.getvalue()
    finally:
        sys.stdout = before


def test_a_run_gives_what_the_models_say(
    result: tuple[capc.RunResult, str], model: capc.Model, asked: np.ndarray[Any, Any]
) -> None:
    run, said = result
    assert run.true_labels == tuple(model.labels(asked))
    assert len(run.labels) == QUERIES
    assert run.succeeded
    assert run.failure is None
    assert f"run {run.folder.name}: 4 parties" in said
    assert run.account.answered == QUERIES
    assert run.account.refused == 0
    assert run.account.limit == 30
    expected = capc.privacy.cost(QUERIES, sigma=1)
    assert run.account.epsilon == pytest.approx(expected.epsilon, rel=1e-6)
    for path in (run.queries_csv, run.timings_csv, run.summary_csv, run.report):
        assert path.is_file()
    assert list(run.queries()["query"]) == [0, 1]
    assert set(run.timings()["step"]) >= {"1a", "1b", "1c", "2", "3"}
    assert len(run.summary())


def test_a_run_is_read_again_from_its_folder(result: tuple[capc.RunResult, str]) -> None:
    run, _ = result
    again = capc.load_run(run.folder.parent / "latest")
    assert (again.folder, again.labels, again.account) == (run.folder, run.labels, run.account)


def changed(run: capc.RunResult, folder: Path, **fields: object) -> Path:
    """A copy of a run's folder whose run.json says something else."""
    shutil.copytree(run.folder, folder)
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**record, **fields}))
    return folder


def test_several_labels_are_sets(result: tuple[capc.RunResult, str], tmp_path: Path) -> None:
    flags = {**result[0].record["flags"], "task": "multi-label"}
    folder = changed(result[0], tmp_path / "run", flags=flags)
    header, *rows = (folder / "queries.csv").read_text().splitlines()
    texts = [f"0,,0 2,true{rows[0].partition('true')[2]}", "1,,none,true,3,3.5,1e-05,improved,"]
    # a query of which only one party had spoken is written last
    (folder / "queries.csv").write_text("\n".join([header, "2,,,false,,,,,", *texts, ""]))
    run = capc.load_run(folder)
    assert run.labels == (frozenset({0, 2}), frozenset(), None)
    assert run.true_labels == (None, None, None)
    assert (run.account.epsilon, run.account.answered, run.account.refused) == (3.5, 2, 1)


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not the folder of a run"):
        capc.load_run(tmp_path)
    (tmp_path / "run.json").write_text("[]")
    with pytest.raises(ConfigError, match="is not the folder of a run"):
        capc.load_run(tmp_path)


@pytest.mark.parametrize(
    ("status", "fields", "error", "said"),
    [
        (ExitStatus.FAILED, {"failure": {"party": "guardian", "reason": "gone"}}, ProgramError,
         "guardian failed: gone"),
        (ExitStatus.DISAGREES, {"complaints": ["do not use these"]}, DisagreementError,
         "do not use these"),
        (ExitStatus.NOTHING_ANSWERED, {"complaints": ["the budget refused"]}, BudgetError,
         "the budget refused"),
        (ExitStatus.INTERRUPTED, {}, KeyboardInterrupt, "^$"),
    ],
)  # fmt: skip
def test_a_run_that_fails_is_an_exception(
    result: tuple[capc.RunResult, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    status: ExitStatus,
    fields: dict[str, object],
    error: type[BaseException],
    said: str,
) -> None:
    folder = changed(result[0], tmp_path / "run", exit_status=status, **fields)

    def ended(*_: object, begun: Callable[[Path], object], **__: object) -> int:
        begun(folder)
        return status

    monkeypatch.setattr(experiment, "run", ended)
    with pytest.raises(error, match=said) as caught:
        capc.run(show=False)
    if isinstance(caught.value, capc.errors.CapcError):
        assert caught.value.exit_status == status
        assert str(folder) in str(caught.value)
        assert not capc.load_run(folder).succeeded


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"epsilonn": 1}, "there is no flag --epsilonn; did you mean --epsilon?"),
        ({"sigma": -1}, "--sigma is -1"),
        ({"labels": [1]}, "labels need images"),
        ({"images": 3}, "images is one number"),
        ({"images": [[1.0]], "model_type": "./none.pb", "ignore_parties": True}, "there is no"),
        ({"encryption_params": {"scheme_name": "HE_SEAL"}}, "--encryption_params"),
        ({"help": True}, "help"),
        ({"images": [[1.0]], "dataset_path": "x"}, "images and dataset_path"),
    ],
)
def test_what_cannot_run_is_an_error_and_never_an_exit(
    arguments: dict[str, Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=said.replace("?", r"\?")):
        capc.run(show=False, **arguments)
    assert not list(tmp_path.iterdir())


def test_a_model_says_what_it_is(model: capc.Model, asked: np.ndarray[Any, Any]) -> None:
    assert model.input_shape == (28, 28, 1)
    assert repr(model) == "<Model cryptonets-relu.pb: 28x28x1 to 10 logits>"
    assert [layer.kind.split()[0] for layer in model.layers][:3] == ["Input", "Conv2D", "Relu"]
    assert sum(layer.weights for layer in model.layers) == 99_240
    assert (model.ring_bits, model.fraction_bits) == (41, 12)
    assert "Expected for one query" in model.describe()
    logits, exact = model.logits(asked), model.logits(asked, in_protocol=True)
    assert logits.shape == exact.shape == (QUERIES, 10)
    assert 0 < np.max(np.abs(logits - exact)) < 0.05
    assert np.all(exact * 2**24 == np.rint(exact * 2**24))  # products have 24 fractional bits
    floats = asked.astype(np.float32) / 255
    assert np.array_equal(model.labels(floats.reshape(QUERIES, 784)), model.labels(asked))


def test_a_model_that_is_none_is_an_error(tmp_path: Path, model: capc.Model) -> None:
    with pytest.raises(ConfigError, match="there is no model"):
        capc.load_model(tmp_path / "none.pb")
    with pytest.raises(ConfigError, match="holds samples of shape"):
        model.logits(np.zeros((1, 5)))
    with pytest.raises(ModelError, match="outside the input range"):
        model.logits(np.full((1, 28, 28), 2.0), in_protocol=True)


def test_privacy_is_what_the_command_says(capsys: pytest.CaptureFixture[str]) -> None:
    from capc.cli import main  # noqa: PLC0415

    def printed(*words: str) -> dict[str, Any]:
        assert main(["privacy", *words]) == 0
        said: dict[str, Any] = json.loads(capsys.readouterr().out)
        return said

    privacy = capc.privacy
    by_hand = printed("cost", "--sigma=7", "--queries=100")
    assert privacy.cost(100, sigma=7).epsilon == by_hand["epsilon"]
    flags = ("--sigma=40", "--queries=500", "--answered=300", "--sigma_threshold=150")
    by_hand = printed("cost", *flags, "--delta=1e-6", "--conversion=classic")
    loss = privacy.cost(
        500, 40, answered=300, sigma_threshold=150, delta=1e-6, conversion="classic"
    )
    assert (loss.epsilon, loss.delta) == (by_hand["epsilon"], 1e-6)
    by_hand = printed("cost", "--sigma=7", "--epsilon=10")
    assert privacy.queries_within(10, 7) == by_hand["queries_that_fit"] == 87
    shared = ("--noise=distributed", "--parties=50", "--colluding=5")
    by_hand = printed("cost", "--sigma=7", "--queries=9", *shared)
    assert privacy.cost(9, 7, parties=50, colluding=5).epsilon == by_hand["epsilon"]
    by_hand = printed("calibrate", "--epsilon=2", "--queries=500", "--delta=1e-6")
    assert privacy.sigma_for(2, 500, delta=1e-6) == by_hand["sigma"]
    assert privacy.cost(3, sigma=0).epsilon == math.inf
    with pytest.raises(ConfigError, match="give 1 or more"):
        privacy.cost(0, 7)
    with pytest.raises(ConfigError, match="colluding needs parties"):
        privacy.cost(1, 7, colluding=1)
