"""The public settings that the driver hands a party: one JSON file, in the party's own folder.

Every field is known to all parties, except that only an answering party is told where its own
model lies, only the querying party where its queries lie, and only the guardian the noise.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capc.errors import ConfigError

CONFIG_VERSION = 1
GC_BACKENDS = ("auto", "builtin", "emp")
CONVERSIONS = ("classic", "improved")


@dataclass(frozen=True)
class QuerySource:
    """Which queries to ask: those of a data set from `start` on, or the saved ones in `path`."""

    name: str
    start: int
    path: str | None


@dataclass(frozen=True)
class PrivacySettings:
    """Noise and budget; `threshold` None: every query is answered; `epsilon` None: no limit.

    `account` names the file of an account that goes on from run to run; None: a new one.
    """

    sigma: float
    threshold: int | None
    sigma_threshold: float
    epsilon: float | None
    delta: float
    conversion: str
    account: str | None = None


@dataclass(frozen=True)
class PartyConfig:
    """What one party is told.

    `party` is querying, answering-<index> or guardian; `plain` switches encryption off (--cpu);
    `verify` lets the party open its shares to the driver; `max_logit` bounds the logits' size;
    `port` 0 means any free one; `log_file` None means standard error only; `timeout_seconds`
    bounds every wait for a peer. `with_threshold` says whether step 3 has one: all know it.
    `model` is set for answering parties, `queries` for the querying party, `privacy` for the
    guardian.
    """

    party: str
    index: int
    n_parties: int
    num_classes: int
    n_queries: int
    batch_size: int
    encryption_parameters: Mapping[str, Any]
    input_range: tuple[float, float]
    with_threshold: bool
    insecure: bool = False
    verify: bool = False
    plain: bool = False
    debug: bool = False
    max_logit: float = 36.0
    num_threads: int = 1
    log_level: int = 0
    gc_backend: str = "auto"
    port: int = 0
    log_file: str | None = None
    timeout_seconds: float = 600.0
    model: str | None = None
    queries: QuerySource | None = None
    privacy: PrivacySettings | None = None

    def write(self, path: Path) -> None:
        """Write the file, readable by its owner only."""
        text = json.dumps(self.to_json(), indent=2) + "\n"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)

    def to_json(self) -> dict[str, Any]:
        fields: dict[str, Any] = {"version": CONFIG_VERSION}
        fields |= {name: getattr(self, name) for name in _PLAIN_FIELDS}
        fields["encryption_parameters"] = dict(self.encryption_parameters)
        fields["input_range"] = list(self.input_range)
        fields["privacy"] = {"threshold": self.with_threshold}
        if self.model is not None:
            fields["model"] = self.model
        if self.queries is not None:
            fields["dataset"] = vars(self.queries).copy()
        if self.privacy is not None:
            fields["privacy"] = vars(self.privacy).copy()
        return fields

    @classmethod
    def read(cls, path: str | Path) -> PartyConfig:
        """Raises ConfigError, naming the field, for a file that no driver wrote."""
        try:
            fields = json.loads(Path(path).read_text())
        except OSError as error:
            raise ConfigError(f"the party's config {path}: {error.strerror}") from None
        except ValueError:
            raise ConfigError(f"the party's config {path} is not JSON") from None
        return cls.from_json(fields)

    @classmethod
    def from_json(cls, fields: Any) -> PartyConfig:
        if not isinstance(fields, dict):
            raise ConfigError("the party's config is not a JSON object")
        if fields.get("version") != CONFIG_VERSION:
            raise ConfigError(f"the party's config is not of version {CONFIG_VERSION}")
        known = {"version", *_PLAIN_FIELDS, *_NESTED_FIELDS}
        if unknown := sorted(set(fields) - known):
            raise ConfigError(f"the party's config has an unknown field: {unknown[0]}")
        values = {name: _field(fields, name, check) for name, check in _PLAIN_FIELDS.items()}
        privacy = _field(fields, "privacy", _mapping)
        full = set(privacy) != {"threshold"}
        return cls(
            **values,
            encryption_parameters=_field(fields, "encryption_parameters", _mapping),
            input_range=_field(fields, "input_range", _interval),
            with_threshold=(
                privacy.get("threshold") is not None
                if full
                else _field(privacy, "threshold", _boolean)
            ),
            model=_field(fields, "model", _string) if "model" in fields else None,
            queries=_query_source(fields["dataset"]) if "dataset" in fields else None,
            privacy=_privacy_settings(privacy) if full else None,
        )


def _field(fields: Mapping[str, Any], name: str, check: Callable[[Any], Any]) -> Any:
    if name not in fields:
        raise ConfigError(f"the party's config has no field {name}")
    try:
        return check(fields[name])
    except ValueError as error:
        raise ConfigError(
            f"the party's config: {name} is {fields[name]!r}; allowed is {error}"
        ) from None


def _whole(low: int, high: int = 1 << 31) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return value

    return check


def _real(low: float, *, above: bool = False) -> Callable[[Any], float]:
    def check(value: Any) -> float:
        number = type(value) in (int, float) and math.isfinite(value)
        if not number or value < low or (above and value == low):
            raise ValueError(f"a number {'above' if above else 'of at least'} {low:g}")
        return float(value)

    return check


def _boolean(value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError("true or false")
    return value


def _string(value: Any) -> str:
    if type(value) is not str or not value:
        raise ValueError("a text")
    return value


def _optional(check: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else check(value)


def _one_of(*allowed: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if type(value) is not str or value not in allowed:
            raise ValueError(f"one of {', '.join(allowed)}")
        return value

    return check


def _mapping(value: Any) -> dict[str, Any]:
    if type(value) is not dict:
        raise ValueError("a JSON object")
    return value


def _interval(value: Any) -> tuple[float, float]:
    if type(value) is not list or len(value) != 2:
        raise ValueError("two numbers, the lower first")
    low, high = (_real(-math.inf)(end) for end in value)
    if low >= high:
        raise ValueError("two numbers, the lower first")
    return low, high


def _query_source(fields: Any) -> QuerySource:
    return QuerySource(
        name=_field(fields, "name", _string),
        start=_field(fields, "start", _whole(0)),
        path=_field(fields, "path", _optional(_string)),
    )


def _privacy_settings(fields: Mapping[str, Any]) -> PrivacySettings:
    return PrivacySettings(
        sigma=_field(fields, "sigma", _real(0)),
        threshold=_field(fields, "threshold", _optional(_whole(1))),
        sigma_threshold=_field(fields, "sigma_threshold", _real(0)),
        epsilon=_field(fields, "epsilon", _optional(_real(0, above=True))),
        delta=_field(fields, "delta", _real(0, above=True)),
        conversion=_field(fields, "conversion", _one_of(*CONVERSIONS)),
        account=_field(fields, "account", _optional(_string)),
    )


_PLAIN_FIELDS: dict[str, Callable[[Any], Any]] = {
    "party": _string,
    "index": _whole(0),
    "n_parties": _whole(1),
    "num_classes": _whole(2),
    "n_queries": _whole(1),
    "batch_size": _whole(1),
    "insecure": _boolean,
    "verify": _boolean,
    "plain": _boolean,
    "debug": _boolean,
    "max_logit": _real(0, above=True),
    "num_threads": _whole(1),
    "log_level": _whole(0),
    "gc_backend": _one_of(*GC_BACKENDS),
    "port": _whole(0, 65535),
    "log_file": _optional(_string),
    "timeout_seconds": _real(0, above=True),
}
_NESTED_FIELDS = ("encryption_parameters", "input_range", "model", "dataset", "privacy")
