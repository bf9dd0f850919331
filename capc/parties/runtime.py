"""What the three programs share: arguments, logging, the control channel, a true exit status."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from capc.errors import CapcError
from capc.he.allocation import keep_freed_memory
from capc.parties.config import PartyConfig
from capc.transport.channel import Traffic
from capc.transport.control import ControlClient
from capc.transport.tls import Identity

logger = logging.getLogger(__name__)

HOST = "127.0.0.1"


class ReportedError(Exception):
    """A failure that the driver has been told of."""


@dataclass(frozen=True)
class Runtime:
    """One party's process: its public settings, its driver, its identity on the network."""

    config: PartyConfig
    control: ControlClient
    identity: Identity

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
        """Report how long the block took and what `traffic` counted in it."""
        self.control.progress(query, step, phase)
        before, start = traffic(), time.perf_counter()
        yield
        seconds, moved = time.perf_counter() - start, traffic() - before
        self.control.timing(
            query,
            step,
            phase,
            seconds,
            bytes_sent=moved.bytes_sent,
            bytes_received=moved.bytes_received,
            rounds=moved.rounds,
            count=count,
        )
        logger.info(
            "%s step %s %s: %.4f s, %d bytes out, %d bytes in",
            "set-up" if query is None else f"query {query}",
            step,
            phase,
            seconds,
            moved.bytes_sent,
            moved.bytes_received,
        )


def run_party(
    program: str,
    description: str,
    serve: Callable[[Runtime], None],
    argv: list[str] | None,
) -> int:
    """Parse the arguments, serve until done, report a failure in one line; the exit status."""
    parser = argparse.ArgumentParser(
        prog=f"capc party {program}",
        description=description,
        epilog=f"example: capc party {program} --config party.json --control control.sock "
        "(run_experiment.py writes both and starts every party of a run)",
    )
    parser.add_argument("--config", help="the party's public settings, a JSON file")
    parser.add_argument("--control", help="the Unix socket at which the driver listens")
    arguments = parser.parse_args(argv)
    if arguments.config is None or arguments.control is None:
        parser.print_help(sys.stderr)
        return 2
    return _serve(arguments.config, arguments.control, program, serve)


def _serve(
    config_path: str, control_path: str, program: str, serve: Callable[[Runtime], None]
) -> int:
    keep_freed_memory()
    control: ControlClient | None = None
    debug = False
    try:
        config = PartyConfig.read(config_path)
        debug = config.debug
        _start_logging(config)
        if not config.party.startswith(program):
            raise CapcError(f"{config_path} is the config of {config.party}, not of a {program}")
        control = ControlClient.connect(control_path, config.party)
        serve(Runtime(config, control, Identity.create(config.party)))
        control.done()
        return 0
    except ReportedError:
        return 1
    except Exception as error:
        _report(control, error, debug)
        return 1
    finally:
        if control is not None:
            control.close()
        logging.shutdown()


def _report(control: ControlClient | None, error: Exception, debug: bool) -> None:
    """One line to the log and to the driver; a fault of this program comes with its trace."""
    expected = isinstance(error, CapcError | OSError | MemoryError)
    message = str(error) or type(error).__name__
    if not expected:
        message = f"internal error: {type(error).__name__}: {message}"
    logger.error("%s", message, exc_info=debug or not expected)
    if control is None:
        return
    try:
        control.error(message)
    except CapcError as lost:
        logger.debug("the driver did not hear of it: %s", lost)


def _start_logging(config: PartyConfig) -> None:
    handlers: list[logging.Handler] = [logging.StreamHandler()]
    if config.log_file is not None:
        descriptor = os.open(config.log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        handlers.append(logging.StreamHandler(os.fdopen(descriptor, "a", buffering=1)))
    logging.basicConfig(
        level=logging.DEBUG if config.debug else logging.INFO,
        format=f"%(asctime)s {config.party} %(message)s",
        datefmt="%H:%M:%S",
        handlers=handlers,
        force=True,
    )
