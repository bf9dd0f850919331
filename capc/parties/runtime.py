"""What the three programs share: arguments, logging, the control channel, a true exit status."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from capc.cards.words import Facts
from capc.command_line import ExitStatus, Parser, whole_number
from capc.errors import CapcError, ConfigError, PeerGoneError, SilentPeerError
from capc.he.allocation import keep_freed_memory
from capc.log_lines import LOG_FORMATS, LogFormat, formatter_of, in_step
from capc.parties.config import PartyConfig
from capc.parties.federation.meeting import FederatedMeeting
from capc.parties.federation.party_file import PartyFile
from capc.parties.federation.records import OwnRecords
from capc.parties.meeting import Control, LocalMeeting, Meeting
from capc.parties.messages import Batch
from capc.private_memory import keep_memory_private
from capc.roles import ANSWERING, role_of
from capc.transport.channel import Counted, Traffic, total_traffic
from capc.transport.control import ControlClient
from capc.transport.control_messages import Error
from capc.transport.tls import Identity
from capc.unforeseen import one_line

if TYPE_CHECKING:
    from capc.cards.pane import Pane

logger = logging.getLogger(__name__)

MOST_RETURNS = 20
"""How often an answering party of a federation comes back by itself."""


class ReportedError(Exception):
    """A failure that the driver has been told of."""


@dataclass(frozen=True)
class Runtime:
    """One party's process: its public settings, whom it reports to, how it meets its peers."""

    config: PartyConfig
    control: Control
    meeting: Meeting

    @contextmanager
    def failures(self) -> Iterator[None]:
        """Report what goes wrong in the block before any connection is closed because of it.

        Entered after the connections: a peer's complaint of a closed connection then comes later
        than its cause.
        """
        try:
            yield
        except Exception as error:
            _report(self.control, error, self.config.debug)
            raise ReportedError from error

    @contextmanager
    def timed(
        self,
        query: int | None,
        step: str,
        phase: str,
        traffic: Callable[[], Traffic],
        count: int = 1,
    ) -> Iterator[None]:
        """Report how long the block took and what `traffic` counted in it.

        Under --step it begins when the driver lets the step begin; that wait is not counted.
        """
        if self.config.step_by_step and phase != "setup":
            self.control.hold(query, step, phase)
        self.control.progress(query, step, phase)
        with in_step(step):
            before, start = traffic(), time.perf_counter()
            yield
            seconds, spent = time.perf_counter() - start, traffic() - before
            self.control.timing(
                query,
                step,
                phase,
                seconds,
                bytes_sent=spent.bytes_sent,
                bytes_received=spent.bytes_received,
                rounds=spent.rounds,
                count=count,
            )
            logger.info(
                "%s step %s %s: %.4f s, %d bytes out, %d bytes in",
                "set-up" if query is None else f"query {query}",
                step,
                phase,
                seconds,
                spent.bytes_sent,
                spent.bytes_received,
            )


@dataclass(frozen=True)
class StepTimer:
    """Times one party's steps of a batch.

    `connections` names, by step, those whose traffic counts for it; a step without an entry has
    no traffic.
    """

    runtime: Runtime
    connections: Mapping[str, Sequence[Counted]]

    def __call__(self, batch: Batch, step: str, phase: str) -> AbstractContextManager[None]:
        """Report how long the block took for the batch, and the step's traffic in it."""
        counted = self.connections.get(step, ())
        return self.runtime.timed(
            batch.first, step, phase, lambda: total_traffic(counted), batch.count
        )


def run_party(
    role: str,
    description: str,
    take_part: Callable[[Runtime], ExitStatus | None],
    argv: list[str] | None,
) -> int:
    """Parse the arguments, take part in one run, report a failure in one line; the exit status.

    Raises ConfigError for arguments that cannot be read.
    """
    keep_memory_private()
    parser = Parser(
        f"capc party {role}",
        description=f"{description}\nOn a machine of its own it reads party.toml "
        "(docs/parties.md). `capc run` writes JSON and starts every party of a run.",
        examples=[
            f"capc party {role} --config party.toml",
            f"capc party {role} --config party.json --control control.sock",
        ],
    )
    parser.add_argument(
        "--config", help="the party's settings: its party.toml, or with --control a JSON file"
    )
    parser.add_argument("--control", help="the Unix socket at which a driver listens")
    parser.add_argument(
        "--log_format",
        choices=LOG_FORMATS,
        help="lines of the log: text, or a JSON object each (default: as the settings say)",
    )
    parser.add_argument(
        "--metrics_port",
        type=whole_number(1, 65535),
        help="serve health and figures at this port of 127.0.0.1 (default: as party.toml says, "
        "else not; not with --control)",
    )
    flags = parser.parse_args(argv)
    if flags.config is None:
        parser.print_help(sys.stderr)
        return ExitStatus.USAGE
    if flags.control is not None and flags.metrics_port is not None:
        raise ConfigError(
            "--metrics_port is for a party without a driver: it does not go with --control"
        )
    return _take_part(flags, role, take_part)


def _take_part(
    flags: argparse.Namespace,
    role: str,
    take_part: Callable[[Runtime], ExitStatus | None],
) -> int:
    log_format: LogFormat | None = flags.log_format
    keep_freed_memory()
    control: Control | None = None
    pane: Pane | None = None
    debug = False
    try:
        if log_format is not None:
            _log_to([_on_screen(log_format, role)], debug=False)  # what is wrong with the settings
        own = _party_file(flags)
        config = PartyConfig.read(flags.config) if own is None else own.config
        if log_format is not None:
            config = dataclasses.replace(config, log_format=log_format)
        debug = config.debug
        pane = _open_pane(config)
        _start_logging(config, on_screen=pane is None)
        if role_of(config.party) != role:
            raise ConfigError(f"{flags.config} is the config of {config.party}, not of {role}")
        if own is not None:
            records = control = OwnRecords(own)
            records.end_on_sigterm()
            status = _in_federation(own, records, take_part)
        else:
            client = control = ControlClient.connect(
                flags.control, config.party, send_seconds=config.timeout_seconds
            )
            if pane is not None:
                client.heard = pane.heard
            status = _with_driver(config, client, take_part)
        control.done()
        return status
    except ReportedError:
        return ExitStatus.FAILED
    except Exception as error:
        _report(control, error, debug)
        if control is None and pane is not None:
            pane.heard(Error(str(error)))
        return ExitStatus.FAILED
    finally:
        if control is not None:
            control.close()
        if pane is not None:
            pane.close()
        logging.shutdown()


def _with_driver(
    config: PartyConfig, client: ControlClient, take_part: Callable[[Runtime], ExitStatus | None]
) -> ExitStatus:
    """One run, as a driver on this or another machine says; it sees where nothing was answered."""
    identity = Identity.create(config.party)
    meeting = LocalMeeting(identity, config.port, config.timeout_seconds, listen=config.listen)
    take_part(Runtime(config, client, meeting))
    return ExitStatus.OK


def _in_federation(
    own: PartyFile, records: OwnRecords, take_part: Callable[[Runtime], ExitStatus | None]
) -> ExitStatus:
    """One run; an answering party without which queries go on comes back where it was cut off."""
    may_return = own.config.may_lose_parties and role_of(own.config.party) == ANSWERING
    returns = MOST_RETURNS if may_return else 0
    joined = False
    while True:
        meeting = FederatedMeeting(own, records)
        try:
            return take_part(Runtime(own.config, records, meeting)) or ExitStatus.OK
        except ReportedError as error:
            cut_off = isinstance(error.__cause__, PeerGoneError | SilentPeerError)
            joined = joined or meeting.has_run
            if not returns or not joined or not cut_off:
                raise
            returns -= 1
            records.come_back()


def _party_file(flags: argparse.Namespace) -> PartyFile | None:
    """The settings of a party without a driver, with what the flags say in their place."""
    if flags.control is not None:
        return None
    own = PartyFile.read(Path(flags.config))
    if flags.metrics_port is None:
        return own
    return dataclasses.replace(own, metrics_port=flags.metrics_port)


def _report(control: Control | None, error: Exception, debug: bool) -> None:
    """One line to the log and to the driver; a fault of this program comes with its trace."""
    message = str(error) if isinstance(error, CapcError) else one_line(error)
    expected = message is not None
    if message is None:
        message = f"internal error: {type(error).__name__}: {error}"
    logger.error("%s", message, exc_info=debug or not expected)
    if control is None:
        return
    try:
        peer = error.party if isinstance(error, SilentPeerError) else None
        control.error(message, of_a_peer=isinstance(error, PeerGoneError), waits_for=peer)
    except CapcError as lost:
        logger.debug("the driver did not hear of it: %s", lost)


def _open_pane(config: PartyConfig) -> Pane | None:
    """The party's card in its pane; None where it is to show its log, or has no pane."""
    if not config.card or config.log_file is None or not sys.stderr.isatty():
        return None
    from capc.cards.pane import Pane  # noqa: PLC0415  a fiftieth party has no pane, and no need

    privacy = config.privacy
    facts = Facts(
        config.party,
        config.n_queries,
        with_threshold=config.with_threshold,
        unencrypted=config.unencrypted,
        verify=config.verify,
        distributed_noise=config.distributed_noise,
        label_sets=config.rule.multi_label,
        epsilon=None if privacy is None else privacy.epsilon,
    )
    return Pane(facts, config.log_file)


def _start_logging(config: PartyConfig, *, on_screen: bool) -> None:
    handlers: list[logging.Handler] = []
    if on_screen:
        # Without a pane the launcher sends standard error to the log file.
        handlers.append(_on_screen(config.log_format, config.party))
    if config.log_file is not None:
        descriptor = os.open(config.log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        log = os.fdopen(descriptor, "a", buffering=1, encoding="utf-8", errors="backslashreplace")
        handlers.append(logging.StreamHandler(log))
        handlers[-1].setFormatter(formatter_of(config.log_format, config.party))
    _log_to(handlers, debug=config.debug)


def _on_screen(log_format: LogFormat, role: str) -> logging.Handler:
    handler = logging.StreamHandler()
    handler.setFormatter(formatter_of(log_format, role, on_terminal=sys.stderr.isatty()))
    return handler


def _log_to(handlers: Sequence[logging.Handler], *, debug: bool) -> None:
    level = logging.DEBUG if debug else logging.INFO
    logging.basicConfig(level=level, handlers=handlers, force=True)
