"""`--secure`: the labels of the chosen queries come from the real protocol.

The answering parties' models are frozen, the queries saved in the original's files, and `capc run`
asks them as processes of their own. The simulation's vote stands beside: with the noise off the
labels are equal, and with it `reference_agrees` of the run says so for the noise that was drawn.
"""

from __future__ import annotations

import logging
import math
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

import capc
from capc.data.datasets import dataset_info, normalised
from capc.data.saved_queries import save_queries
from capc.errors import ConfigError, ProtocolError
from capc.learning.experiment import Privacy
from capc.learning.query_stage import STAGE as QUERIES
from capc.learning.query_stage import Ask, Ballot, query_key, query_seed, simulated
from capc.learning.session import Session
from capc.learning.store import Store, content_key
from capc.learning.train_stage import STAGE as MODELS
from capc.learning.train_stage import TrainingJob, training_jobs
from capc.learning.voting import Answers, Round, charged
from capc.learning.workers import Task
from capc.privacy.calibrate import most_queries
from capc.privacy.conversion import Conversion

log = logging.getLogger(__name__)

FROZEN = "frozen"
REPOSITORY = Path(capc.__file__).resolve().parents[1]


@dataclass(frozen=True)
class SecureOptions:
    """What `capc run` is told besides the experiment; `queries` caps how many a party asks."""

    queries: int = 20
    encryption_params: str = "config/fast.json"
    batch_size: int = 1
    verify: bool = False


@dataclass(frozen=True)
class Comparison:
    """One querying party's run beside the simulation on the same models.

    `reference_agrees`: queries whose label equals the plain fixed-point computation with the same
    noise, of `checked` where the run could know it. `plain_equal`: queries on which the float
    models vote for the same class here and there. `labels_equal`: queries with the simulation's
    own label, known with the noise off; else None.
    """

    seed: int
    party: int
    queries: int
    answered: int
    checked: int
    reference_agrees: int
    plain_equal: int
    labels_equal: int | None
    seconds: float


def query_securely(
    session: Session, models: dict[int, list[str]], options: SecureOptions
) -> tuple[Session, dict[int, str], list[Comparison]]:
    """As `query`, by the protocol and for the first strategy; resumes like every stage.

    Returns the session cut to that strategy, the keys of the results by seed, and the comparisons
    of the runs that were made now.
    """
    experiment = replace(session.experiment, strategies=session.experiment.strategies[:1])
    session = replace(session, experiment=experiment)
    freeze(session, models)
    keys, comparisons = {}, []
    with session.bar("queries by the protocol") as progress:
        for done, (seed, of_parties) in enumerate(models.items()):
            progress(done, len(models))
            keys[seed] = query_key(session, seed, of_parties, secure=repr(options))
            if session.store.has(QUERIES, keys[seed]):
                continue
            asked = _Protocol(session, seed, of_parties, options)
            query_seed(session, seed, of_parties, keys[seed], asked.put)
            comparisons += asked.comparisons
        progress(len(models), len(models))
    return session, keys, comparisons


def freeze(session: Session, models: dict[int, list[str]]) -> None:
    """Write every party's model as a frozen graph into the store."""
    tasks = [
        Task(f"graph of party {party} (seed {seed})", freeze_one, (str(session.root), key, job))
        for seed, keys in models.items()
        for party, (key, job) in enumerate(zip(keys, training_jobs(session, seed), strict=True))
        if not session.store.has(FROZEN, _frozen_key(key))
    ]
    session.run("frozen graphs", tasks)


def freeze_one(root: str, key: str, job: TrainingJob) -> None:
    """A worker's task."""
    from capc.learning.training import load_weights, trainer_for  # noqa: PLC0415  TensorFlow

    store, info = Store(Path(root)), dataset_info(job.dataset)
    trainer = trainer_for(job.model_type, info.image_shape, info.num_classes, job.training)
    trainer.set_weights(load_weights(store.folder(MODELS, key) / "weights.npz"))
    with store.writing(FROZEN, _frozen_key(key)) as folder:
        trainer.freeze(folder / "model.pb")


def _frozen_key(model: str) -> str:
    return content_key(FROZEN, model=model)


class _Protocol:
    """One seed's questions, put by `capc run`."""

    def __init__(
        self, session: Session, seed: int, models: list[str], options: SecureOptions
    ) -> None:
        self._session = session
        self._seed = seed
        self._models = models
        self._options = options
        self.comparisons: list[Comparison] = []
        self.put: Ask = self._put

    def _put(self, ballot: Ballot, privacy: Privacy) -> Round:
        if -1 in ballot.parties:  # the plain-PATE baseline has no querying party
            return simulated(self._session, self._seed)(ballot, privacy)
        limit = self._limit(privacy, len(ballot.parties))
        answers, asked, answered = [], 0, 0
        for place, party in enumerate(ballot.parties):
            given = self._ask(ballot, place, party, privacy, limit)
            answers.append(replace(given, order=given.order + asked))
            asked, answered = asked + given.asked, answered + int(given.answered.sum())
        return Round(tuple(answers), charged(privacy, asked, answered), None)

    def _limit(self, privacy: Privacy, parties: int) -> int:
        """Queries per party that fit a shared budget even if all are answered.

        Each run's guardian keeps an account of its own, so the budget is shared out beforehand.
        """
        if privacy.epsilon is None or privacy.sigma == 0.0:
            return self._options.queries
        fit = most_queries(
            privacy.epsilon,
            privacy.delta,
            privacy.sigma,
            sigma_threshold=None if privacy.threshold is None else privacy.sigma_threshold,
            conversion=cast(Conversion, privacy.conversion),
        )
        if fit < parties:
            raise ConfigError(f"privacy.epsilon admits {fit} queries for {parties} parties")
        return min(self._options.queries, fit // parties)

    def _ask(self, ballot: Ballot, place: int, party: int, privacy: Privacy, limit: int) -> Answers:
        examples = ballot.examples[place][:limit]
        votes = ballot.votes[place][:limit]
        dataset = self._session.dataset
        with tempfile.TemporaryDirectory(prefix="capc-secure-") as scratch:
            folder = Path(scratch)
            raw = dataset.test_images[examples]
            save_queries(
                folder / "queries", normalised(raw), dataset.test_labels[examples], raw_images=raw
            )
            self._link_models(folder / "models", party)
            started = time.monotonic()
            status = self._run(folder, len(examples), privacy)
            seconds = time.monotonic() - started
            table = _read_queries(folder / "results" / "latest" / "queries.csv", status)
        answers = _answers_of(table, len(examples))
        self.comparisons.append(
            Comparison(
                seed=self._seed,
                party=party,
                queries=answers.asked,
                answered=int(answers.answered.sum()),
                seconds=seconds,
                **_agreement(answers, votes, table, privacy),
            )
        )
        return answers

    def _link_models(self, folder: Path, party: int) -> None:
        """The models of all parties but the querying one, numbered as `capc run` wants them."""
        others = [key for other, key in enumerate(self._models) if other != party]
        target = folder / str(len(others))
        target.mkdir(parents=True)
        for place, key in enumerate(others):
            graph = self._session.store.folder(FROZEN, _frozen_key(key)) / "model.pb"
            (target / f"{place}.pb").symlink_to(graph.resolve())

    def _run(self, folder: Path, queries: int, privacy: Privacy) -> int:
        command = [
            *(sys.executable, "-m", "capc.cli", "run", "--launcher=subprocess"),
            f"--n_parties={len(self._models) - 1}",
            f"--n_queries={queries}",
            f"--batch_size={min(self._options.batch_size, queries)}",
            f"--dataset_name={self._session.experiment.dataset}",
            f"--dataset_path={folder / 'queries'}",
            f"--checkpoint_dir={folder / 'models'}",
            f"--results_dir={folder / 'results'}",
            f"--encryption_params={self._options.encryption_params}",
            f"--seed={self._seed}",
            *_privacy_flags(privacy),
            *(["--verify"] if self._options.verify else []),
        ]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
        log.info("%s", done.stdout)
        if done.returncode:
            said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
            log.warning("capc run ended with %d: %s", done.returncode, said[-1] if said else "")
        return done.returncode


def _agreement(
    answers: Answers, votes: NDArray[np.int64], table: Any, privacy: Privacy
) -> dict[str, Any]:
    """The counts of a Comparison from the simulation's votes (n, classes) and queries.csv."""
    plain = votes[: answers.asked].argmax(axis=1)
    known = table["reference_agrees"].notna()
    equal = None
    if privacy.sigma == 0.0 and (privacy.threshold is None or privacy.sigma_threshold == 0.0):
        reached = np.ones(answers.asked, dtype=np.bool_)
        if privacy.threshold is not None:
            reached = votes[: answers.asked].max(axis=1) >= privacy.threshold
        equal = int((np.where(reached, plain, -1) == answers.label).sum())
    return {
        "checked": int(known.sum()),
        "reference_agrees": int(table["reference_agrees"][known].astype(bool).sum()),
        "plain_equal": int((table["plain_label"].to_numpy() == plain).sum()),
        "labels_equal": equal,
    }


def _privacy_flags(privacy: Privacy) -> list[str]:
    flags = [f"--sigma={privacy.sigma}", f"--delta={privacy.delta}"]
    flags.append(f"--conversion={privacy.conversion}")
    limited = privacy.epsilon is not None and privacy.sigma > 0.0
    flags.append(f"--epsilon={privacy.epsilon if limited else math.inf}")
    if privacy.threshold is not None:
        flags += [
            f"--threshold={privacy.threshold}",
            f"--sigma_threshold={privacy.sigma_threshold}",
        ]
    return flags


def _read_queries(path: Path, status: int) -> Any:
    """queries.csv of a run that ended well; a ProtocolError says how it ended otherwise."""
    import pandas  # noqa: PLC0415

    if status != 0 or not path.is_file():
        raise ProtocolError(
            f"the protocol's run ended with status {status}: run it by hand with `capc run` to see"
        )
    table = pandas.read_csv(path)
    for name in ("answered", "reference_agrees"):
        table[name] = table[name].map(
            lambda value: {"true": True, "false": False}.get(str(value).lower())
        )
    return table


def _answers_of(table: Any, asked: int) -> Answers:
    """The rows of queries.csv as answers; a query without a row was refused by the budget."""
    rows = table.sort_values("query")
    if list(rows["query"]) != list(range(len(rows))) or len(rows) > asked:
        raise ProtocolError("queries.csv does not list the queries that were asked")
    answered = rows["answered"].to_numpy(dtype=np.bool_)
    label = rows["label"].fillna(-1).to_numpy(dtype=np.int64)
    return Answers(np.arange(len(rows)), answered, np.where(answered, label, -1))
