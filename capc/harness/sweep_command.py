"""`capc sweep`: many runs over a grid of settings, one table and one page of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from capc.command_line import ExitStatus, Parser, add_results_dir, whole_number
from capc.console import show_line
from capc.errors import ConfigError, FileError
from capc.files import expanded, held_folder
from capc.harness.pages.run_files import REPORT, write_report
from capc.harness.pages.sweep_page import sweep_page
from capc.harness.signals import interruptible
from capc.harness.sweep import Point, Sweep, read_sweep
from capc.harness.sweep_run import ended, run_point
from capc.harness.sweep_table import columns_of, sweep_rows
from capc.harness.tables import write_table
from capc.learning.workers import Task, TaskError, run_tasks
from capc.progress import progress_bars

TABLE = "sweep.csv"

_DESCRIPTION = """Run `capc run` or `capc learn` once for each point of a grid of settings.

Each run has a folder of its own in <results_dir>/<name>/runs/, by a key of all that goes into it.
What has ended well is not run again: the same command goes on where it was stopped, and tries again
what has failed. <results_dir>/<name>/ has one table of all runs, sweep.csv, and a page."""
_EXAMPLES = (
    "capc sweep config/sweep.toml",
    "capc sweep config/sweep.toml --workers=4",
    "capc sweep config/sweep.toml --ray=10.0.0.1:6379",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run what is left of a sweep; status 1 where a run has failed."""
    parser = Parser("capc sweep", description=_DESCRIPTION, examples=_EXAMPLES)
    parser.add_argument("file", type=Path, metavar="FILE", help="the sweep, TOML")
    add_results_dir(parser, "results/sweeps", "where sweeps are kept")
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--workers", type=whole_number(1), default=1, help="runs side by side (default 1)"
    )
    how.add_argument(
        "--ray",
        nargs="?",
        const="local",
        metavar="ADDRESS",
        help="runs as tasks of Ray: on this machine, or of the cluster at ADDRESS, whose nodes see "
        "the folders here under the same paths (needs capc[ray])",
    )
    options = parser.parse_args(argv)
    sweep = read_sweep(expanded(options.file))
    folder = expanded(options.results_dir).absolute() / sweep.name
    return _run(sweep, folder, options.workers, options.ray)


def _run(sweep: Sweep, folder: Path, workers: int, ray: str | None) -> int:
    console = Console(stderr=True)
    folders = {point.key: folder / "runs" / point.key for point in sweep.points}
    with ExitStack() as ending:
        ending.enter_context(interruptible())
        _make(folder)
        ending.enter_context(held_folder(folder, alone=True))
        left = [point for point in sweep.points if not _is_done(folders[point.key])]
        done = len(sweep.points) - len(left)
        show_line(console, f"{sweep.name}: {len(sweep.points)} runs, {done} of them done before")
        ending.callback(_write, sweep, folder, folders, console)
        if left:
            _do(left, folders, workers, ray, console)
        failed = sum(not _is_done(folders[point.key]) for point in sweep.points)
    if failed:
        said = f"{failed} of {len(sweep.points)} runs have failed: {folder / TABLE} says why"
        show_line(console, said, "bold red")
        return ExitStatus.FAILED
    return ExitStatus.OK


def _do(
    points: Sequence[Point],
    folders: Mapping[str, Path],
    workers: int,
    ray: str | None,
    console: Console,
) -> None:
    """All of them, whether they fail or not."""
    here = str(Path.cwd())
    tasks = [Task(one.key, run_point, (str(folders[one.key]), one.words, here)) for one in points]
    with progress_bars(console) as bars:
        bar = bars.add("runs")
        try:
            run_tasks(tasks, workers=workers, ray_address=ray, progress=bar.show)
        except TaskError as error:  # of a worker that died: its run has not ended
            show_line(console, str(error), "bold red")


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigError(f"--results_dir: {folder} cannot be made: {error.strerror}") from None


def _is_done(folder: Path) -> bool:
    """Whether a run has ended well."""
    how = ended(folder)
    return how is not None and how["status"] == ExitStatus.OK


def _write(sweep: Sweep, folder: Path, folders: Mapping[str, Path], console: Console) -> None:
    """The table and the page of what there is by now."""
    rows = sweep_rows(sweep, folders)
    columns = columns_of(sweep, rows)
    write_table(folder / TABLE, columns, ([row.get(name) for name in columns] for row in rows))
    show_line(console, f"table:  {folder / TABLE}")
    pages = {key: next(place.glob(f"results/*/{REPORT}"), None) for key, place in folders.items()}
    links = {key: str(page.relative_to(folder)) for key, page in pages.items() if page is not None}
    content = sweep_page(sweep.name, sweep.command, sweep.columns, rows, links)
    try:
        show_line(console, f"report: {write_report(folder, content)}")
    except FileError as error:
        show_line(console, f"no page of the sweep: {error}", "yellow")
