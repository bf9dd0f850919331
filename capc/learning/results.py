"""The tables of an experiment, each its owner's alone.

accuracy.csv, classes.csv, queries.csv, summary.csv, sweep.csv, secure.csv, run.json. An epsilon in
them follows the data-independent bounds, which need no votes. What tells of votes goes to
`private/`: there are counts and comparisons, and, only when asked, data-dependent epsilons and the
raw votes. models.csv, accuracy.csv, classes.csv, summary.csv and the figures are measured on models
without noise: what of a folder may be published, capc/harness/publish_command.py says.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capc.errors import ConfigError
from capc.files import write_whole
from capc.learning.experiment import Experiment
from capc.learning.measures import Score, judged, mean_interval
from capc.learning.query_stage import PATE, asked_by, total_votes
from capc.learning.query_stage import STAGE as QUERIES
from capc.learning.retrain_stage import Trial
from capc.learning.session import Session
from capc.learning.splits import generator_for
from capc.learning.store import read_json
from capc.learning.train_stage import STAGE as MODELS
from capc.learning.voting import epsilon_of, seeded_sampler
from capc.privacy.accountant import Accountant

if TYPE_CHECKING:
    import pandas

_NOISE_FACTORS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)  # multiples of the experiment's sigma
METRICS = ("accuracy", "balanced_accuracy", "weak_accuracy")
SWEEP_COLUMNS = (
    *("parties", "seed", "strategy", "asked", "answered", "labels_right", "epsilon_independent"),
    "stopped_by",
)
SECURE_COLUMNS = ("seed", "party", "queries", "answered", "seconds")
_PRIVATE_README = """\
Do not publish this folder: it tells of votes without noise, which no epsilon covers.

votes.csv             how often the vote without noise is right
ensemble.csv          how often the vote of all is right, under more and less noise
secure.csv            the protocol's labels beside the simulation's and the reference
seed*/**/votes.npy    the raw votes (--include_private)
seed*/**/private_epsilon.json    a data-dependent epsilon: it is computed from the votes
"""
QUERY_COLUMNS = (
    "seed",
    "strategy",
    "party",
    "asked",
    "answered",
    "labels_right",
    "epsilon_independent",
    "delta",
    "conversion",
    "stopped_by",
)


def model_rows(session: Session, models: Mapping[int, Sequence[str]]) -> list[dict[str, Any]]:
    """One row per private model: test accuracy, examples, architecture."""
    rows = []
    for seed, keys in models.items():
        for party, key in enumerate(keys):
            document = read_json(session.store.folder(MODELS, key) / "model.json")
            names = ("model_type", "train_examples", "test_accuracy")
            rows.append({"seed": seed, "party": party} | {name: document[name] for name in names})
    return rows


def query_rows(session: Session, queries: Mapping[int, str]) -> list[dict[str, Any]]:
    """One row per seed, strategy and querying party; party -1 is the plain-PATE student.

    Public queries are that student's: one row of party -1, for their answers go to every party.
    `epsilon_independent` is what the answering parties gave to all querying parties together.
    """
    privacy, rows = session.experiment.privacy, []
    for folder, outcomes in _outcomes(session, queries, session.experiment.strategies):
        epsilon = epsilon_of(Accountant.load(folder / "account.json"), privacy)
        for columns, outcome in outcomes:
            rows.append(
                columns
                | {
                    "asked": outcome["asked"],
                    "answered": outcome["answered"],
                    "labels_right": _share(outcome["labels_right"], outcome["answered"]),
                    "epsilon_independent": epsilon,
                    "delta": privacy.delta,
                    "conversion": privacy.conversion,
                    "stopped_by": privacy.bound,
                }
            )
    return rows


def vote_rows(session: Session, queries: Mapping[int, str]) -> list[dict[str, Any]]:
    """How often the vote without noise is right, by querying party: for the private folder."""
    return [
        columns | {"plain_votes_right": _share(outcome["plain_votes_right"], outcome["asked"])}
        for _, outcomes in _outcomes(session, queries, session.experiment.own_strategies)
        for columns, outcome in outcomes
    ]


def noisy_vote_rows(session: Session, models: Mapping[int, list[str]]) -> list[dict[str, Any]]:
    """The vote of all parties as a classifier, by the noise on its counts: one draw for each.

    Every query is answered. For the private folder: sigma 0 is there, and no account covers this.
    """
    experiment = session.experiment
    rule = experiment.rule
    rows = []
    for seed, keys in models.items():
        evaluation = session.test_parts(seed).evaluation
        votes = total_votes(session, keys)[evaluation]
        truth = session.dataset.test_labels[evaluation]
        for factor in _NOISE_FACTORS:
            sigma = factor * experiment.privacy.sigma
            sampler = seeded_sampler(generator_for("ensemble", seed, factor))
            noise = sampler(sigma, votes.size).reshape(votes.shape)
            found = judged(
                rule.answers(votes + noise, experiment.parties),
                *(truth, rule.outputs),
                multi_label=rule.multi_label,
            )
            columns = {"seed": seed, "sigma": sigma, "accuracy": found.accuracy}
            rows.append(columns | {"balanced_accuracy": found.balanced})
    return rows


def _outcomes(
    session: Session, queries: Mapping[int, str], strategies: Sequence[str]
) -> Iterator[tuple[Path, list[tuple[dict[str, Any], dict[str, Any]]]]]:
    """For each seed and strategy, the PATE student's last: its folder, and what each party got.

    With each party's outcome come the columns that say whose it is.
    """
    for seed, key in queries.items():
        for strategy in [*strategies, PATE]:
            folder = session.store.folder(QUERIES, key) / asked_by(strategy)
            outcomes = []
            for place in sorted(folder.glob("party*")):
                party = int(place.name.removeprefix("party"))
                columns = {"seed": seed, "strategy": strategy, "party": party}
                outcomes.append((columns, read_json(place / "outcome.json")))
            yield folder, outcomes


def accuracy_rows(
    experiment: Experiment, trials: Sequence[Trial], scores: Sequence[Score]
) -> list[dict[str, Any]]:
    """One row per retrained model."""
    rows = []
    for trial, found in zip(trials, scores, strict=True):
        rows.append(
            _trial_columns(experiment, trial)
            | {
                "accuracy": found.accuracy,
                "balanced_accuracy": found.balanced,
                "weak_accuracy": found.over(experiment.split.weak_classes),
            }
        )
    return rows


def class_rows(
    experiment: Experiment, trials: Sequence[Trial], scores: Sequence[Score]
) -> list[dict[str, Any]]:
    """One row per retrained model and class."""
    return [
        _trial_columns(experiment, trial) | {"class": label, "accuracy": float(accuracy)}
        for trial, found in zip(trials, scores, strict=True)
        for label, accuracy in enumerate(found.by_class)
    ]


def ensemble_rows(session: Session, queries: Mapping[int, str]) -> list[dict[str, Any]]:
    """The vote of all parties, without noise, as a classifier of its own."""
    rows = []
    for seed, key in queries.items():
        document = read_json(session.store.folder(QUERIES, key) / "ensemble.json")
        found = Score(tuple(document["correct"]), tuple(document["examples"]))
        rows.append(
            {
                "seed": seed,
                "retraining_seed": 0,
                "party": -1,
                "model": "all",
                "strategy": "",
                "arm": "ensemble",
                "accuracy": found.accuracy,
                "balanced_accuracy": found.balanced,
                "weak_accuracy": found.over(session.experiment.split.weak_classes),
            }
        )
    return rows


def summarise(accuracy: pandas.DataFrame) -> pandas.DataFrame:
    """Mean and 95 % interval per arm and metric, and of the gain of `capc` and `vote` over `own`.

    A unit is one querying party in one seed, averaged over retraining seeds; the interval is
    Student's t over units. Units of one seed share the answering parties, so few seeds make it
    narrower than it should be.
    """
    import pandas  # noqa: PLC0415

    units = (
        accuracy.fillna({"strategy": ""})
        .groupby(["arm", "strategy", "seed", "party"], as_index=False)[list(METRICS)]
        .mean()
    )
    rows = []
    for (arm, strategy), group in units.groupby(["arm", "strategy"]):
        rows += [_summary_row(arm, strategy, metric, group[metric]) for metric in METRICS]
    own = units[units["arm"] == "own"].set_index(["seed", "party"])
    for (arm, strategy), group in units.groupby(["arm", "strategy"]):
        if arm not in ("capc", "vote"):
            continue
        mine = group.set_index(["seed", "party"])
        for metric in METRICS:
            gain = mine[metric] - own[metric].reindex(mine.index)
            rows.append(_summary_row(arm, strategy, f"{metric}_gain", gain))
    table: pandas.DataFrame = pandas.DataFrame(rows)
    return table


def write_table(
    folder: Path, name: str, rows: Iterable[Mapping[str, Any]] | pandas.DataFrame
) -> Path:
    """A CSV, whole or not at all. Raises ConfigError where it cannot be written."""
    import pandas  # noqa: PLC0415

    table = rows if isinstance(rows, pandas.DataFrame) else pandas.DataFrame(list(rows))
    target = folder / f"{name}.csv"
    text = table.to_csv(index=False, float_format="%.6g")
    write_whole(target, text, make_folder=True)
    return target


def private_folder(folder: Path) -> Path:
    """A folder's private part, made where it is missing, with a README that says why."""
    target = folder / "private"
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    target.chmod(0o700)
    write_whole(target / "README", _PRIVATE_README)
    return target


def write_private(session: Session, folder: Path, queries: Mapping[int, str]) -> Path:
    """Raw votes and data-dependent epsilon, in a folder that only its owner can read."""
    target = private_folder(folder)
    for seed, key in queries.items():
        source = session.store.folder(QUERIES, key)
        for file in [*source.rglob("votes.npy"), *source.rglob("private_epsilon.json")]:
            copy = target / f"seed{seed}" / file.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
    return target


def refuse_another(folder: Path, experiment: Experiment) -> None:
    """Raise ConfigError where a folder holds the results of an experiment with other fields."""
    path = folder / "run.json"
    if not path.is_file():
        return
    document = read_json(path)
    there = document.get("experiment") if isinstance(document, dict) else None
    ours = experiment.as_json()
    names = [name for name in ours if not isinstance(there, dict) or there.get(name) != ours[name]]
    if names:
        raise ConfigError(
            f"{folder} holds the results of an experiment with another {names[0]} "
            f"({_shown(there, names[0])}, not {_shown(ours, names[0])}): name another "
            "--results_dir, give this one another name (--set name=...), or move that folder away"
        )


def _shown(document: Any, name: str) -> str:
    value = document.get(name) if isinstance(document, dict) else None
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def write_run(folder: Path, session: Session, extra: Mapping[str, Any]) -> None:
    """run.json: the experiment as run, versions, times, memory."""
    document = {"experiment": session.experiment.as_json(), "workers": session.workers, **extra}
    path = folder / "run.json"
    previous = read_json(path) if path.is_file() else {}
    document["stages"] = previous.get("stages", {}) | document.get("stages", {})
    text = json.dumps(document, indent=2, sort_keys=True) + "\n"
    write_whole(path, text, make_folder=True)


def comparison_rows(comparisons: Iterable[Any]) -> list[dict[str, Any]]:
    """One row per querying party of a `--secure` run, for the private folder."""
    return [asdict(comparison) for comparison in comparisons]


def secure_rows(comparisons: Iterable[Any]) -> list[dict[str, Any]]:
    """The same rows without what tells of votes."""
    return [
        {name: getattr(comparison, name) for name in SECURE_COLUMNS} for comparison in comparisons
    ]


def _trial_columns(experiment: Experiment, trial: Trial) -> dict[str, Any]:
    return {
        "seed": trial.seed,
        "retraining_seed": trial.retraining_seed,
        "party": trial.party,
        "model": experiment.model_of(max(trial.party, 0)),
        "strategy": trial.strategy,
        "arm": trial.arm,
    }


def _summary_row(arm: str, strategy: str, metric: str, values: pandas.Series) -> dict[str, Any]:
    found = mean_interval(values.dropna().tolist())
    return {
        "arm": arm,
        "strategy": strategy,
        "metric": metric,
        "mean": found.mean,
        "low": found.low,
        "high": found.high,
        "units": found.n,
    }


def _share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan
