"""The settings of one run: flags, validated, with an error that names the flag."""

from __future__ import annotations

import argparse
import getpass
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from capc.data.datasets import dataset_info
from capc.data.fitting import Range, stated_range
from capc.data.own_data import with_absolute_path
from capc.errors import ConfigError
from capc.files import existing, expanded, place_to_write
from capc.fixed_point import RING_BITS
from capc.gc.circuits import most_classes
from capc.gc.program_files import BackEnd, ProgramName, runs_emp
from capc.graph.calibration import Calibration
from capc.graph.calibration_flags import calibration_of
from capc.graph.ring_choice import FEWEST_FRACTION_BITS
from capc.harness.flag_checks import check_min_parties, not_negative, positive, voting_of, whole
from capc.harness.flags import DEFAULT_SIGMA, build_parser
from capc.harness.hosts import Host, hosts_of, ray_address_of
from capc.harness.noise_checks import check_noise_source, noise_fits
from capc.harness.resume import resumed
from capc.he.parameter_flags import read_encryption_params
from capc.he.parameters import EncryptionParameters
from capc.inference.choice import NonlinearChoice
from capc.inference.choice_flags import nonlinear_choice
from capc.log_lines import LogFormat
from capc.machine import cores
from capc.parties.config import PrivacySettings
from capc.privacy.conversion import DEFAULT_DELTA
from capc.privacy.voting_rules import Voting, VotingRule
from capc.ray_cluster import LOCAL
from capc.transport.control_messages import MAX_PARTIES

MAX_QUERIES = 1_000_000
_USUAL_CLASSES = 10  # until the models say how many
MAX_TIMEOUT_SECONDS = 1e6  # a selector takes 32-bit milliseconds
_SESSION_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
_NOT_EMPTY = (
    *("checkpoint_dir", "dataset_path", "encryption_params", "input_node", "log_timing_file"),
    *("data_owners", "model_type", "output_node", "results_dir"),
)
_AS_GIVEN = (
    *("n_parties", "n_queries", "batch_size", "num_classes", "start_batch", "seed", "qp_id"),
    *("model_type", "input_node", "output_node", "ignore_parties", "dataset_name", "max_logit"),
    *("fraction_bits", "log_level", "log_format", "start_port", "insecure", "verify", "debug"),
    *("gc_backend", "launcher", "session", "step", "private", "max_labels", "min_parties"),
)  # flags that are settings of the same name


@dataclass(frozen=True)
class Settings:
    """One run, validated. Paths are absolute; `unencrypted` is --cpu, or that queries are public.

    `num_classes` None: as the models have; `input_range` None: as the data has; `ring_bits` and
    `fraction_bits` None: as few and as many as all models of the run need.
    """

    n_parties: int
    n_queries: int
    batch_size: int
    num_classes: int | None
    start_batch: int
    seed: int
    qp_id: int
    user: str
    model_type: str
    input_node: str
    output_node: str
    checkpoint_dir: Path
    ignore_parties: bool
    calibration: Calibration | None
    dataset_name: str
    dataset_path: Path | None
    input_range: Range | None
    encryption_parameters: EncryptionParameters
    max_logit: float
    ring_bits: int | None
    fraction_bits: int | None
    num_threads: int
    log_level: int
    log_format: LogFormat
    start_port: int
    privacy: PrivacySettings
    insecure: bool
    verify: bool
    unencrypted: bool
    debug: bool
    gc_backend: BackEnd
    nonlinear: NonlinearChoice
    launcher: str
    session: str
    cards: bool
    step: bool
    results_dir: Path
    log_timing_file: Path | None
    timeout_seconds: float
    flags: dict[str, Any]
    without_effect: tuple[str, ...]
    private: bool = False
    voting: Voting = "plurality"
    max_labels: int | None = None
    min_parties: int | None = None
    hosts: Mapping[str, Host] | None = None
    ray_address: str = LOCAL

    @property
    def fewest(self) -> int:
        """How many answering parties a query needs."""
        return self.min_parties or self.n_parties

    @property
    def account_here(self) -> str | None:
        """The account's file where it is on this machine."""
        return self.privacy.account if self.hosts is None else None

    @property
    def public_queries(self) -> bool:
        """Whether the queries are no secret."""
        return bool(self.flags["queries"] == "public")

    @property
    def multi_label(self) -> bool:
        """Whether an answer is a set of labels."""
        return self.voting != "plurality"

    def rule(self, outputs: int) -> VotingRule:
        """How models of so many logits vote; ConfigError where they cannot."""
        return VotingRule(self.voting, outputs, self.max_labels)

    @property
    def insecure_switches(self) -> str:
        """What weakens this run, joined by +, as every CSV row says it; empty when nothing does."""
        switches = {
            "cpu": self.unencrypted and not self.public_queries,
            "security_level": self.encryption_parameters.security_level < 128,
            "verify": self.verify,
            "emp": self.runs_emp,
            "no_noise": self.has_no_noise,
        }
        return "+".join(name for name, on in switches.items() if on)

    @property
    def circuit_programs(self) -> tuple[ProgramName, ...]:
        """The circuit programs that this run starts."""
        return ("sum_histogram",) if self.unencrypted else get_args(ProgramName)

    @property
    def runs_emp(self) -> bool:
        """Whether EMP runs a circuit: asked for, or all that is built."""
        return any(runs_emp(name, self.gc_backend) for name in self.circuit_programs)

    @property
    def has_no_noise(self) -> bool:
        """Whether something is opened without noise, so that epsilon is infinite."""
        privacy = self.privacy
        bare = privacy.threshold is not None and not privacy.distributed
        return privacy.sigma == 0 or (bare and privacy.sigma_threshold == 0)

    @property
    def sigma_stated(self) -> bool:
        """Whether the user chose the noise."""
        return any(self.flags[name] is not None for name in ("sigma", "dp_noise_scale"))


def parse_settings(argv: Sequence[str] | None, program: str = "run_experiment.py") -> Settings:
    """The flags as Settings; raises ConfigError for a flag or value that cannot be used."""
    flags = build_parser(program).parse_args(argv)
    return settings_from(flags if flags.resume is None else resumed(flags, program))


def settings_from(flags: argparse.Namespace) -> Settings:
    """Validate parsed flags."""
    _check_names(flags)
    input_range = None if flags.input_range is None else stated_range(flags.input_range)
    _check_ranges(flags)
    flags.dataset_name = with_absolute_path(flags.dataset_name)
    privacy = _privacy(flags)
    unencrypted = flags.cpu or flags.queries == "public"
    unused = tuple(name for name in ("rstar_exp", "round_exp") if getattr(flags, name) is not None)
    return Settings(
        **{name: getattr(flags, name) for name in _AS_GIVEN},
        user=flags.user or _operating_system_user(),
        checkpoint_dir=_checkpoint_dir(flags.checkpoint_dir),
        calibration=_calibration(flags),
        dataset_path=(
            None
            if flags.dataset_path is None
            else _existing_path("--dataset_path", flags.dataset_path)
        ),
        input_range=input_range,
        encryption_parameters=read_encryption_params(
            flags.encryption_params, allow_insecure=flags.insecure or unencrypted
        ),
        ring_bits=flags.ring,
        num_threads=flags.num_threads or cores(),
        privacy=privacy,
        unencrypted=unencrypted,
        nonlinear=nonlinear_choice(flags),
        cards=flags.panes == "card",
        results_dir=expanded(flags.results_dir),
        log_timing_file=(
            None if flags.log_timing_file is None else Path(flags.log_timing_file).absolute()
        ),
        timeout_seconds=flags.timeout,
        flags=vars(flags).copy(),
        without_effect=unused,
        voting=voting_of(flags),
        hosts=hosts_of(flags),
        ray_address=ray_address_of(flags),
    )


def with_range(settings: Settings, input_range: Range) -> Settings:
    """The settings for values in `input_range`, with a calibration for it."""
    calibration = settings.calibration
    if calibration is not None:
        calibration = replace(calibration, input_range=input_range)
    return replace(settings, input_range=input_range, calibration=calibration)


def with_classes(settings: Settings, classes: int) -> Settings:
    """The settings for models of so many classes; ConfigError where their noise would wrap.

    Or where their votes are not possible.
    """
    whole("num_classes", classes, 2, most_classes())
    flags = argparse.Namespace(**settings.flags)
    sigma_flag = "dp_noise_scale" if flags.sigma is None else "sigma"
    noise_fits(flags, sigma_flag, settings.privacy.sigma, settings.rule(classes).counts)
    return replace(settings, num_classes=classes)


def _check_names(flags: argparse.Namespace) -> None:
    for name in _NOT_EMPTY:
        if getattr(flags, name) == "":
            raise ConfigError(f"--{name} is empty; leave it out to take the default")
    dataset_info(flags.dataset_name)
    if not _SESSION_NAME.fullmatch(flags.session):
        raise ConfigError(
            f"--session is {flags.session!r}; the name of a tmux session is made of letters, "
            "digits, _ and - here, and does not start with -"
        )


def _check_ranges(flags: argparse.Namespace) -> None:
    whole("n_parties", flags.n_parties, 1, MAX_PARTIES)
    check_min_parties(flags)
    whole("n_queries", flags.n_queries, 1, MAX_QUERIES)
    whole("batch_size", flags.batch_size, 1, MAX_QUERIES)
    if flags.num_classes is not None:
        whole("num_classes", flags.num_classes, 2, most_classes())
    whole("start_batch", flags.start_batch, 0, MAX_QUERIES)
    whole("seed", flags.seed, 0, (1 << 32) - 1)
    whole("qp_id", flags.qp_id, 0, MAX_QUERIES)
    whole("log_level", flags.log_level, 0, 5)
    if flags.num_threads is not None:
        whole("num_threads", flags.num_threads, 1, 1024)
    if flags.start_port:
        whole("start_port", flags.start_port, 1, 65535 - flags.n_parties - 1)
    positive("max_logit", flags.max_logit)
    if flags.fraction_bits is not None:
        # a product has twice as many, and a sign
        most = (flags.ring or RING_BITS[-1]) // 2 - 1
        whole("fraction_bits", flags.fraction_bits, FEWEST_FRACTION_BITS, most)
    positive("timeout", flags.timeout, MAX_TIMEOUT_SECONDS)


def _privacy(flags: argparse.Namespace) -> PrivacySettings:
    scales = {value for value in (flags.dp_noise_scale, flags.sigma) if value is not None}
    if len(scales) > 1:
        raise ConfigError(
            f"--sigma is {flags.sigma:g} and --dp_noise_scale is {flags.dp_noise_scale:g}; they "
            "mean the same: give one"
        )
    sigma = scales.pop() if scales else DEFAULT_SIGMA
    sigma_flag = "dp_noise_scale" if flags.sigma is None else "sigma"
    not_negative(sigma_flag, sigma)
    if flags.threshold is None and flags.sigma_threshold is not None:
        raise ConfigError("--sigma_threshold needs --threshold")
    if flags.threshold is not None:
        whole("threshold", flags.threshold, 1, 1 << 30)
    check_noise_source(flags)
    noise_fits(flags, sigma_flag, sigma, flags.num_classes or _USUAL_CLASSES)
    if flags.sigma_threshold is not None:
        noise_fits(flags, "sigma_threshold", flags.sigma_threshold, 1)
    if math.isnan(flags.epsilon) or flags.epsilon <= 0:
        raise ConfigError(f"--epsilon is {flags.epsilon:g}; allowed is a number above 0, or inf")
    delta = DEFAULT_DELTA if flags.delta is None else flags.delta
    if not 0 < delta < 1:
        raise ConfigError(f"--delta is {delta:g}; allowed is a number between 0 and 1")
    return PrivacySettings(
        sigma=float(sigma),
        threshold=flags.threshold,
        sigma_threshold=float(flags.sigma_threshold or 0.0),
        epsilon=None if math.isinf(flags.epsilon) else flags.epsilon,
        delta=delta,
        conversion=flags.conversion,
        account=_account_file(flags),
        noise=flags.noise,
        colluding=flags.colluding,
        owners=None if flags.account is None else _owners(flags),
    )


def _owners(flags: argparse.Namespace) -> str:
    """Whose data the account covers: as named, or by the place of the parties' models.

    A model that is trained again at its place is of the same owner.
    """
    if flags.data_owners is not None:
        return str(flags.data_owners)
    named = Path(flags.model_type if flags.ignore_parties else str(flags.n_parties))
    folder = _checkpoint_dir(flags.checkpoint_dir)
    place = named if flags.ignore_parties and named.exists() else folder / named
    count = "1 party" if flags.n_parties == 1 else f"{flags.n_parties} parties"
    return f"{count} of {os.path.realpath(place)}"


def _existing_path(flag: str, name: str) -> Path:
    path = existing(name)
    if path is None:
        raise ConfigError(f"{flag} names {name}, which does not exist")
    return path


def _calibration(flags: argparse.Namespace) -> Calibration | None:
    chosen = None if flags.input_range is None else tuple(flags.input_range)
    named = calibration_of(flags, chosen or dataset_info(flags.dataset_name).input_range)
    if named is None:
        return None
    return replace(named, examples=_existing_path("--calibration", str(named.examples)))


def _checkpoint_dir(name: str) -> Path:
    """A folder that need not exist yet: missing models are trained into it."""
    path = place_to_write(name)
    if path.exists() and not path.is_dir():
        raise ConfigError(f"--checkpoint_dir names {name}, which is not a folder")
    return path


def _account_file(flags: argparse.Namespace) -> str | None:
    """A file that need not exist yet; what it holds is looked at when the run begins.

    With --hosts it is on the guardian's host, and only the guardian there looks.
    """
    name = flags.account
    if name is None or flags.hosts is not None:
        return None if name is None else str(name)
    path = expanded(name)
    if not name or path.is_dir():
        raise ConfigError(f"--account names {name or 'nothing'}, a folder; name a file")
    return str(path)


def _operating_system_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
