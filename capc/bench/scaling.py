"""`capc scaling`: seconds and bytes of a query against parties, classes, model size and batch.

Along each axis the others stay at their base: one answering party, ten classes, a batch of 1, and a
model of two dense layers. Weights are random and queries are made: time and bytes depend on shapes
alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path

import numpy as np
from rich.console import Console

from capc.bench.laws import Law, fitted_law
from capc.bench.runs import measured_run
from capc.bench.scaling_page import (
    AXES,
    HEAD,
    LAW_HEAD,
    LEGEND,
    Point,
    draw_scaling,
    law_rows,
    point_rows,
    scaling_page,
)
from capc.command_line import ExitStatus, Parser, add_results_dir, whole_number
from capc.console import show_table, table_console
from capc.graph.tensorflow.loader import load_keras
from capc.harness.pages.run_files import write_report
from capc.harness.rundir import machine
from capc.harness.tables import write_table
from capc.roles import STEPS

_INPUTS = 28 * 28
_PHASES = ("offline", "online")
_LAW_COLUMNS = (
    *("axis", "fixed_s", "each_s", "off"),
    *("fixed_megabytes", "each_megabytes", "megabytes_off"),
)


@dataclass(frozen=True)
class Setting:
    """What one run is asked: answering parties, classes, hidden units, queries at a time."""

    parties: int = 1
    classes: int = 10
    hidden: int = 64
    batch: int = 1

    @property
    def weights(self) -> int:
        """Weights of the two dense layers, without biases."""
        return (_INPUTS + self.classes) * self.hidden


@dataclass(frozen=True)
class Size:
    """The values along each axis; `queries` is how many batches a run asks."""

    parties: tuple[int, ...]
    classes: tuple[int, ...]
    hidden: tuple[int, ...]
    batch: tuple[int, ...]
    queries: int

    def settings(self) -> Iterator[tuple[str, Setting]]:
        """Axis and setting of each point."""
        for axis in AXES:
            for value in getattr(self, axis):
                yield axis, replace(Setting(), **{axis: value})


SIZES = {
    "small": Size((1, 2, 4), (2, 10, 30), (16, 64, 128), (1, 4, 16), 3),
    "full": Size(
        (1, 2, 5, 10, 20, 50), (2, 10, 30, 100, 300), (16, 64, 128, 256, 512), (1, 8, 32, 128), 5
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure all points, fit a line along each axis, write tables, pictures and a page."""
    options = _parser().parse_args(argv)
    folder, console = Path(options.results_dir), table_console()
    points = measured_points(SIZES[options.size], options.repeat, console)
    laws = {axis: laws_of([point for point in points if point.axis == axis]) for axis in AXES}
    names = tuple(field.name for field in fields(Point))
    rows = (astuple(point) for point in points)
    write_table(folder / "scaling.csv", names, rows, make_folder=True)
    lines = ((axis, *astuple(seconds), *astuple(sent)) for axis, (seconds, sent) in laws.items())
    write_table(folder / "laws.csv", _LAW_COLUMNS, lines)
    show_table(console, "one batch of queries", HEAD, point_rows(points), range(1, len(HEAD)))
    show_table(console, "the fitted lines", LAW_HEAD, law_rows(laws), range(1, len(LAW_HEAD)))
    console.print(LEGEND, style="dim", highlight=False)
    png = draw_scaling(folder, points, laws)[1].read_bytes()
    command = f"capc scaling --size={options.size} --repeat={options.repeat}"
    report = write_report(folder, scaling_page(points, laws, png, machine(), command))
    console.print(f"report: {report}", highlight=False, soft_wrap=True)
    return ExitStatus.OK


def laws_of(points: Sequence[Point]) -> tuple[Law, Law]:
    """The lines through the seconds and through the megabytes of one axis."""
    values = [float(point.value) for point in points]
    return (
        fitted_law(values, [point.median_s for point in points]),
        fitted_law(values, [point.megabytes for point in points]),
    )


def measured_points(size: Size, repeat: int, console: Console) -> list[Point]:
    """A point for each value of each axis; equal settings are measured once."""
    found: dict[Setting, Point] = {}
    points = []
    with tempfile.TemporaryDirectory(prefix="capc-scaling-") as name:
        folder = Path(name)
        samples = folder / "samples.npy"
        most = max(size.batch) * size.queries
        levels = np.arange(most * _INPUTS, dtype=np.float32) % 251 / 250
        np.save(samples, levels.reshape(most, _INPUTS))
        for axis, setting in size.settings():
            if setting not in found:
                console.print(f"measuring {axis}: {setting}", style="dim", highlight=False)
                model = _model(folder, setting)
                found[setting] = _measured(setting, model, samples, size.queries, repeat)
            value = setting.weights if axis == "hidden" else getattr(setting, axis)
            points.append(replace(found[setting], axis=axis, value=value))
    return points


def _model(folder: Path, setting: Setting) -> Path:
    """A Keras file of two dense layers with random weights, made once for each shape."""
    path = folder / f"dense-{setting.hidden}-{setting.classes}.keras"
    if not path.exists():
        keras = load_keras()
        keras.utils.set_random_seed(1)
        layers = [
            keras.Input((_INPUTS,)),
            keras.layers.Dense(setting.hidden, activation="relu"),
            keras.layers.Dense(setting.classes),
        ]
        keras.Sequential(layers).save(path)
    return path


def _measured(setting: Setting, model: Path, samples: Path, queries: int, repeat: int) -> Point:
    flags = (
        f"--model_type={model}",
        f"--dataset_path={samples}",
        f"--batch_size={setting.batch}",
        f"--n_queries={setting.batch * queries}",
    )
    runs = [measured_run(n_parties=setting.parties, flags=flags) for _ in range(repeat)]
    # the tables give each query of a batch an equal part
    seconds = [setting.batch * found for run in runs for found in run.per_query(STEPS, _PHASES)][
        :: setting.batch
    ]
    p10, median, p90 = (float(value) for value in np.percentile(seconds, (10, 50, 90)))
    sent = float(np.median([run.sent_by_all() for run in runs])) * setting.batch
    return Point("", 0, len(seconds), median, p10, p90, sent / 1e6)


def _parser() -> Parser:
    parser = Parser(
        "capc scaling",
        description="Measure one query against the number of parties, of classes, the size of the "
        "model and the batch, fit a\nline to each, and say what 250 parties would take.",
        examples=["capc scaling --size=small", "make scaling SIZE=small"],
    )
    parser.add_argument(
        "--size", choices=sorted(SIZES), default="full", help="how many points (default: full)"
    )
    parser.add_argument(
        "--repeat", type=whole_number(1, 1000), default=1, help="runs of each point (default: 1)"
    )
    add_results_dir(parser, "results/scaling", "where tables, pictures and the page go")
    return parser
