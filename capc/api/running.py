"""`capc.run`: a whole run of the protocol, from a program or a notebook."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from capc.api.flags import FlagValue, StrPath, settings_of
from capc.api.result import RunResult, load_run
from capc.console import plain_console
from capc.errors import BudgetError, ConfigError, DisagreementError, ExitStatus, ProgramError
from capc.files import owner_only
from capc.harness import experiment
from capc.harness.settings import Settings
from capc.harness.signals import interruptible
from capc.he.parameter_flags import FAST
from capc.private_memory import keep_memory_private


def run(
    *,
    n_parties: int = 1,
    n_queries: int | None = None,
    images: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    model_type: StrPath | None = None,
    ignore_parties: bool = False,
    sigma: float | None = None,
    threshold: int | None = None,
    sigma_threshold: float | None = None,
    epsilon: float | None = None,
    delta: float | None = None,
    account: StrPath | None = None,
    encryption_params: StrPath | Mapping[str, object] = FAST,
    results_dir: StrPath = "results",
    launcher: Literal["subprocess", "tmux"] = "subprocess",
    show: bool = True,
    **flags: FlagValue,
) -> RunResult:
    """Run the protocol between processes on this machine, and wait for its end.

    Each argument is the flag of `capc run` of that name, and all others of its flags may be given
    too; None leaves a flag out. Not flags are: `images`, the queries themselves (n, ...), floats or
    bytes, in place of a data set's; `labels`, their classes (n,), only to be compared with; `show`,
    whether the lines of a run are printed. `n_queries` is by default all of `images`, else 1.
    Defaults differ from the command's in `launcher` and `encryption_params`.

    Whoever calls this plays all parties at once: it holds the models and the queries.

    Raises a CapcError of `capc.errors`: ConfigError or ModelError for what cannot run,
    BudgetError where the budget admitted no query, DisagreementError where labels differ from the
    reference, ProgramError where a party failed. KeyboardInterrupt, after all parties have ended,
    where it is interrupted; SIGTERM and SIGHUP interrupt it too.
    """
    chosen: dict[str, FlagValue] = {
        **flags,
        "n_parties": n_parties,
        "n_queries": n_queries,
        "model_type": model_type,
        "ignore_parties": ignore_parties,
        "sigma": sigma,
        "threshold": threshold,
        "sigma_threshold": sigma_threshold,
        "epsilon": epsilon,
        "delta": delta,
        "account": account,
        "encryption_params": _parameters(encryption_params),
        "results_dir": results_dir,
        "launcher": launcher,
    }
    with _saved(images, labels) as asked, interruptible(), owner_only():
        status, folder = _ended(_settings(asked, chosen), show)
    return _checked(status, load_run(folder))


def _settings(asked: dict[str, FlagValue], chosen: dict[str, FlagValue]) -> Settings:
    """Of the flags for the queries that are asked and of those that were given."""
    if asked and chosen.get("dataset_path") is not None:
        raise ConfigError("images and dataset_path are two places for the queries: give one")
    given = {name: value for name, value in chosen.items() if value is not None}
    return settings_of({**asked, **given})


def _ended(settings: Settings, show: bool) -> tuple[int, Path]:
    """The exit status of a run from its begin to its end, and its folder."""
    if settings.verify:
        keep_memory_private()
    console = None if show else plain_console(file=io.StringIO(), quiet=True)
    folders: list[Path] = []
    status = experiment.run(settings, console=console, begun=folders.append)
    return status, folders[0]


def _parameters(given: StrPath | Mapping[str, object]) -> StrPath:
    return json.dumps(dict(given)) if isinstance(given, Mapping) else given


@contextmanager
def _saved(images: ArrayLike | None, labels: ArrayLike | None) -> Iterator[dict[str, FlagValue]]:
    """The flags for queries that are given as arrays: a file of this user alone, for the run."""
    if images is None:
        if labels is not None:
            raise ConfigError("labels need images: those of a data set are known")
        yield {}
        return
    arrays = {"samples": np.asarray(images)}
    if labels is not None:
        arrays["labels"] = np.asarray(labels)
    if not arrays["samples"].shape:
        raise ConfigError("images is one number; give an array (n, ...)")
    with tempfile.TemporaryDirectory(prefix="capc-queries-") as folder:
        path = Path(folder) / "queries.npz"
        np.savez(path, allow_pickle=False, **arrays)
        yield {"dataset_path": path, "n_queries": len(arrays["samples"])}


def _checked(status: int, result: RunResult) -> RunResult:
    """The result of a run that succeeded; the error that says why it did not."""
    if status == ExitStatus.INTERRUPTED:
        raise KeyboardInterrupt
    if status == ExitStatus.OK:
        return result
    said = f"{result.failure or 'the run failed'} ({result.folder})"
    if status == ExitStatus.DISAGREES:
        raise DisagreementError(said)
    if status == ExitStatus.NOTHING_ANSWERED:
        raise BudgetError(said)
    raise ProgramError(said)
