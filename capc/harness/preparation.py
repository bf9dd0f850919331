"""What a run and an estimate do alike before any party starts: models and queries, checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from capc.graph.agreement import Agreed
from capc.graph.layers import Network
from capc.harness.account import AccountBefore, account_before
from capc.harness.cautions import cautions
from capc.harness.constants import agreed_models, agreement_remarks
from capc.harness.models import model_files, prepared_models
from capc.harness.queries import Queries, data_range, load_queries, range_remark
from capc.harness.remarks import Remark
from capc.harness.settings import Settings, with_classes, with_range
from capc.harness.suitability import data_warnings, noise_warnings
from capc.harness.verify import check_models, check_shapes
from capc.inference.costs import LayerCost
from capc.roles import GUARDIAN


class Say(Protocol):
    """Shows a line, in a style of its own where it is a warning."""

    def __call__(self, text: str, style: str = "") -> None:
        """Show it."""


@dataclass(frozen=True, eq=False)
class Preparation:
    """All that is known before any party starts.

    `settings` now has the range of values and the classes; `files` are the prepared models of the
    answering parties, in order, `originals` their networks as they were trained and `agreed` those
    that run, with their constants. `account_before`: None without an account. `costs` are a query's
    at each answering party; there are none without encryption.
    """

    settings: Settings
    queries: Queries
    files: Sequence[Path]
    originals: Sequence[Network]
    agreed: Agreed
    account_before: AccountBefore | None
    remarks: Sequence[Remark]
    costs: Sequence[LayerCost]


def prepare(settings: Settings, say: Say) -> Preparation:
    """Find the models, or train them, and check all; CapcError for what cannot run.

    Says what the user should know of flags, models, data and noise.
    """
    for caution in cautions(settings):
        say(caution, "yellow")
    before = None if settings.account_here is None else account_before(settings.privacy)
    if before is not None:
        say(f"account {settings.privacy.account}: {before}")
    elif settings.privacy.account is not None and settings.hosts is not None:
        host = settings.hosts[GUARDIAN].host
        say(f"account {settings.privacy.account}: on the guardian's host, {host}")
    input_range = data_range(settings)
    if (assumed := range_remark(settings, input_range)) is not None:
        say(assumed)
    settings = with_range(settings, input_range)
    models = prepared_models(settings, model_files(settings, say), say)
    shape, classes = models.originals[0].input.shape, models.originals[0].output.shape[0]
    classes = settings.num_classes or classes
    settings = with_classes(settings, classes)
    queries = load_queries(settings, tuple(shape))
    check_shapes(models.originals, queries, classes)
    agreed = agreed_models(settings, models, queries.input_range)
    checked = check_models(agreed.networks, queries, settings, models.originals, agreed.agreements)
    remarks = [
        *agreement_remarks(agreed, settings),
        *checked.remarks,
        *data_warnings(models.originals, settings),
        *map(Remark, noise_warnings(settings)),
    ]
    for remark in remarks:
        say(remark.shown, "yellow" if remark.is_warning else "")
    return Preparation(
        *(settings, queries, models.files, models.originals, agreed, before),
        remarks=remarks,
        costs=checked.costs,
    )
