"""One run from flags to exit status: prepare, launch, watch, check, report."""

from __future__ import annotations

import dataclasses
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from rich.console import Console

from capc.command_line import ExitStatus, run_command
from capc.console import plain_console, show_line, table_console
from capc.errors import CapcError, FileError
from capc.graph.agreement import Agreement
from capc.graph.prepared import load_network
from capc.harness import report
from capc.harness.account import AccountBefore, epsilon_after
from capc.harness.estimate import estimate, plan_lines
from capc.harness.hosts import Place
from capc.harness.launchers.choice import launcher_of
from capc.harness.launchers.feed import Fed
from capc.harness.launchers.processes import Launcher, PartySpec, party_command
from capc.harness.launchers.ray_launcher import NodesLauncher
from capc.harness.launchers.remote_bridge import bridge_command
from capc.harness.lecture import lecture_of, require_keyboard
from capc.harness.outcome import Outcome
from capc.harness.pages.run_files import write_pages
from capc.harness.paper import PAPER_INPUTS, PAPER_MODEL, is_the_papers
from capc.harness.party_configs import PartyConfigs
from capc.harness.preflight import check_machine
from capc.harness.preparation import prepare
from capc.harness.privacy_statement import privacy_statement, require_private
from capc.harness.queries import Queries
from capc.harness.recorder import Recorder, Results
from capc.harness.remarks import Remark
from capc.harness.resume import ACCOUNT
from capc.harness.run_record import run_record
from capc.harness.rundir import RunDirectory, now
from capc.harness.settings import Settings, parse_settings
from capc.harness.signals import interruptible
from capc.harness.supervisor import Supervisor
from capc.harness.tables import summarise, write_summary
from capc.harness.verify import Check, check_run
from capc.he.allocation import give_back_freed_memory
from capc.log_lines import LogStream, formatter_of
from capc.private_memory import keep_memory_private
from capc.roles import GUARDIAN, MODULES, QUERYING, answering, role_of
from capc.unforeseen import FULL, keep_trace, one_line

NAMING_SECONDS = 10.0

logger = logging.getLogger("capc.driver")


def main(argv: Sequence[str] | None = None, program: str = "capc run") -> int:
    """The exit status of a run; CapcError for flags and files that cannot be used."""
    with interruptible():
        settings = parse_settings(argv, program)
        if settings.verify:
            keep_memory_private()  # it is going to hold every share
        return run(settings)


def run(
    settings: Settings,
    modules: Mapping[str, str] | None = None,
    console: Console | None = None,
    begun: Callable[[Path], object] | None = None,
) -> int:
    """Run one experiment; the exit status, as --help lists them.

    It is shown on `console`, by default standard output. `begun` gets the run's folder once there
    is one. Raises CapcError for what is wrong before any party starts, and for a results folder
    that cannot be written.
    """
    console = console or table_console()
    if settings.private:
        require_private(settings)
    if settings.step:
        require_keyboard()
    check_machine(settings)
    launcher = launcher_of(settings)
    ready = prepare(settings, lambda text, style="": show_line(console, text, style))
    settings = ready.settings
    for line in plan_lines(settings, estimate(settings, ready.costs)):
        show_line(console, line)
    give_back_freed_memory()  # of the preparation: the parties run beside this process
    this_run = Run(
        *(settings, launcher, ready.queries, ready.files, modules or MODULES),
        account_before=ready.account_before,
        remarks=ready.remarks,
        agreements=ready.agreed.agreements,
    )
    if begun is not None:
        begun(this_run.folder)
    return this_run.run(
        console,
        lambda recorder: check_run(
            ready.agreed.networks,
            ready.queries,
            recorder.results,
            settings.privacy,
            ready.originals,
            rule=settings.rule(ready.originals[0].output.shape[0]),
            fewest=settings.fewest,
        ),
    )


class Run:
    """One run and its folder.

    `prepared` are the answering parties' models, in order; `modules` say by role what to run;
    `account_before` is what the account of --account held, None without one; `remarks` are what
    was said before the run, whose figures it keeps; `agreements` are the models' constants, in
    order, None where each has those of its own alone.
    """

    def __init__(
        self,
        settings: Settings,
        launcher: Launcher,
        queries: Queries,
        prepared: Sequence[Path],
        modules: Mapping[str, str],
        *,
        account_before: AccountBefore | None = None,
        remarks: Sequence[Remark] = (),
        agreements: Sequence[Agreement] | None = None,
    ) -> None:
        self._settings = settings
        self._launcher = launcher
        self._queries = queries
        self._modules = modules
        self._account_before = account_before
        self._remarks = remarks
        self._agreements = agreements
        self._classes = settings.num_classes or load_network(prepared[0]).output.shape[0]
        answering_parties = [answering(index) for index in range(settings.n_parties)]
        self._names = [*answering_parties, GUARDIAN, QUERYING]
        self._directory = RunDirectory(settings.results_dir)
        self._configs = PartyConfigs(
            *(settings, self._names, self._classes, queries, prepared, agreements),
            own_account=self._directory.path / ACCOUNT,
        )
        self._record: dict[str, Any] = {}

    @property
    def folder(self) -> Path:
        """Where the run leaves its files."""
        return self._directory.path

    def run(self, console: Console, check: Callable[[Recorder], dict[int, Check]]) -> int:
        """Everything after the preparations; always leaves run.json and no process."""
        directory = self._directory
        handler = logging.FileHandler(directory.log_file("driver"), encoding="utf-8")
        log_format = self._settings.log_format
        handler.setFormatter(formatter_of(log_format, "driver"))
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG if self._settings.debug else logging.INFO)
        self._record = run_record(
            self._settings, directory.run_id, self._account_before, self._agreements or []
        )
        directory.write_run_json(self._record)
        status: int = ExitStatus.FAILED
        try:
            with (
                LogStream(logger)
                if log_format == "json"
                else directory.log_file("driver").open("a", encoding="utf-8")
            ) as log:
                consoles = [console, plain_console(file=log, width=120)]
                status = self._run(consoles, check)
        except CapcError as error:
            self._record["failure"] = str(error)
            logger.error("%s", error)
            raise
        except KeyboardInterrupt:
            status = ExitStatus.INTERRUPTED
            self._record["failure"] = "stopped"
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno in FULL and error.filename is None:
                error.filename = str(directory.path)  # what is written late does not say where
            kept = keep_trace(error, directory.path / "logs")
            said = one_line(error) or f"unforeseen {type(error).__name__}: {error}"
            self._record["failure"] = said
            logger.error("%s (its trace: %s)", said, kept)
            raise
        finally:
            logger.removeHandler(handler)
            with suppress(OSError):  # of a full disk: no reason to leave anything
                handler.close()
            self._finish(console, status)
        return status

    def _finish(self, console: Console, status: int) -> None:
        """Leave run.json, its page, and what the panes show of it."""
        keep = status in (ExitStatus.OK, ExitStatus.DISAGREES) or self._settings.debug
        with ExitStack() as last:
            last.callback(self._directory.release)
            last.callback(self._launcher.finish, keep=keep)
            if not self._settings.debug:
                self._directory.remove_party_directories()
            self._record |= {"end": now(), "exit_status": status}
            if "account" in self._record:
                self._record["account"]["epsilon_after"] = epsilon_after(self._settings.privacy)
            self._directory.write_run_json(self._record)
            self._write_pages(console)

    def _write_pages(self, console: Console) -> None:
        """A page that cannot be written leaves the run as it ended."""
        try:
            page = write_pages(self._directory.path, self._directory.read_run_json())
        except FileError as error:
            show_line(console, f"no page of the run: {error}", "yellow")
        else:
            show_line(console, f"report:   {page}")

    def _run(
        self, consoles: Sequence[Console], check: Callable[[Recorder], dict[int, Check]]
    ) -> int:
        directory, console = self._directory, consoles[0]
        self._launcher.prepare(self._names, directory.path)
        for note in self._launcher.notes:
            show_line(console, note)
        show_line(console, f"run {directory.run_id}: {len(self._names)} parties")
        directory.private.keep_models(self._configs.prepared)
        if (kept := directory.private.keep_remarks(self._remarks)) is not None:
            show_line(console, f"what was measured on the models (do not publish it): {kept}")
        hint = self._launcher.attach_hint()
        if hint is not None:
            show_line(console, f"watch it with: {hint}")
        recorder = self._recorder(console)
        outcome = self._supervise(recorder)
        self._record |= {
            "parties": {
                name: {"port": recorder.results.ports.get(name), "exit_status": exit_status}
                for name, exit_status in outcome.exit_statuses.items()
            },
            "answers": len(recorder.results.answers),
            "refused": _as_dict(recorder.results.refused),
            "left_out": outcome.left_out | recorder.results.left_out,
            "failure": _as_dict(outcome.cause),
            "privacy": self._privacy(recorder.results),
        }
        if not outcome.succeeded:
            report.show_failure(consoles, outcome)
            if outcome.interrupted:
                report.show_rest(consoles[:1], self._settings, recorder.results, directory.path)
            report.show_files(consoles, directory, None, finished=False)
            return ExitStatus.INTERRUPTED if outcome.interrupted else ExitStatus.FAILED
        return self._conclude(consoles, recorder, check(recorder))

    def _recorder(self, console: Console) -> Recorder:
        directory = self._directory
        default_log = directory.path / f"log-timing-{directory.run_id}.txt"
        return Recorder(
            self._names,
            n_queries=self._settings.n_queries,
            queries_csv=directory.queries_csv,
            timings_csv=directory.timings_csv,
            timing_log=self._settings.log_timing_file or default_log,
            true_labels=self._queries.labels,
            insecure=self._settings.insecure_switches,
            console=console,
            rule=self._settings.rule(self._classes),
        )

    def _supervise(self, recorder: Recorder) -> Outcome:
        settings, launcher = self._settings, self._launcher
        with ExitStack() as resources:
            lecture = resources.enter_context(lecture_of(settings, self._names, recorder))
            supervisor = Supervisor(
                [self._spec(name) for name in self._names],
                self._with_control,
                launcher,
                Fed(recorder, launcher.feeds),
                setup_seconds=settings.timeout_seconds,
                # behind the parties' own limits, so that they name whom they wait for
                query_seconds=settings.timeout_seconds + NAMING_SECONDS,
                lecture=lecture,
                spare=settings.n_parties - settings.fewest,
            )
            resources.callback(recorder.finish)
            recorder.view.start()
            return supervisor.run()

    def _conclude(
        self, consoles: Sequence[Console], recorder: Recorder, checks: dict[int, Check]
    ) -> int:
        settings, directory, results = self._settings, self._directory, recorder.results
        directory.private.keep_checks(checks)
        summary = summarise(
            directory.timings_csv,
            degree=settings.encryption_parameters.poly_modulus_degree,
            unencrypted=settings.unencrypted,
            insecure=settings.insecure_switches,
            beside_paper=self._is_the_papers(),
        )
        write_summary(directory.summary_csv, summary)
        report.show_privacy(consoles, self._record["privacy"])
        report.show_labels(
            *(consoles, results, self._queries.labels, settings.n_queries),
            rule=settings.rule(self._classes),
        )
        report.show_agreement(consoles, checks)
        report.show_differing(consoles[:1], checks, directory)
        report.show_times(consoles, summary)
        status = self._verdict(consoles, recorder, checks)
        report.show_files(consoles, directory, self._launcher.attach_hint(), finished=True)
        return status

    def _privacy(self, results: Results) -> str:
        charged = [spent.epsilon for spent in results.spent.values()]
        before = 0.0 if self._account_before is None else self._account_before.epsilon
        return privacy_statement(self._settings, max(charged, default=before))

    def _is_the_papers(self) -> bool:
        """Whether this run is what the paper timed."""
        settings = self._settings
        return (
            is_the_papers(settings.n_parties, self._classes, settings.batch_size)
            and settings.model_type == PAPER_MODEL
            and self._queries.images[0].size == PAPER_INPUTS
        )

    def _verdict(
        self, consoles: Sequence[Console], recorder: Recorder, checks: Mapping[int, Check]
    ) -> int:
        results = recorder.results
        wrong = any(check.agrees is False for check in checks.values())
        unchecked = [query for query, check in checks.items() if check.agrees is None]
        missing = self._settings.n_queries - len(results.answers)
        status, complaints = ExitStatus.OK, []
        if missing and results.refused is None:
            complaints.append(f"{missing} queries have no answer, and no party gave a reason")
            status = ExitStatus.FAILED
        if results.refused is not None:
            complaints.append(
                f"the budget refused {missing} of {self._settings.n_queries} queries: "
                f"{results.refused.reason}"
            )
            status = status if results.answers else ExitStatus.NOTHING_ANSWERED
        if self._settings.verify and unchecked:
            complaints.append(
                f"--verify: the parties did not reveal the shares of {len(unchecked)} queries"
            )
            status = ExitStatus.DISAGREES
        if wrong:
            complaints.append(
                "DISAGREEMENT: results differ from the reference on the same models: do not use "
                "these labels (private/check.csv says which)"
            )
            status = ExitStatus.DISAGREES
        for complaint in complaints:
            logger.error("%s", complaint)
            for console in consoles[:1]:
                show_line(console, complaint, "bold red")
        self._record["complaints"] = complaints
        return status

    # -- what the parties are told ---------------------------------------------------------

    def _spec(self, name: str) -> PartySpec:
        directory = self._directory.party_directory(name)
        log_file = self._directory.log_file(name)
        own_log = None if self._launcher.redirects(name) else str(log_file)
        host = self._place(name)
        self._configs.of(name, own_log, directory, host).write(directory / "config.json")
        return PartySpec(name, (), directory, log_file, None if host is None else host.host)

    def _place(self, name: str) -> Place | None:
        """The machine of a party; None: this one."""
        if isinstance(self._launcher, NodesLauncher):
            return self._launcher.places[name]
        return None if self._settings.hosts is None else self._settings.hosts[name]

    def _with_control(self, spec: PartySpec, control: Path) -> PartySpec:
        module = self._modules[role_of(spec.name)]
        config, hosts = spec.directory / "config.json", self._settings.hosts
        command = party_command(module, config, control)
        if hosts is not None:
            log_file = None if self._launcher.redirects(spec.name) else spec.log_file
            command = bridge_command(hosts[spec.name], module, config, control, log_file)
        return dataclasses.replace(spec, command=command)


def _as_dict(value: Any) -> dict[str, Any] | None:
    return None if value is None else dataclasses.asdict(value)


if __name__ == "__main__":
    sys.exit(run_command(main))
