"""The public settings that the driver hands a party: one JSON file, in the party's own folder.

Every field is known to all parties but five: an answering party alone is told where its `model`
lies, its `agreement` with the others and, where the parties draw the noise, how much (`own_noise`);
the querying party alone where its `queries` lie; the guardian alone the budget and its own noise
(`privacy`). The others' files do not have these fields. `ring` is there where
the parties agreed on one beforehand, without a driver.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

from capc.errors import ConfigError
from capc.files import read_json
from capc.fixed_point import MAX_LOGIT, FixedPoint
from capc.gc.program_files import BACK_ENDS, BackEnd
from capc.graph.agreement import Agreement
from capc.he.parameters import EncryptionParameters
from capc.inference.choice import GARBLED, NONLINEAR_WAYS, NonlinearChoice
from capc.log_lines import LOG_FORMATS, LogFormat
from capc.machine import cores
from capc.parties.config_fields import (
    boolean,
    field,
    interval,
    mapping,
    one_of,
    optional,
    real,
    shape,
    string,
    whole,
)
from capc.privacy.conversion import CONVERSIONS, Conversion
from capc.privacy.distributed import NOISE_SOURCES, VOTE_SHIFT, NoiseSource
from capc.privacy.voting_rules import Voting, VotingRule
from capc.transport.endpoints import LOOPBACK

CONFIG_VERSION = 8
PATIENCE_PARTS = 8  # one for each of the five steps that may wait for a party, and room
CONVERSATIONS_A_CORE = 8  # with parties on one machine: where one waits, others compute


@dataclass(frozen=True)
class QuerySource:
    """Which queries to ask, from number `start` on.

    They are the test images of `dataset`, or where there is a `path`, the queries that are saved
    there, each of `shape` (None: of the data set's shape).
    """

    dataset: str
    start: int
    path: str | None
    shape: tuple[int, ...] | None = None


@dataclass(frozen=True)
class PrivacySettings:
    """Noise and budget; `threshold` None: every query is answered; `epsilon` None: no limit.

    `noise`: who draws it, the guardian or each answering party its part, of whom `colluding` may
    tell theirs to others. `account` names the file of an account that goes on from run to run,
    None: a new one, and `owners` the parties whose data it covers.
    """

    sigma: float
    threshold: int | None
    sigma_threshold: float
    epsilon: float | None
    delta: float
    conversion: Conversion
    account: str | None = None
    noise: NoiseSource = "guardian"
    colluding: int = 0
    owners: str | None = None

    @property
    def distributed(self) -> bool:
        """Whether the answering parties draw the noise."""
        return self.noise == "distributed"


@dataclass(frozen=True)
class OwnNoise:
    """What an answering party needs to draw its part of the noise: the sum's scale, in votes."""

    sigma: float
    colluding: int


@dataclass(frozen=True)
class PartyConfig:
    """What one party is told.

    `party` is querying, answering-<index> or guardian; `unencrypted` switches encryption off
    (--cpu); `verify` lets the party open its shares to the driver; `max_logit` bounds the logits'
    size; `port` 0 means any free one, of the address `listen`, which the others reach as `address`;
    `log_file` None means standard error only; `timeout_seconds` bounds every wait for a peer;
    `card` draws a card in the party's pane in place of its log; `step_by_step` has it wait before
    each step until the driver lets it go on (--step).
    `with_threshold` says whether step 3 has one, and `distributed_noise` whether the answering
    parties draw the noise: all know both. `num_classes` counts the logits of a model, and `voting`
    and `max_labels` say how they become a vote. `min_parties` is how many answering parties a query
    needs, None: all. `nonlinear` says how non-linear layers run, by which line. `ring` is what
    parties without a driver agreed on. `model` and `agreement` are set for answering parties, with
    `own_noise` where they draw it, `queries` for the querying party, `privacy` for the guardian.
    """

    party: str
    index: int
    n_parties: int
    num_classes: int
    n_queries: int
    batch_size: int
    encryption_parameters: EncryptionParameters
    input_range: tuple[float, float]
    with_threshold: bool
    distributed_noise: bool = False
    voting: Voting = "plurality"
    max_labels: int | None = None
    min_parties: int | None = None
    insecure: bool = False
    verify: bool = False
    unencrypted: bool = False
    debug: bool = False
    max_logit: float = MAX_LOGIT
    num_threads: int = 1
    log_level: int = 0
    log_format: LogFormat = "text"
    gc_backend: BackEnd = "auto"
    nonlinear: NonlinearChoice = GARBLED
    port: int = 0
    address: str = LOOPBACK
    listen: str = LOOPBACK
    log_file: str | None = None
    timeout_seconds: float = 600.0
    card: bool = False
    step_by_step: bool = False
    ring: FixedPoint | None = None
    model: str | None = None
    own_noise: OwnNoise | None = None
    agreement: Agreement | None = None
    queries: QuerySource | None = None
    privacy: PrivacySettings | None = None

    @cached_property
    def rule(self) -> VotingRule:
        """How logits become votes, and votes labels."""
        return VotingRule(self.voting, self.num_classes, self.max_labels)

    @property
    def fewest(self) -> int:
        """How many answering parties a query needs."""
        return self.min_parties or self.n_parties

    @property
    def may_lose_parties(self) -> bool:
        """Whether a query goes on without answering parties that are dead or late."""
        return self.fewest < self.n_parties

    @property
    def patience_seconds(self) -> float:
        """How long an answering party is waited for.

        Where a query can do without it, a part of the limit: whoever waits for the one that waits
        needs more time.
        """
        return self.timeout_seconds / (PATIENCE_PARTS if self.may_lose_parties else 1)

    @property
    def conversations(self) -> int:
        """With how many answering parties the querying party speaks at a time.

        With all of them, but where they all run on this machine, at its loopback address: more than
        keep its cores busy would not be faster, and each takes memory while it computes.
        """
        if self.address != LOOPBACK:
            return self.n_parties
        return min(self.n_parties, CONVERSATIONS_A_CORE * cores())

    @property
    def takes_turns(self) -> bool:
        """Whether an answering party waits while others speak, and so gives its memory back."""
        return self.conversations < self.n_parties

    @property
    def vote_shift(self) -> int:
        """A vote counts 2^vote_shift in step 1c: finer than one where the noise is distributed."""
        return VOTE_SHIFT if self.distributed_noise else 0

    @property
    def vote_units(self) -> int:
        """What a vote counts in the sums of steps 2 and 3."""
        return 1 << self.vote_shift

    def write(self, path: Path) -> None:
        """Write the file, readable by its owner only."""
        text = json.dumps(self.to_json(), indent=2) + "\n"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)

    def to_json(self) -> dict[str, Any]:
        """The JSON object of the file; fields that are None for this role are left out."""
        fields: dict[str, Any] = {"version": CONFIG_VERSION}
        fields |= {name: getattr(self, name) for name in _SHARED_FIELDS}
        fields["encryption_parameters"] = self.encryption_parameters.to_fields()
        fields["input_range"] = list(self.input_range)
        fields["nonlinear"] = self.nonlinear.to_fields()
        if self.ring is not None:
            fields["ring"] = vars(self.ring).copy()
        if self.model is not None:
            fields["model"] = self.model
        if self.own_noise is not None:
            fields["own_noise"] = vars(self.own_noise).copy()
        if self.agreement is not None:
            fields["agreement"] = self.agreement.to_fields()
        if self.queries is not None:
            fields["queries"] = vars(self.queries).copy()
        if self.privacy is not None:
            fields["privacy"] = vars(self.privacy).copy()
        return fields

    @classmethod
    def read(cls, path: str | Path) -> PartyConfig:
        """Raises ConfigError, naming the field, for a file that no driver wrote."""
        try:
            fields = read_json(path)
        except OSError as error:
            raise ConfigError(f"the party's config {path}: {error.strerror}") from None
        except ValueError:
            raise ConfigError(f"the party's config {path} is not JSON") from None
        return cls.from_json(fields)

    @classmethod
    def from_json(cls, fields: Any) -> PartyConfig:
        """The config of a parsed file; ConfigError names the field that is wrong."""
        if not isinstance(fields, dict):
            raise ConfigError("the party's config is not a JSON object")
        if fields.get("version") != CONFIG_VERSION:
            raise ConfigError(f"the party's config is not of version {CONFIG_VERSION}")
        if unknown := sorted(set(fields) - {"version", *_SHARED_FIELDS, *_ROLE_FIELDS}):
            raise ConfigError(f"the party's config has an unknown field: {unknown[0]}")
        checks = _SHARED_FIELDS | {
            name: check for name, check in _ROLE_FIELDS.items() if name in fields
        }
        config = cls(**{name: field(fields, name, check) for name, check in checks.items()})
        if config.rule.by_label and (config.with_threshold or config.distributed_noise):
            raise ConfigError(
                f"the party's config: voting is {config.voting!r}, which knows no threshold and no "
                "distributed noise"
            )
        if config.fewest > config.n_parties:
            raise ConfigError(
                f"the party's config: min_parties is {config.min_parties}; allowed is 1 to "
                f"{config.n_parties}, the answering parties"
            )
        privacy = config.privacy
        if privacy is not None and config.with_threshold != (privacy.threshold is not None):
            raise ConfigError(
                f"the party's config: with_threshold is {fields['with_threshold']!r}, but "
                f"privacy.threshold is {privacy.threshold}"
            )
        told = {privacy.distributed} if privacy is not None else set()
        told |= {config.own_noise is not None} if config.model is not None else set()
        if told - {config.distributed_noise}:
            raise ConfigError(
                f"the party's config: distributed_noise is {fields['distributed_noise']!r}, but "
                "own_noise or privacy.noise says otherwise"
            )
        return config


def _encryption_parameters(value: Any) -> EncryptionParameters:
    return EncryptionParameters.from_fields(mapping(value))


def _agreement(value: Any) -> Agreement:
    try:
        return Agreement.from_fields(mapping(value))
    except (KeyError, TypeError, ValueError):
        raise ValueError("what all models of the run use alike") from None


def _nonlinear(value: Any) -> NonlinearChoice:
    fields = mapping(value)
    way = field(fields, "way", one_of(NONLINEAR_WAYS))
    link = field(fields, "link", optional(string))
    try:
        return NonlinearChoice.of(way, link)
    except ConfigError as error:
        raise ValueError(str(error).partition("allowed is ")[2]) from None


def _query_source(value: Any) -> QuerySource:
    fields = mapping(value)
    return QuerySource(
        dataset=field(fields, "dataset", string),
        start=field(fields, "start", whole(0)),
        path=field(fields, "path", optional(string)),
        shape=field(fields, "shape", optional(shape)),
    )


def _privacy_settings(value: Any) -> PrivacySettings:
    fields = mapping(value)
    return PrivacySettings(
        sigma=field(fields, "sigma", real(0)),
        threshold=field(fields, "threshold", optional(whole(1))),
        sigma_threshold=field(fields, "sigma_threshold", real(0)),
        epsilon=field(fields, "epsilon", optional(real(0, above=True))),
        delta=field(fields, "delta", real(0, above=True)),
        conversion=field(fields, "conversion", one_of(CONVERSIONS)),
        account=field(fields, "account", optional(string)),
        noise=field(fields, "noise", one_of(NOISE_SOURCES)),
        colluding=field(fields, "colluding", whole(0)),
        owners=field(fields, "owners", optional(string)),
    )


def _own_noise(value: Any) -> OwnNoise:
    fields = mapping(value)
    return OwnNoise(
        sigma=field(fields, "sigma", real(0)),
        colluding=field(fields, "colluding", whole(0)),
    )


def _ring(value: Any) -> FixedPoint:
    fields = mapping(value)
    return FixedPoint(
        ring_bits=field(fields, "ring_bits", whole(2, 60)),
        fraction_bits=field(fields, "fraction_bits", whole(0, 30)),
    )


_SHARED_FIELDS: dict[str, Callable[[Any], Any]] = {
    "party": string,
    "index": whole(0),
    "n_parties": whole(1),
    "num_classes": whole(2),
    "n_queries": whole(1),
    "batch_size": whole(1),
    "encryption_parameters": _encryption_parameters,
    "input_range": interval,
    "with_threshold": boolean,
    "distributed_noise": boolean,
    "voting": one_of(get_args(Voting)),
    "max_labels": optional(whole(1)),
    "min_parties": optional(whole(1)),
    "insecure": boolean,
    "verify": boolean,
    "unencrypted": boolean,
    "debug": boolean,
    "max_logit": real(0, above=True),
    "num_threads": whole(1),
    "log_level": whole(0),
    "log_format": one_of(LOG_FORMATS),
    "gc_backend": one_of(BACK_ENDS),
    "nonlinear": _nonlinear,
    "port": whole(0, 65535),
    "address": string,
    "listen": string,
    "log_file": optional(string),
    "timeout_seconds": real(0, above=True),
    "card": boolean,
    "step_by_step": boolean,
}
_ROLE_FIELDS: dict[str, Callable[[Any], Any]] = {
    "ring": _ring,
    "model": string,
    "own_noise": _own_noise,
    "agreement": _agreement,
    "queries": _query_source,
    "privacy": _privacy_settings,
}
