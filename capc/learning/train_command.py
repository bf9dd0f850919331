"""`capc models`: train the parties' private models; see docs/models.md."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from capc.command_line import ExitStatus, Parser, run_command
from capc.data.own_data import title, with_absolute_path
from capc.files import place_to_write
from capc.learning.party_models import TrainedModel, TrainingPlan, train_party_models
from capc.progress import progress_bars


def main(arguments: Sequence[str] | None = None) -> int:
    """Train what is missing; returns the exit status."""
    chosen = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    console = Console()
    plan = TrainingPlan(
        n_parties=chosen.n_parties,
        dataset_name=with_absolute_path(chosen.dataset_name),
        model_type=chosen.model_type,
        checkpoint_dir=place_to_write(chosen.checkpoint_dir),
        seed=chosen.seed,
        epochs=chosen.epochs,
        shared=chosen.ignore_parties,
    )
    try:
        rows = _train(plan, console, force=chosen.force)
    except KeyboardInterrupt:
        sys.stderr.write("Finished models are kept; the next run trains the others.\n")
        raise
    console.print(_table(plan, rows))
    return ExitStatus.OK


def _train(plan: TrainingPlan, console: Console, *, force: bool) -> list[TrainedModel]:
    with progress_bars(console, unit="models") as bars:
        bar = bars.add("training", len(plan.parties))

        def report(place: int, epoch: int, epochs: int) -> None:
            what = f"training {plan.parties[place]}, epoch {epoch} of {epochs}"
            said = f"{what}; {place} of {len(plan.parties)} models done"
            bar.show(place + epoch / epochs, title=what, line=said)

        rows = train_party_models(plan, force=force, progress=report)
        bar.finish("trained")
    return rows


def _table(plan: TrainingPlan, rows: list[TrainedModel]) -> Table:
    table = Table(title=f"{plan.folder}: models of {title(plan.dataset_name)} (accuracy.csv)")
    for name in ("model", "examples", "epochs", "test accuracy", "seconds"):
        table.add_column(name, justify="right")
    for row in rows:
        accuracy = f"{100 * row.test_accuracy:.2f} %"
        table.add_row(
            row.file, str(row.train_examples), str(row.epochs), accuracy, f"{row.seconds:.1f}"
        )
    return table


def _parser() -> Parser:
    parser = Parser(
        "capc models",
        description="Train one model for each answering party, each on a shard of its own.",
        examples=["capc models --n_parties 3", "capc models --ignore_parties --epochs 14"],
    )
    parser.add_argument("--n_parties", type=int, default=1, help="models to train, default 1")
    parser.add_argument(
        "--dataset_name",
        "--dataset",
        default="mnist",
        help="a known one, or NAME=FILE.npz; default %(default)s",
    )
    parser.add_argument("--model_type", default="cryptonets-relu", help="default %(default)s")
    parser.add_argument("--checkpoint_dir", default="models/", help="default %(default)s")
    parser.add_argument("--seed", type=int, default=2, help="shards and first weights, default 2")
    parser.add_argument("--epochs", type=int, help="default: by the size of a shard, 8 to 30")
    parser.add_argument(
        "--ignore_parties",
        action="store_true",
        help="one model on the whole training set, <checkpoint_dir>/<model_type>.pb",
    )
    parser.add_argument("--force", action="store_true", help="train again what is there")
    return parser


if __name__ == "__main__":
    sys.exit(run_command(main))
