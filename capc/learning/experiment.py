"""An experiment as one validated JSON document: data, parties, models, queries, noise, seeds."""

from __future__ import annotations

import json
import re
import typing
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from capc.data.datasets import DatasetInfo, dataset_info, require_task
from capc.data.fitting import Range, stated_range
from capc.data.own_data import title, with_absolute_path
from capc.errors import ConfigError
from capc.files import existing, parse_json, read_json
from capc.label_sets import TASKS
from capc.learning.architectures import check_model_type
from capc.learning.json_fields import between, build, choice, named, positive, whole
from capc.privacy.conversion import CONVERSIONS, Conversion
from capc.privacy.distributed import NOISE_SOURCES, party_sigma
from capc.privacy.voting_rules import MULTI_LABEL, VotingRule
from capc.transport.control_messages import MAX_PARTIES

SPLITS = ("uniform", "skewed", "dirichlet")
PUBLIC = "public"  # not a party's own queries: one public set, whose answers all parties get
K_CENTRE = "k-centre"
STRATEGIES = ("random", "entropy", "gap", K_CENTRE, PUBLIC)
OPTIMIZERS = ("sgd", "adam")
SCHEDULES = ("constant", "steps", "cosine", "plateau")
NOISES = ("exact", "seeded")
BOUNDS = ("independent", "dependent")
LABEL_STRATEGIES = ("random", K_CENTRE, PUBLIC)  # the others need one class a sample

_NAME_LENGTH = 100
_NAME = re.compile(rf"[^\W_][\w.-]{{0,{_NAME_LENGTH - 1}}}")


@dataclass(frozen=True)
class Split:
    """How the training set is shared out.

    `skewed` keeps only `ratio` of the `weak_classes`, at the querying parties or at `all`;
    `dirichlet` draws each class's shares from Dirichlet(`alpha`), small alpha for strong skew.
    """

    kind: str = "uniform"
    weak_classes: tuple[int, ...] = ()
    ratio: float = 0.1
    alpha: float = 0.5
    skewed_parties: str = "querying"

    def __post_init__(self) -> None:
        choice("kind", self.kind, SPLITS)
        choice("skewed_parties", self.skewed_parties, ("querying", "all"))
        between("ratio", self.ratio, 0.0, 1.0)
        positive("alpha", self.alpha)
        if self.kind == "skewed" and not self.weak_classes:
            raise ConfigError("weak_classes is empty; name the classes that are rare")


@dataclass(frozen=True)
class Training:
    """One optimizer's settings; `weight_decay` is an L2 penalty's gradient, as in the paper's code.

    `sgd` has `momentum` (the paper's); `adam` takes it as its first decay rate. `steps` multiplies
    the rate by 0.1 at 50, 75 and 90 % of the epochs, `plateau` whenever the loss stays where it is
    for more than ten. `clip_norm` None: none.
    """

    optimizer: str = "sgd"
    learning_rate: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 1e-4
    batch_size: int = 32
    epochs: int = 20
    schedule: str = "steps"
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        choice("optimizer", self.optimizer, OPTIMIZERS)
        positive("learning_rate", self.learning_rate)
        between("momentum", self.momentum, 0.0, 0.9999)
        between("weight_decay", self.weight_decay, 0.0, 1.0)
        whole("batch_size", self.batch_size, 1, 1 << 16)
        whole("epochs", self.epochs, 1, 100_000)
        choice("schedule", self.schedule, SCHEDULES)
        if self.clip_norm is not None:
            positive("clip_norm", self.clip_norm)


@dataclass(frozen=True)
class Privacy:
    """The vote and its account; the fields are those of `capc run`.

    `bound` is what stops the queries: `dependent` is computed from the votes and private.
    `shared`: one budget for all querying parties, else one for each. `noise`: `exact` draws from
    the operating system's generator, `seeded` from NumPy's, reproducible and for simulations only.
    `drawn_by`: the guardian, or `distributed` over the answering parties, of which `colluding` may
    tell theirs to others; then `sigma_threshold` has no use, for the counts' own noise serves.
    `voting` and `max_labels` go with several labels: binary (None: the same), tau or powerset.
    """

    sigma: float = 7.0
    threshold: int | None = 50
    sigma_threshold: float = 30.0
    epsilon: float | None = 20.0
    delta: float = 1e-5
    conversion: Conversion = "improved"
    bound: str = "independent"
    shared: bool = True
    noise: str = "exact"
    drawn_by: str = "guardian"
    colluding: int = 0
    voting: str | None = None
    max_labels: int | None = None

    def __post_init__(self) -> None:
        for name in ("sigma", "sigma_threshold"):
            between(name, getattr(self, name), 0.0, 1e6)
        if self.threshold is not None:
            whole("threshold", self.threshold, 1, 1 << 30)
        if self.epsilon is not None:
            positive("epsilon", self.epsilon)
        between("delta", self.delta, 1e-300, 0.999)
        choice("conversion", self.conversion, CONVERSIONS)
        choice("bound", self.bound, BOUNDS)
        choice("noise", self.noise, NOISES)
        choice("drawn_by", self.drawn_by, NOISE_SOURCES)
        whole("colluding", self.colluding, 0, 1 << 30)
        if self.colluding and not self.distributed:
            raise ConfigError("colluding goes with drawn_by distributed")
        if self.voting is not None:
            choice("voting", self.voting, MULTI_LABEL)
        if self.distributed and self.bound == "dependent":
            raise ConfigError("with drawn_by distributed, bound must be independent")

    @property
    def distributed(self) -> bool:
        """Whether the answering parties draw the noise."""
        return self.drawn_by == "distributed"


@dataclass(frozen=True)
class SweepPoint:
    """One number of parties of the sweep, with the noise that suits it."""

    parties: int
    sigma: float
    threshold: int | None
    sigma_threshold: float


@dataclass(frozen=True)
class Experiment:
    """One experiment. Each of `seeds` repeats all of it: splits, models, noise, retraining.

    `dataset` is a known name, or NAME=FILE.npz.
    `models` are given to the parties in turn. `pool` examples of the test set are what the
    querying parties may ask, shared out evenly; accuracy is measured on the rest.
    `queries` caps how many a party asks (None: its whole share). `examples_per_party` None: the
    whole training set is used. The first of `strategies` is the one of the baselines. `pooled`
    None leaves out the baseline that trains on everybody's data. With the `task` multi-label a
    sample has a set of labels, and models end in as many logits.
    `private_models` is a folder of the parties' own models, which are asked as they are: `models`
    are then what the querying parties train anew, and nobody else trains. Bytes are scaled to
    `input_range` for these models (None: to [0, 1]).
    """

    name: str
    dataset: str
    parties: int
    querying_parties: int = 3
    models: tuple[str, ...] = ("cryptonets-relu",)
    split: Split = field(default_factory=Split)
    training: Training = field(default_factory=Training)
    retraining: Training | None = None
    pooled: Training | None = None
    pool: int = 5000
    queries: int | None = None
    examples_per_party: int | None = None
    strategies: tuple[str, ...] = ("random",)
    privacy: Privacy = field(default_factory=Privacy)
    seeds: tuple[int, ...] = (1,)
    retraining_seeds: int = 5
    sweep: tuple[SweepPoint, ...] = ()
    task: str = "single-label"
    private_models: str | None = None
    input_range: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        choice("task", self.task, TASKS)
        info = require_task(self.dataset, multi_label=self.multi_label)
        if not _NAME.fullmatch(self.name):
            raise ConfigError(
                f"name is {self.name!r}; give letters, digits, '-', '_' and '.' that can name a "
                f"folder, at most {_NAME_LENGTH}, a letter or digit first"
            )
        self._check_private_models(info)
        whole("querying_parties", self.querying_parties, 1, self.parties)
        if self.privacy.distributed:
            voters = self.parties - 1  # the querying party's own model has no vote
            party_sigma(self.privacy.sigma, voters, self.privacy.colluding)
        whole("pool", self.pool, self.querying_parties, info.test_size - 1)
        whole("retraining_seeds", self.retraining_seeds, 1, 1000)
        if self.queries is not None:
            whole("queries", self.queries, 1, info.test_size)
        if self.examples_per_party is not None:
            most = info.train_size // self.parties
            whole("examples_per_party", self.examples_per_party, 1, most)
        named("models", self.models)
        for model in self.models:
            check_model_type(model)
        named("strategies", self.strategies)
        for strategy in self.strategies:
            allowed = LABEL_STRATEGIES if self.multi_label else STRATEGIES
            choice("strategies", strategy, allowed)
        self._check_voting()
        if not self.seeds or len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise ConfigError(f"seeds is {list(self.seeds)}; give different numbers from 0 up")
        wrong = [label for label in self.split.weak_classes if not 0 <= label < info.num_classes]
        if wrong:
            raise ConfigError(f"split.weak_classes names {wrong[0]}, which is no class")

    def _check_private_models(self, info: DatasetInfo) -> None:
        """Raise ConfigError where the parties' models can neither be trained nor be theirs."""
        if self.private_models is None:
            if not info.train_size:
                raise ConfigError(f"{title(self.dataset)} has no x_train and y_train to train on")
            whole("parties", self.parties, 2, info.train_size // 10)
            if self.input_range is not None:
                raise ConfigError("input_range goes with private_models: others take [0, 1]")
            return
        whole("parties", self.parties, 2, MAX_PARTIES)
        if K_CENTRE in self.strategies:
            raise ConfigError(
                f"strategies names {K_CENTRE}, which compares queries with the party's training "
                "data by what goes into its model's last layer: of private_models neither is "
                f"known; use {', '.join(name for name in STRATEGIES if name != K_CENTRE)}"
            )
        if self.input_range is not None:
            if len(self.input_range) != 2:
                raise ConfigError(f"input_range is {list(self.input_range)}; give two numbers")
            stated_range(self.input_range)

    def _check_voting(self) -> None:
        """Raise ConfigError where the votes, or their account, are not possible for the task."""
        privacy, rule = self.privacy, self.rule
        if not self.multi_label and (privacy.voting or privacy.max_labels) is not None:
            raise ConfigError("privacy.voting and privacy.max_labels need the task multi-label")
        if self.multi_label and self.split.kind != "uniform":
            raise ConfigError(f"split.kind is {self.split.kind}; several labels are split uniform")
        if not rule.by_label:
            return
        refused = {
            "threshold": privacy.threshold is not None,
            "drawn_by distributed": privacy.distributed,
            "bound dependent": privacy.bound == "dependent",
        }
        for name, is_set in refused.items():
            if is_set:
                raise ConfigError(
                    f"privacy.{name} is refused with {rule.voting} voting: leave it out (null for "
                    "a threshold), or set privacy.voting to powerset"
                )

    @property
    def train_size(self) -> int:
        """Examples that may be shared out."""
        return dataset_info(self.dataset).train_size

    @property
    def share(self) -> int:
        """The examples of a party: as stated, or the training set shared out evenly."""
        return self.examples_per_party or self.train_size // self.parties

    @property
    def multi_label(self) -> bool:
        """Whether a sample has a set of labels."""
        return self.task == "multi-label"

    @property
    def rule(self) -> VotingRule:
        """How the parties' logits become votes, and votes answers."""
        voting = (self.privacy.voting or "binary") if self.multi_label else "plurality"
        outputs = dataset_info(self.dataset).num_classes
        return VotingRule(typing.cast(Any, voting), outputs, self.privacy.max_labels)

    @property
    def query_range(self) -> Range:
        """The closed interval of the values that the private models take."""
        if self.input_range is not None:
            return stated_range(self.input_range)
        return dataset_info(self.dataset).input_range

    @property
    def own_strategies(self) -> tuple[str, ...]:
        """The strategies by which querying parties choose queries of their own."""
        return tuple(strategy for strategy in self.strategies if strategy != PUBLIC)

    @property
    def querying(self) -> range:
        """The querying parties: the first ones."""
        return range(self.querying_parties)

    def model_of(self, party: int) -> str:
        """The architecture of a party."""
        return self.models[party % len(self.models)]

    def at(self, point: SweepPoint) -> Experiment:
        """The same experiment with another number of parties, and as many examples as there are."""
        privacy = replace(
            self.privacy,
            sigma=point.sigma,
            threshold=point.threshold,
            sigma_threshold=point.sigma_threshold,
        )
        cap, most = self.examples_per_party, self.train_size
        cap = None if cap is None else min(cap, most // max(point.parties, 1))
        return replace(self, parties=point.parties, privacy=privacy, examples_per_party=cap)

    def swept(self) -> list[Experiment]:
        """The experiment at each point of its sweep. Raises ConfigError that names the point."""
        if self.private_models is not None:
            raise ConfigError(
                "a sweep trains models for each number of parties, and private_models are trained "
                "already: use the stage query, with as many parties as there are models"
            )
        experiments = []
        for place, point in enumerate(self.sweep):
            try:
                experiments.append(self.at(point))
            except ConfigError as error:
                raise ConfigError(f"sweep[{place}].{error}") from None
        return experiments

    def as_json(self) -> dict[str, Any]:
        """Plain values, as the file has them."""
        document: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return document


def load_experiment(source: str | Path, overrides: Iterable[str] = ()) -> Experiment:
    """Read an experiment from a JSON file, or from a JSON object as it is.

    `overrides` are `privacy.sigma=10`, with JSON values. Raises ConfigError that names the file,
    the field, the value and what is allowed.
    """
    as_it_is = str(source).lstrip().startswith("{")
    path = Path() if as_it_is else Path(source)
    named = "--config" if as_it_is else f"--config {path}"
    try:
        document = parse_json(str(source)) if as_it_is else read_json(existing(str(path)) or path)
    except OSError as error:
        raise ConfigError(f"{named} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"{named} is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise ConfigError(f"{named} holds no JSON object")
    for override in overrides:
        _override(document, override)
    beside = path.parent
    try:
        dataset = document.get("dataset")
        if isinstance(dataset, str):
            document["dataset"] = with_absolute_path(dataset, beside)
        folder = document.get("private_models")
        if isinstance(folder, str):
            document["private_models"] = _existing_folder(folder, beside)
        return build(Experiment, document, "")
    except ConfigError as error:
        raise ConfigError(f"{'--config' if as_it_is else path}: {error}") from None


def _existing_folder(name: str, beside: Path) -> str:
    """The absolute path of a folder that is found here, in `beside` or in the repository."""
    found = [path for path in (existing(name), beside / name) if path is not None and path.is_dir()]
    if not found:
        raise ConfigError(f"private_models is {name}: there is no such folder")
    return str(found[0].resolve())


def _override(document: dict[str, Any], override: str) -> None:
    name, found, text = override.partition("=")
    if not found:
        raise ConfigError(f"--set {override} has no '='; write it as privacy.sigma=10")
    try:
        value = parse_json(text)
    except ValueError:
        value = text
    *folders, last = name.split(".")
    place = document
    for folder in folders:
        place = place.setdefault(folder, {})
        if not isinstance(place, dict):
            raise ConfigError(f"--set {override}: {folder} holds no fields")
    place[last] = value
