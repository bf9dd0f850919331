"""The account: which mechanisms ran, how often, and what that costs together.

RDP adds up over mechanisms, also when each is chosen after seeing the answers before it (Mironov
2017, Proposition 1), so the account is a count per mechanism. The analysis itself has no state:
rdp.py, dependent.py, conversion.py.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from capc.errors import ConfigError
from capc.files import MAX_JSON_BYTES, parse_json, read_bounded, write_whole
from capc.fixed_point import Float64
from capc.privacy.account_record import History
from capc.privacy.conversion import (
    Conversion,
    PrivacyLoss,
    check_delta,
    check_orders,
    default_orders,
    privacy_loss,
)
from capc.privacy.dependent import (
    NoiseLaw,
    log_q_gnmax,
    log_q_threshold,
    total_dependent_rdp,
)
from capc.privacy.distributed import excess_text
from capc.privacy.rdp import Mechanism
from capc.privacy.votes import check_answered, check_votes

FORMAT = "capc-privacy-account"
VERSION = 2
_VERSION_WITHOUT_OWNERS = 1
_FIELDS = {"mechanism", "sigma", "log_q", "count"}
_DISTRIBUTED_FIELDS = {*_FIELDS, "parties", "colluding", "excess"}
_LABELS_FIELDS = {*_FIELDS, "changes"}


class Accountant:
    """Charges by mechanism, over a grid of orders (the default one unless given).

    One account covers one set of answering parties, whoever asks: three querying parties that ask
    the same models charge the same account. `owners` names that set; None: not said yet. `history`
    tells the states of one account apart; None: no run has saved it.
    """

    def __init__(self, orders: ArrayLike | None = None, owners: str | None = None) -> None:
        self.orders: Float64 = default_orders() if orders is None else check_orders(orders)
        self.owners = owners
        self.history: History | None = None
        self._counts: Counter[Mechanism] = Counter()
        self._total: Float64 | None = None

    @property
    def counts(self) -> Mapping[Mechanism, int]:
        """How often each mechanism ran."""
        return dict(self._counts)

    @property
    def private(self) -> bool:
        """Whether a charge came from the votes: then the account, and its epsilon, are private."""
        return any(mechanism.log_q is not None for mechanism in self._counts)

    def charge(self, mechanism: Mechanism, count: int = 1) -> None:
        """Record that `mechanism` ran `count` times."""
        if count < 0:
            raise ConfigError(f"count is {count}; a charge is never taken back")
        if count:
            self._counts[mechanism] += count
            self._total = None

    def charge_votes(
        self,
        votes: ArrayLike,
        sigma: float,
        threshold: float | None = None,
        sigma_threshold: float = 0.0,
        *,
        answered: ArrayLike | None = None,
        noise: NoiseLaw = "discrete",
    ) -> None:
        """Charge queries data-dependently, from votes of shape (queries, classes).

        The threshold is charged on each query, GNMax on the answered ones: all of them unless
        `answered` says otherwise. The account is private from then on.
        """
        counts = check_votes(votes)
        given = np.ones(len(counts), dtype=np.bool_) if answered is None else answered
        flags = check_answered(given, len(counts))
        if threshold is None and not bool(np.all(flags)):
            raise ConfigError("without a threshold every query is answered; give the threshold")
        if threshold is not None:
            for log_q in log_q_threshold(counts, threshold, sigma_threshold, noise):
                self.charge(Mechanism("threshold", sigma_threshold, float(log_q)))
        if bool(np.any(flags)):
            for log_q in log_q_gnmax(counts[flags], sigma, noise):
                self.charge(Mechanism("gnmax", sigma, float(log_q)))

    def rdp(self, also: Iterable[Mechanism] = ()) -> Float64:
        """RDP at each order of all that was charged, and of what would be charged `also`."""
        if self._total is None:
            self._total = _rdp_of(self._counts, self.orders)
        extra = Counter(also)
        return self._total + _rdp_of(extra, self.orders) if extra else self._total.copy()

    def privacy_loss(
        self, delta: float, conversion: Conversion = "improved", *, also: Iterable[Mechanism] = ()
    ) -> PrivacyLoss:
        """(epsilon, delta) of `rdp(also)`; epsilon is 0 while nothing was charged."""
        extra = tuple(also)
        if not self._counts and not extra:
            return PrivacyLoss(0.0, check_delta(delta), float(self.orders[-1]), conversion)
        return privacy_loss(self.rdp(extra), delta, orders=self.orders, conversion=conversion)

    def published(self) -> Accountant:
        """The same charges by their data-independent bounds: more epsilon, none private."""
        public = Accountant(self.orders, self.owners)
        for mechanism, count in self._counts.items():
            public.charge(replace(mechanism, log_q=None), count)
        return public

    def save(self, path: str | Path, *, include_private: bool = False) -> None:
        """Write the account as JSON, whole or not at all (a reader never meets half of it).

        Refuses a private account unless asked to include it. Only the owner can read the file.
        """
        if self.private and not include_private:
            raise ConfigError(
                "this account is data-dependent and as private as the votes: save published() "
                "instead, or include_private=True in a file that stays private"
            )
        write_whole(Path(path), self.to_json())

    def to_json(self) -> str:
        """The account as `save` writes it."""
        document: dict[str, Any] = {
            "format": FORMAT,
            "version": VERSION,
            "owners": self.owners,
            "private": self.private,
            "orders": self.orders.tolist(),
            "charges": [_charge_fields(m, count) for m, count in self._counts.items()],
        }
        if self.history is not None:
            document["history"] = asdict(self.history)
        return json.dumps(document, allow_nan=False, indent=1) + "\n"

    @classmethod
    def load(cls, path: str | Path) -> Accountant:
        """Read what `save` wrote; ConfigError names the file and the field that is wrong."""
        try:
            content = read_bounded(path, MAX_JSON_BYTES)
        except (OSError, ValueError) as error:
            raise ConfigError(f"privacy account {path} cannot be read: {error}") from None
        return cls.from_json(content, str(path))

    @classmethod
    def from_json(cls, text: str | bytes, name: str) -> Accountant:
        """What `to_json` gave; ConfigError names the account and the field that is wrong."""
        try:
            document = parse_json(text)
        except ValueError as error:
            raise ConfigError(f"privacy account {name} cannot be read: {error}") from None
        try:
            return cls._from_document(document)
        except ConfigError as error:
            raise ConfigError(f"privacy account {name}: {error}") from None

    @classmethod
    def _from_document(cls, document: Any) -> Accountant:
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise ConfigError(f"format is not {FORMAT!r}")
        version, owners = document.get("version"), document.get("owners")
        if version not in (_VERSION_WITHOUT_OWNERS, VERSION) or isinstance(version, bool):
            raise ConfigError(f"version is {version!r}; this is {VERSION}")
        if owners is not None and (not isinstance(owners, str) or not owners):
            raise ConfigError("owners must be a text, or null")
        if ("owners" in document) != (version == VERSION):
            raise ConfigError(f"owners goes with version {VERSION}, and only with it")
        orders, charges = document.get("orders"), document.get("charges")
        if not isinstance(orders, list) or not all(_is_number(order) for order in orders):
            raise ConfigError("orders must be a list of numbers")
        if not isinstance(charges, list):
            raise ConfigError("charges must be a list")
        account = cls(orders, owners)
        account.history = History.from_document(document.get("history"))
        for position, entry in enumerate(charges):
            account._load_charge(position, entry)
        if document.get("private") is not account.private:
            raise ConfigError("private does not agree with the charges")
        return account

    def _load_charge(self, position: int, entry: Any) -> None:
        kind = entry.get("mechanism") if isinstance(entry, dict) else None
        distributed, labels = kind == "distributed", kind == "labels"
        fields = _DISTRIBUTED_FIELDS if distributed else _LABELS_FIELDS if labels else _FIELDS
        if not isinstance(entry, dict) or set(entry) != fields:
            raise ConfigError(f"charge {position} must have the fields {', '.join(sorted(fields))}")
        count, sigma, log_q = entry["count"], entry["sigma"], _from_json(entry["log_q"])
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise ConfigError(f"charge {position}: count is {count!r}; give 1 or more")
        if not _is_number(sigma) or not (log_q is None or _is_number(log_q)):
            raise ConfigError(f"charge {position}: sigma and log_q must be numbers")
        parties, colluding = entry.get("parties"), entry.get("colluding", 0)
        if distributed and not (_is_count(parties) and _is_count(colluding)):
            raise ConfigError(f"charge {position}: parties and colluding must be whole numbers")
        changes = entry.get("changes")
        if labels and not _is_count(changes):
            raise ConfigError(f"charge {position}: changes must be a whole number")
        mechanism = Mechanism(entry["mechanism"], float(sigma), log_q, parties, colluding, changes)
        if distributed and entry["excess"] != excess_text(mechanism.log_excess):
            raise ConfigError(f"charge {position}: excess does not agree with the other fields")
        if mechanism in self._counts:
            raise ConfigError(f"charge {position} repeats an earlier one")
        self.charge(mechanism, count)


def _rdp_of(counts: Mapping[Mechanism, int], orders: Float64) -> Float64:
    """Sum over mechanisms, one vectorised pass per kind and scale."""
    groups: dict[tuple[str, float], list[tuple[float, int]]] = {}
    excess = 0.0
    for mechanism, count in counts.items():
        # log q = 0 is the trivial bound: there the data-independent RDP stands.
        log_q = 0.0 if mechanism.log_q is None else mechanism.log_q
        groups.setdefault((mechanism.kind, mechanism.spread), []).append((log_q, count))
        excess += count * mechanism.excess
    total = np.full(orders.shape, excess)
    for (_, spread), entries in groups.items():
        log_qs, weights = zip(*entries, strict=True)
        total += total_dependent_rdp(log_qs, spread, orders, weights)
    return total


def _charge_fields(mechanism: Mechanism, count: int) -> dict[str, Any]:
    fields = {
        "mechanism": mechanism.kind,
        "sigma": mechanism.sigma,
        "log_q": _to_json(mechanism.log_q),
        "count": count,
    }
    if mechanism.kind == "distributed":
        fields |= {
            "parties": mechanism.parties,
            "colluding": mechanism.colluding,
            "excess": excess_text(mechanism.log_excess),
        }
    if mechanism.kind == "labels":
        fields["changes"] = mechanism.changes
    return fields


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _to_json(log_q: float | None) -> float | str | None:
    return "-inf" if log_q is not None and np.isneginf(log_q) else log_q


def _from_json(log_q: Any) -> Any:
    return -np.inf if log_q == "-inf" else log_q
