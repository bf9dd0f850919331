"""`--secure`: the labels of the chosen queries come from the real protocol.

The answering parties' models are frozen, the queries saved in the original's files, and `capc run`
asks them as processes of their own. The simulation's vote stands beside: with the noise off the
labels are equal, and with it the check of a run with --verify says so for the noise that was drawn.
"""

from __future__ import annotations

import logging
import signal
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capc.child_process import run_child
from capc.data.datasets import normalised
from capc.data.saved_queries import save_queries
from capc.errors import ConfigError, ProtocolError
from capc.files import REPOSITORY
from capc.harness.flags import constant_flags
from capc.harness.secure_flags import label_flags, limit, privacy_flags
from capc.harness.secure_tables import answers_of, read_queries, read_table, truth
from capc.learning.experiment import Privacy
from capc.learning.given_models import given_files, linked_files
from capc.learning.jobs import trainer_arguments
from capc.learning.query_stage import STAGE as QUERIES
from capc.learning.query_stage import Ask, Ballot, query_key, query_seed, simulated
from capc.learning.session import Session
from capc.learning.store import Store, content_key
from capc.learning.train_stage import STAGE as MODELS
from capc.learning.train_stage import TrainingJob, training_jobs
from capc.learning.voting import Answers, Round, budget_of
from capc.learning.weights import load_weights
from capc.learning.workers import Task
from capc.privacy.accountant import Accountant
from capc.privacy.conversion import GridEdgeWarning
from capc.privacy.voting_rules import members

log = logging.getLogger(__name__)

FROZEN = "frozen"


@dataclass(frozen=True)
class SecureOptions:
    """What `capc run` is told besides the experiment; `queries` caps how many a party asks."""

    queries: int = 20
    encryption_params: str = "config/fast.json"
    batch_size: int = 1
    verify: bool = False
    ring: int | None = None
    fraction_bits: int | None = None


@dataclass(frozen=True)
class Comparison:
    """One querying party's run beside the simulation on the same models.

    `reference_agrees`: queries whose label equals the fixed-point reference's with the same
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

    @property
    def verdict(self) -> str:
        """All that may be shown of it: yes, no, or that noise hides it."""
        votes = (self.plain_equal, self.queries if self.labels_equal is None else self.labels_equal)
        if self.reference_agrees < self.checked or any(count < self.queries for count in votes):
            return "NO"
        return "yes" if self.checked == self.queries else "not compared"


def query_securely(
    session: Session, models: dict[int, list[str]], options: SecureOptions
) -> tuple[Session, dict[int, str], list[Comparison]]:
    """As `query`, by the protocol and for the first strategy; resumes like every stage.

    Returns the session cut to that strategy, the keys of the results by seed, and the comparisons
    of the runs that were made now.
    """
    if not session.experiment.own_strategies:
        raise ConfigError(
            "--secure asks queries of a party's own, and --queries public leaves none: public ones "
            "need no encrypted inference"
        )
    first = session.experiment.own_strategies[:1]
    experiment = replace(session.experiment, strategies=first)
    session = replace(session, experiment=experiment)
    if experiment.private_models is None:
        freeze(session, models)
    keys, comparisons = {}, []
    with session.bar("queries by the protocol") as progress:
        for done, (seed, of_parties) in enumerate(models.items()):
            progress(done, len(models))
            keys[seed] = query_key(session, seed, of_parties, secure=repr(options))
            if session.store.has(QUERIES, keys[seed]):
                continue
            protocol = _Protocol(session, seed, of_parties, options)
            query_seed(session, seed, of_parties, keys[seed], protocol.put)
            comparisons += protocol.comparisons
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
    from capc.learning.training import trainer_for  # noqa: PLC0415  TensorFlow

    store, trainer = Store(Path(root)), trainer_for(*trainer_arguments(job))
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
        with tempfile.TemporaryDirectory(prefix="capc-account-") as scratch:
            account = Path(scratch) / "account.json"
            runs = self._take_turns(ballot, privacy, account)
            spent = Accountant.load(account)
        self.comparisons += [
            _added(self._seed, party, [comparison for _, comparison in runs[place]])
            for place, party in enumerate(ballot.parties)
        ]
        answers = tuple(_joined([part for part, _ in of_party]) for of_party in runs)
        return Round(answers, spent, None)

    def _take_turns(self, ballot: Ballot, privacy: Privacy, account: Path) -> list[_Runs]:
        """Run after run on one account, until every query is asked or the budget admits no more.

        A party asks its share of what is left in the worst case; what it leaves, because queries
        were not answered, goes to those after it. Returns the runs of each party.
        """
        wanted = [min(self._options.queries, len(part)) for part in ballot.examples]
        asked = [0] * len(wanted)
        runs: list[_Runs] = [[] for _ in wanted]
        while waiting := [place for place, count in enumerate(asked) if count < wanted[place]]:
            for behind, place in enumerate(waiting):
                room = _admitted(
                    *(privacy, account, wanted[place] * (len(waiting) - behind)),
                    voters=len(self._models) - 1,
                    changes=self._session.experiment.rule.changes,
                )
                if room == 0:
                    if not sum(asked):
                        raise ConfigError(f"privacy.epsilon {privacy.epsilon} admits no query")
                    return runs
                share = max(1, room // (len(waiting) - behind))
                last = min(wanted[place], asked[place] + share)
                chosen = slice(asked[place], last)
                answers, comparison = self._ask(ballot, place, chosen, privacy, account)
                if not answers.asked:
                    raise ProtocolError("the protocol's run answered nothing that was admitted")
                ordered = replace(answers, order=answers.order + sum(asked))
                runs[place].append((ordered, comparison))
                asked[place] += answers.asked
        return runs

    def _ask(
        self, ballot: Ballot, place: int, chosen: slice, privacy: Privacy, account: Path
    ) -> tuple[Answers, Comparison]:
        """One run of the protocol, for some of one party's queries."""
        party, examples = ballot.parties[place], ballot.examples[place][chosen]
        dataset, rule = self._session.dataset, self._session.experiment.rule
        labels = dataset.test_labels[examples]
        with tempfile.TemporaryDirectory(prefix="capc-secure-") as scratch:
            folder = Path(scratch)
            raw = dataset.test_images[examples]
            save_queries(
                folder / "queries",
                normalised(raw),
                members(labels, rule.outputs) if rule.multi_label else labels,
                raw_images=raw if raw.dtype == np.uint8 else None,
            )
            self._link_models(folder / "models", party)
            started = time.monotonic()
            self._run(folder, len(examples), privacy, account)
            seconds = time.monotonic() - started
            run = folder / "results" / "latest"
            table, check = read_queries(run), read_table(run / "private" / "check.csv")
        answers = answers_of(table, len(examples), rule)
        comparison = Comparison(
            seed=self._seed,
            party=party,
            queries=answers.asked,
            answered=int(answers.answered.sum()),
            seconds=seconds,
            **_agreement(answers, self._plain(ballot.votes[place][chosen]), check, privacy),
        )
        return answers, comparison

    def _plain(self, votes: NDArray[np.int64]) -> _Plain:
        rule = self._session.experiment.rule
        return _Plain(rule.answers(votes, len(self._models) - 1), votes.max(axis=1))

    def _owners(self) -> str:
        """All parties: each querying party asks the others, and one account covers all of them."""
        name = self._session.experiment.name
        return f"{len(self._models)} parties of {name}, seed {self._seed}"

    def _files(self) -> list[Path]:
        """Every party's model: the one that it brought, or the frozen graph of its trained one."""
        store = self._session.store
        return given_files(self._session.experiment) or [
            store.folder(FROZEN, _frozen_key(key)) / "model.pb" for key in self._models
        ]

    def _link_models(self, folder: Path, party: int) -> None:
        """The models of all parties but the querying one, numbered as `capc run` wants them."""
        files = self._files()
        target = folder / str(len(files) - 1)
        target.mkdir(parents=True)
        for place, file in enumerate([*files[:party], *files[party + 1 :]]):
            for name, part in linked_files(file, str(place)):
                link = target / name
                link.parent.mkdir(exist_ok=True)
                if not link.exists():
                    link.symlink_to(part)

    def _run(self, folder: Path, queries: int, privacy: Privacy, account: Path) -> None:
        input_range = self._session.experiment.query_range
        command = [
            *(sys.executable, "-m", "capc.harness.experiment", "--launcher=subprocess"),
            f"--n_parties={len(self._models) - 1}",
            f"--n_queries={queries}",
            f"--batch_size={min(self._options.batch_size, queries)}",
            f"--dataset_name={self._session.experiment.dataset}",
            f"--dataset_path={folder / 'queries'}",
            *("--input_range", *(repr(float(end)) for end in input_range)),
            f"--checkpoint_dir={folder / 'models'}",
            f"--results_dir={folder / 'results'}",
            f"--encryption_params={self._options.encryption_params}",
            f"--seed={self._seed}",
            f"--account={account}",
            f"--data_owners={self._owners()}",
            *constant_flags(self._options.ring, self._options.fraction_bits),
            *privacy_flags(privacy),
            *label_flags(self._session.experiment.rule),
            *(["--verify"] if self._options.verify else []),
        ]
        done = run_child(
            command,
            ends_by=signal.SIGTERM,
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
        )
        log.info("%s", done.stdout)
        if done.returncode:
            said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
            raise ProtocolError(
                f"the protocol's run ended with status {done.returncode}: "
                f"{said[-1].strip() if said else 'it said nothing'}"
            )


_Runs = list[tuple[Answers, Comparison]]
"""What one querying party's runs of the protocol brought."""


def _admitted(
    privacy: Privacy, account: Path, count: int, *, voters: int, changes: int | None
) -> int:
    """How many of the next `count` queries the account in the file admits in the worst case."""
    budget = budget_of(
        privacy,
        voters=voters,
        changes=changes,
        epsilon=limit(privacy),
        account=Accountant.load(account) if account.exists() else None,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GridEdgeWarning)  # as the guardian does
        return budget.admit(count)[0]


def _joined(parts: list[Answers]) -> Answers:
    """The answers of one party's runs, one after another."""
    nothing = np.empty(0, dtype=np.int64)
    empty = Answers(nothing, nothing.astype(np.bool_), nothing)
    every = [empty, *parts]
    return Answers(
        np.concatenate([part.order for part in every]),
        np.concatenate([part.answered for part in every]),
        np.concatenate([part.label for part in every]),
    )


def _added(seed: int, party: int, parts: list[Comparison]) -> Comparison:
    """One party's runs as one row."""
    equal = [part.labels_equal for part in parts if part.labels_equal is not None]
    counts = ("queries", "answered", "checked", "reference_agrees", "plain_equal", "seconds")
    return Comparison(
        seed=seed,
        party=party,
        labels_equal=sum(equal) if equal else None,
        **{name: sum(getattr(part, name) for part in parts) for name in counts},
    )


@dataclass(frozen=True, eq=False)
class _Plain:
    """The simulation without noise: answers (n,), and the largest count of each query (n,)."""

    answers: NDArray[np.int64]
    largest: NDArray[np.int64]


def _agreement(answers: Answers, plain: _Plain, check: Any, privacy: Privacy) -> dict[str, Any]:
    """The counts of a Comparison from the simulation's vote and private/check.csv."""
    noiseless = plain.answers[: answers.asked]
    agrees = truth(check["reference_agrees"])
    known = agrees.notna()
    equal = None
    bare = privacy.distributed or privacy.threshold is None or privacy.sigma_threshold == 0.0
    if privacy.sigma == 0.0 and bare:
        reached: NDArray[np.bool_] = np.ones(answers.asked, dtype=np.bool_)
        if privacy.threshold is not None:
            reached = plain.largest[: answers.asked] >= privacy.threshold
        equal = int((np.where(reached, noiseless, -1) == answers.label).sum())
    return {
        "checked": int(known.sum()),
        "reference_agrees": int(agrees[known].astype(bool).sum()),
        "plain_equal": int((check["plain_label"].to_numpy() == noiseless).sum()),
        "labels_equal": equal,
    }
