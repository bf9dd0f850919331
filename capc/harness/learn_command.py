"""`capc learn`: train private models, put queries to the vote, retrain, and what came of it."""

from __future__ import annotations

import argparse
import logging
import math
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from capc.command_line import ExitStatus
from capc.console import seconds_text
from capc.data.own_data import title as dataset_title
from capc.errors import ConfigError, FileError
from capc.harness.learn_flags import PAPER, chosen_experiment, learn_parser
from capc.harness.pages.run_files import write_learn_page
from capc.harness.rundir import machine
from capc.harness.secure_queries import SecureOptions, query_securely
from capc.he.parameter_flags import read_encryption_params
from capc.learning import results
from capc.learning.experiment import Experiment
from capc.learning.forecast import training_seconds
from capc.learning.given_models import private_models
from capc.learning.imported import imported_trials, load_answered, parse_sources
from capc.learning.query_stage import STAGE as QUERIES
from capc.learning.query_stage import query
from capc.learning.retrain_stage import retrain, retraining_trials
from capc.learning.session import Session
from capc.learning.store import Store
from capc.learning.train_stage import train
from capc.learning.vectorised.choice import chosen_trainer
from capc.learning.workers import Progress
from capc.progress import progress_bars


def main(argv: Sequence[str] | None = None) -> int:
    """Run a stage and those before it; the exit status."""
    options = learn_parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        learn(options, Console(stderr=True))
    return ExitStatus.OK


def learn(options: argparse.Namespace, console: Console) -> Path:
    """Run the stage of the flags and those before it; the folder with what came of it.

    `console` gets the lines, bars and tables. Raises a CapcError where something cannot be used.
    """
    experiment = chosen_experiment(options)
    if options.secure:
        # As JSON: the protocol's run starts in another folder, and gets these very parameters.
        parameters = read_encryption_params(options.encryption_params)
        options.encryption_params = parameters.to_json()
    session = Session(
        experiment,
        Store(options.cache),
        workers=options.workers,
        ray_address=options.ray,
        bar=_bars(console),
        trainer=chosen_trainer(options.trainer),
    )
    return _Command(session, options, console).run()


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    sys.stderr.write(f"capc learn: warning: {message}\n")


class _Command:
    """One call of the program."""

    def __init__(self, session: Session, options: argparse.Namespace, console: Console) -> None:
        self._session = session
        self._options = options
        self._console = console
        self._seconds: dict[str, float] = {}

    @property
    def _folder(self) -> Path:
        name = self._session.experiment.name + ("-imported" if self._options.answers else "")
        return Path(self._options.results_dir) / name

    def run(self) -> Path:
        stage = self._options.stage
        results.refuse_another(self._folder, self._session.experiment)
        try:  # now, not when hours of training are over
            self._folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self._folder).close()
        except OSError as error:
            raise ConfigError(
                f"--results_dir: {self._folder} cannot be written: "
                f"{error.strerror}; name another folder"
            ) from None
        if self._options.answers:
            self._imported(stage)
        elif stage == PAPER:
            self._foretell()
            self._stages("all")
            if self._session.experiment.sweep:
                self._sweep()
        elif stage == "sweep":
            self._sweep()
        else:
            self._stages(stage)
        megabytes = {
            "driver": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "largest_worker": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024,
        }
        took = {"stages": self._seconds, "peak_memory_mib": megabytes}
        results.write_run(
            self._folder, self._session, {**took, "stage": stage, "machine": machine()}
        )
        self._write_page()
        spent = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in self._seconds.items())
        self._say(f"{spent}; tables in {self._folder}")
        return self._folder

    def _foretell(self) -> None:
        """Say how long all of it will take, before it starts."""
        experiment = self._session.experiment
        self._say(f"{_title(experiment)}: measuring how fast this machine trains")
        seconds = training_seconds(self._session)
        self._say(
            f"training takes about {seconds_text(seconds)} here if every query is answered "
            f"(trainer {self._session.trainer}); what the cache holds is not trained again"
        )

    def _write_page(self) -> None:
        """A page that cannot be written leaves the experiment as it ended."""
        try:
            page = write_learn_page(self._folder)
        except FileError as error:
            self._say(f"no page of the experiment: {error}")
        else:
            self._say(f"report: {page}")

    def _stages(self, stage: str) -> None:
        models = self._timed("train", lambda: private_models(self._session))
        rows = results.model_rows(self._session, models)
        results.write_table(self._folder, "models", rows)
        if stage == "train":
            return
        queries = self._timed("query", lambda: self._query(models))
        table = results.query_rows(self._session, queries)
        results.write_table(self._folder, "queries", table)
        votes = results.vote_rows(self._session, queries)
        private = results.private_folder(self._folder)
        results.write_table(private, "votes", votes)
        results.write_table(private, "ensemble", results.noisy_vote_rows(self._session, models))
        self._warn_of_dependent_counts()
        if self._options.include_private:
            private = results.write_private(self._session, self._folder, queries)
            self._say(f"private, do not publish: {private}")
        if stage == "query":
            self._console.print(_query_table(table))
            for seed, key in queries.items():
                place = self._session.store.folder(QUERIES, key)
                self._say(f"saved queries of seed {seed}: {place}/<strategy>/party<p>/<kind>")
            return
        trials = retraining_trials(self._session, queries)
        scores = self._timed("retrain", lambda: retrain(self._session, trials))
        self._report(trials, scores, queries)

    def _query(self, models: dict[int, list[str]]) -> dict[int, str]:
        if not self._options.secure:
            return query(self._session, models)
        options = SecureOptions(
            queries=self._options.secure_queries,
            encryption_params=self._options.encryption_params,
            batch_size=self._options.batch_size,
            verify=self._options.verify,
            ring=self._options.ring,
            fraction_bits=self._options.fraction_bits,
        )
        self._session, keys, comparisons = query_securely(self._session, models, options)
        if comparisons:
            private = results.private_folder(self._folder)
            results.write_table(self._folder, "secure", results.secure_rows(comparisons))
            results.write_table(private, "secure", results.comparison_rows(comparisons))
            for row in comparisons:
                self._say(
                    f"seed {row.seed}, party {row.party}: {row.answered} of {row.queries} answered "
                    f"in {row.seconds:.1f} s; equal to simulation and reference: {row.verdict}"
                )
            self._say(f"the comparisons are private: {private / 'secure.csv'}")
        return keys

    def _imported(self, stage: str) -> None:
        """Retraining on answers from outside: no private models, no vote."""
        if stage != "retrain" or self._options.secure or self._options.include_private:
            raise ConfigError(
                "--answers works with the stage retrain only, and not with --secure or "
                "--include_private"
            )
        experiment = self._session.experiment
        if experiment.multi_label:
            raise ConfigError("--answers brings one class a query; the task is multi-label")
        if experiment.private_models is not None:
            raise ConfigError("--answers are answered already: leave out --private_models")
        sources = parse_sources(self._options.answers, experiment)
        answers = {party: load_answered(at, experiment.dataset) for party, at in sources.items()}
        for party, found in answers.items():
            self._say(f"party {party}: {len(found.labels)} answered queries from {found.source}")
        trials, left_out = imported_trials(self._session, answers)
        for seed, count in left_out.items():
            if count:
                self._say(f"seed {seed}: {count} test examples are among them and not measured on")
        self._report(trials, self._timed("retrain", lambda: retrain(self._session, trials)), {})

    def _warn_of_dependent_counts(self) -> None:
        if self._session.experiment.privacy.bound == "dependent":
            self._say(
                "private: the data-dependent bound ended the questions (stopped_by), so how many "
                "were asked tells about the votes; privacy.bound=independent has none of this"
            )

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True, markup=False)

    def _report(self, trials: Any, scores: Any, queries: dict[int, str]) -> None:
        import pandas  # noqa: PLC0415  with matplotlib, two seconds that --help need not wait for

        from capc.learning.plots import draw  # noqa: PLC0415

        experiment = self._session.experiment
        rows = results.accuracy_rows(experiment, trials, scores)
        rows += results.ensemble_rows(self._session, queries)
        accuracy = pandas.DataFrame(rows)
        classes = pandas.DataFrame(results.class_rows(experiment, trials, scores))
        summary = results.summarise(accuracy)
        for name, table in (("accuracy", accuracy), ("classes", classes), ("summary", summary)):
            results.write_table(self._folder, name, table)
        title = f"{dataset_title(experiment.dataset)}, imported answers"
        draw(self._folder, accuracy, classes, _title(experiment) if queries else title)
        self._console.print(_summary_table(summary))

    def _sweep(self) -> None:
        import pandas  # noqa: PLC0415

        from capc.learning.plots import draw_sweep  # noqa: PLC0415

        experiment = self._session.experiment
        if not experiment.sweep:
            raise ConfigError("the config has no sweep; give it a list of parties and their noise")
        rows: list[dict[str, Any]] = []
        for at_point in experiment.swept():
            parties = at_point.parties
            session = replace(self._session, experiment=at_point)
            queries = self._timed(f"K={parties}", lambda s=session: query(s, train(s)))
            found = pandas.DataFrame(results.query_rows(session, queries))
            found = found[found["party"] >= 0]
            grouped = found.groupby(["seed", "strategy"], as_index=False).agg(
                asked=("asked", "sum"),
                answered=("answered", "sum"),
                labels_right=("labels_right", "mean"),
                epsilon_independent=("epsilon_independent", "max"),
            )
            grouped.insert(0, "parties", parties)
            grouped["stopped_by"] = experiment.privacy.bound
            rows += grouped.to_dict("records")
        table = pandas.DataFrame(rows)
        results.write_table(self._folder, "sweep", table)
        self._warn_of_dependent_counts()
        draw_sweep(self._folder, table, _title(experiment, sweep=True))
        shown = table.drop(columns="stopped_by")
        self._console.print(shown.to_string(index=False), highlight=False, soft_wrap=True)

    def _timed(self, name: str, stage: Any) -> Any:
        started = time.monotonic()
        try:
            return stage()
        finally:
            self._seconds[name] = round(time.monotonic() - started, 2)


def _title(experiment: Experiment, *, sweep: bool = False) -> str:
    privacy = experiment.privacy
    parties = "" if sweep else f", K = {experiment.parties}"
    split = "" if experiment.split.kind == "uniform" else f", {experiment.split.kind} split"
    limit = "no limit" if privacy.epsilon is None else f"ε ≤ {privacy.epsilon:g}"
    return f"{dataset_title(experiment.dataset)}{parties}{split}, {limit} ({privacy.bound} bound)"


def _query_table(rows: list[dict[str, Any]]) -> Table:
    table = Table("seed", "strategy", "party", "asked", "answered", "right", "ε (independent)")
    for row in rows:
        table.add_row(
            *(str(row[name]) for name in ("seed", "strategy", "party", "asked", "answered")),
            "-" if math.isnan(row["labels_right"]) else f"{100 * row['labels_right']:.1f} %",
            f"{row['epsilon_independent']:.4g}",
        )
    return table


def _summary_table(summary: Any) -> Table:
    table = Table("arm", "strategy", "metric", "mean", "95 % interval", "units")
    for row in summary.to_dict("records"):
        if row["units"]:
            table.add_row(
                row["arm"],
                row["strategy"],
                row["metric"].replace("_accuracy", "").replace("_", " "),
                f"{100 * row['mean']:.2f}",
                f"{100 * row['low']:.2f} to {100 * row['high']:.2f}" if row["units"] > 1 else "-",
                str(row["units"]),
            )
    return table


def _bars(console: Console) -> Any:
    """A progress bar per stage, on standard error; plain lines where that is no terminal."""

    @contextmanager
    def bar(title: str) -> Iterator[Progress]:
        with progress_bars(console) as bars:
            yield bars.add(title).show

    return bar
