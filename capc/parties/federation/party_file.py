"""party.toml, one party's own settings, and federation.toml, what all parties have agreed on.

Nothing in federation.toml is secret. Every party has a copy, and the copies are compared when the
parties meet (`terms`), before anything else is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cryptography import x509

from capc.errors import ConfigError
from capc.fixed_point import MAX_LOGIT
from capc.he.parameters import EncryptionParameters
from capc.parties.config import CONFIG_VERSION, PartyConfig
from capc.parties.federation.tables import Table
from capc.roles import ANSWERING, GUARDIAN, PARTY_NAME, QUERYING, answering, role_of
from capc.transport.endpoints import EVERY_ADDRESS
from capc.transport.identity_file import load_identity
from capc.transport.limits import DEFAULT_LIMITS, Limits
from capc.transport.peer import Peer
from capc.transport.tls import Identity, fingerprint

_RUN = (
    *("num_classes", "n_queries", "batch_size", "input_range", "max_logit"),
    *("ring_bits", "fraction_bits", "min_parties", "nonlinear", "link", "reconnect_seconds"),
)
_PRIVACY = (
    *("noise", "sigma", "threshold", "sigma_threshold", "colluding", "epsilon", "delta"),
    *("conversion", "owners"),
)
_MEMBER = ("name", "host", "port", "fingerprint", "certificate")
_OWN = (
    *("party", "federation", "key", "certificate", "listen", "program_port", "log"),
    *("meet_seconds", "timeout_seconds", "num_threads", "debug", "log_format", "metrics_port"),
    "limits",
)
_OWN_OF_ROLE = {
    QUERYING: ("labels", "dataset", "queries", "start", "shape"),
    ANSWERING: ("model",),
    GUARDIAN: ("account",),
}
_DEFAULT_MEET_SECONDS = 300.0
_DEFAULT_TIMEOUT_SECONDS = 600.0
_DEFAULT_RECONNECT_SECONDS = 20.0
_MOST_RECONNECT_SECONDS = 3600.0
_MOST_OF_A_LIMIT = 1_000_000


@dataclass(frozen=True)
class Federation:
    """What all parties have agreed on: who they are, and the public constants of the run.

    `terms` are all of it by name, as the parties compare it.
    """

    members: Mapping[str, Peer]
    run: Mapping[str, Any]
    encryption_parameters: EncryptionParameters
    privacy: Mapping[str, Any]

    @property
    def n_parties(self) -> int:
        """Of them, the answering parties."""
        return sum(role_of(name) == ANSWERING for name in self.members)

    @property
    def reconnect_seconds(self) -> float:
        """How long a connection that is cut may take to be mended; 0: it is not mended."""
        return float(self.run["reconnect_seconds"])

    @cached_property
    def terms(self) -> dict[str, Any]:
        """Everything that has to be the same for all, by the name of its field."""
        terms = dict(self.run)
        terms |= {
            f"encryption_parameters.{name}": value
            for name, value in self.encryption_parameters.to_fields().items()
        }
        terms |= {f"privacy.{name}": self.privacy.get(name) for name in _PRIVACY}
        for name, member in sorted(self.members.items()):
            terms[f"fingerprint of {name}"] = fingerprint(member.certificate)
        return terms

    @classmethod
    def read(cls, path: Path) -> Federation:
        """Raises ConfigError, naming file and field."""
        table = Table.read(path)
        table.require_known(("run", "encryption_parameters", "privacy", "party"))
        run, privacy = table.table("run"), table.table("privacy")
        run.require_known(_RUN)
        privacy.require_known(_PRIVACY)
        for field in ("ring_bits", "fraction_bits"):
            run.get(field, int)
        reconnect = run.get("reconnect_seconds", float, _DEFAULT_RECONNECT_SECONDS)
        if not 0 <= reconnect <= _MOST_RECONNECT_SECONDS:
            raise run.error(
                "reconnect_seconds",
                f"is {reconnect:g}; allowed is 0 to {_MOST_RECONNECT_SECONDS:g}",
            )
        _require_protection(privacy)
        members = [_member(entry) for entry in table.tables("party")]
        named = {member.name: member for member in members}
        expected = {QUERYING, GUARDIAN, *map(answering, range(max(len(members) - 2, 1)))}
        if len(named) < len(members) or set(named) != expected:
            raise ConfigError(
                f"{path}: the parties are {', '.join(sorted(m.name for m in members))}; needed are "
                f"{QUERYING}, {GUARDIAN}, and {answering(0)} and so on, each once"
            )
        try:
            fields = table.table("encryption_parameters").raw()
            parameters = EncryptionParameters.from_fields(fields)
            parameters.require_secure(allow_insecure=False)
        except ConfigError as error:
            raise ConfigError(f"{path}: encryption_parameters: {error}") from None
        return cls(
            named,
            {
                **{"batch_size": 1, "nonlinear": "garbled"},
                "reconnect_seconds": _DEFAULT_RECONNECT_SECONDS,
                **run.raw(),
            },
            parameters,
            {"noise": "guardian", "colluding": 0, "conversion": "improved", **privacy.raw()},
        )


@dataclass(frozen=True, repr=False)
class PartyFile:
    """One party's own settings.

    `listen` is the address at which it listens, `port` what the others were told; `program_port`
    is that of its circuit program. `labels` is None but for the querying party. `metrics_port` is
    that of its figures on loopback, None for none.
    """

    config: PartyConfig
    federation: Federation
    identity: Identity
    listen: str
    port: int | None
    program_port: int
    log: Path
    labels: Path | None
    meet_seconds: float
    limits: Limits
    metrics_port: int | None

    @classmethod
    def read(cls, path: Path) -> PartyFile:
        """Raises ConfigError, naming file and field, also for another party's key pair."""
        table = Table.read(path)
        party = table.get("party", str)
        if not PARTY_NAME.fullmatch(party):
            raise table.error("party", f"is {party!r}; allowed are the names of federation.toml")
        federation = Federation.read(table.path("federation", "federation.toml"))
        if party not in federation.members:
            raise table.error("party", f"is {party}, which the federation does not have")
        table.require_known((*_OWN, *_OWN_OF_ROLE[role_of(party)]))
        member = federation.members[party]
        identity = load_identity(
            party, table.path("key", "party.key"), table.path("certificate", "party.crt")
        )
        if fingerprint(identity.certificate) != fingerprint(member.certificate):
            raise ConfigError(
                f"{table.origin}: the federation has another certificate of {party} "
                f"({fingerprint(member.certificate)}) than this machine "
                f"({fingerprint(identity.certificate)})"
            )
        return cls(
            config=_config(table, party, federation),
            federation=federation,
            identity=identity,
            listen=table.get("listen", str, EVERY_ADDRESS),
            port=member.port,
            program_port=_port(table, "program_port", 0, (member.port or -1) + 1),
            log=table.path("log", "audit.jsonl"),
            labels=table.path("labels", "labels.csv") if party == QUERYING else None,
            meet_seconds=table.get("meet_seconds", float, _DEFAULT_MEET_SECONDS),
            limits=_limits(table.table("limits")) if table.has("limits") else DEFAULT_LIMITS,
            metrics_port=_port(table, "metrics_port", 1) if table.has("metrics_port") else None,
        )


def _require_protection(privacy: Table) -> None:
    """What --private asks of a run of the experimenter."""
    for field in ("sigma", "epsilon", "delta"):
        if privacy.get(field, float) <= 0:
            raise privacy.error(field, "is not above 0: the run would protect nobody")
    distributed = privacy.raw().get("noise") == "distributed"
    if privacy.has("threshold") and not distributed and privacy.get("sigma_threshold", float) <= 0:
        raise privacy.error("sigma_threshold", "is not above 0: the run would protect nobody")


def _member(table: Table) -> Peer:
    table.require_known(_MEMBER)
    name, certificate = table.get("name", str), _pem(table.get("certificate", str))
    if not PARTY_NAME.fullmatch(name):
        raise table.error(
            "name",
            f"is {name!r}; allowed are querying, guardian, and answering-0, answering-1 and so on",
        )
    try:
        x509.load_pem_x509_certificate(certificate.encode())
        found = fingerprint(certificate)
    except ValueError:
        raise table.error("certificate", "is no certificate in base64") from None
    if table.get("fingerprint", str).strip().lower() != found:
        raise table.error("fingerprint", f"is not that of the certificate, which is {found}")
    if name == QUERYING:
        return Peer(name, table.get("host", str, "-"), None, certificate)
    return Peer(name, table.get("host", str), _port(table, "port", 1), certificate)


def _limits(table: Table) -> Limits:
    defaults = vars(DEFAULT_LIMITS)
    table.require_known(defaults)
    given = {name: table.get(name, type(default), default) for name, default in defaults.items()}
    for name, value in given.items():
        if not 0 < value <= _MOST_OF_A_LIMIT:
            raise table.error(name, f"is {value}; allowed is more than 0, up to {_MOST_OF_A_LIMIT}")
    return Limits(**given)


def _port(table: Table, field: str, least: int, default: int | None = None) -> int:
    port = table.get(field, int, default)
    if not least <= port < 1 << 16:
        raise table.error(field, f"is {port}; allowed is {least} to 65535")
    return port


def _pem(text: str) -> str:
    """A certificate as federation.toml writes it, base64 in one line, as PEM."""
    body = "".join(text.split())
    lines = [body[start : start + 64] for start in range(0, len(body), 64)]
    return "\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""])


def _config(table: Table, party: str, federation: Federation) -> PartyConfig:
    """The settings as a driver would write them, and checked by the same code."""
    run, privacy, role = dict(federation.run), federation.privacy, role_of(party)
    ring = {name: run.pop(name) for name in ("ring_bits", "fraction_bits")}
    del run["reconnect_seconds"]
    nonlinear = {"way": run.pop("nonlinear"), "link": run.pop("link", None)}
    distributed = privacy["noise"] == "distributed"
    fields: dict[str, Any] = {
        "version": CONFIG_VERSION,
        "max_logit": MAX_LOGIT,
        "min_parties": None,
        **run,
        "party": party,
        "index": int(party.partition("-")[2]) if role == ANSWERING else 0,
        "n_parties": federation.n_parties,
        "encryption_parameters": federation.encryption_parameters.to_fields(),
        "with_threshold": "threshold" in privacy,
        "distributed_noise": distributed,
        "voting": "plurality",
        "max_labels": None,
        **dict.fromkeys(("insecure", "verify", "unencrypted", "card", "step_by_step"), False),
        "debug": table.get("debug", bool, False),
        "num_threads": table.get("num_threads", int, 1),
        "log_level": 0,
        "log_format": table.get("log_format", str, "text"),
        "gc_backend": "builtin",
        "nonlinear": nonlinear,
        "port": federation.members[party].port or 0,
        "address": federation.members[party].host,
        "listen": table.get("listen", str, EVERY_ADDRESS),
        "log_file": None,
        "timeout_seconds": table.get("timeout_seconds", float, _DEFAULT_TIMEOUT_SECONDS),
        "ring": ring,
    }
    if role == ANSWERING:
        fields["model"] = str(table.path("model"))
        if distributed:
            fields["own_noise"] = {name: privacy[name] for name in ("sigma", "colluding")}
    elif role == QUERYING:
        fields["queries"] = {
            "dataset": table.get("dataset", str, "mnist"),
            "start": table.get("start", int, 0),
            "path": str(table.path("queries")) if table.has("queries") else None,
            "shape": table.raw().get("shape"),
        }
    else:
        optional = {"threshold": None, "sigma_threshold": 0.0, "owners": _owners(federation)}
        account = {"account": str(table.path("account", "account.json"))}
        fields["privacy"] = optional | dict(privacy) | account
    try:
        return PartyConfig.from_json(fields)
    except ConfigError as error:
        raise ConfigError(f"{table.origin}, with its federation: {error}") from None


def _owners(federation: Federation) -> str:
    """Whose data an account covers, where federation.toml gives them no name."""
    return ", ".join(
        fingerprint(member.certificate)
        for name, member in sorted(federation.members.items())
        if role_of(name) == ANSWERING
    )
