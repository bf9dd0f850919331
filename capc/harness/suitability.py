"""Whether models, data and noise suit each other, said before a run starts."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from capc.data.datasets import dataset_info
from capc.data.fitting import fitted
from capc.data.suspicions import classes_suspicion, range_suspicion
from capc.fixed_point import Float64, Int64
from capc.graph.float_reference import evaluate_float
from capc.graph.layers import Network
from capc.harness.queries import are_scaled, labelled_examples, origin_of
from capc.harness.remarks import Remark
from capc.harness.settings import Settings
from capc.parties.config import PrivacySettings
from capc.privacy.distributed import UNITS, excess_text, log_excess, total_sigma
from capc.privacy.voting_rules import VotingRule

_SECONDS = 3.0  # what looking at all models together may take
_WIDEST = 1e5  # of a noise that leaves nothing of any vote
_SWAMPED, _SURE = 0.9, 0.9995
_FEW_RIGHT = (
    "few of its labels are right on labelled examples: it may want another range of values "
    "(--input_range LOW HIGH, and samples in it), other data or other classes"
)


def data_warnings(networks: Sequence[Network], settings: Settings) -> list[Remark]:
    """A warning for each model that fits the labelled data badly: its classes, or its range."""
    if settings.multi_label:
        return []  # these signs are known for one class a sample alone
    shape = tuple(networks[0].input.shape)
    examples = labelled_examples(settings, shape)
    if examples is None or examples.labels is None:
        return []
    labels, scales = np.array(examples.labels, dtype=np.int64), are_scaled(settings)
    until = time.monotonic() + _SECONDS
    said: list[Remark] = []
    for network in {id(network): network for network in networks}.values():
        party, classes = networks.index(network), network.output.shape[0]
        known = int(labels.max()) + 1
        if settings.dataset_path is None:
            known = dataset_info(settings.dataset_name).num_classes
        who = f"WARNING: answering party {party}:"
        if (reason := classes_suspicion(classes, known, origin_of(settings))) is not None:
            said.append(Remark(f"{who} {reason}"))
            continue
        if (left := until - time.monotonic()) > 0:
            samples = fitted(examples.images, tuple(network.input.shape)).astype(np.float64)
            reason = range_suspicion(
                lambda values, model=network: evaluate_float(model, values).argmax(axis=1),  # type: ignore[misc]
                *(samples, labels, classes, examples.input_range),
                scales=scales,
                seconds=left,
            )
        if reason is not None:
            said.append(Remark(f"{who} {_FEW_RIGHT}", reason))
    return said


def noise_warnings(settings: Settings) -> list[str]:
    """What the noise leaves of a unanimous vote, where that is not all."""
    parties, privacy = settings.n_parties, settings.privacy
    rule = settings.rule(settings.num_classes or 2)
    if rule.by_label:
        return _label_noise_warnings(rule, parties, privacy.sigma)
    classes, said = rule.counts, []
    if privacy.distributed:
        said.append(
            f"noise: each of {parties} answering parties draws its part, and that of any "
            f"{settings.fewest - privacy.colluding} is enough; that their sum is not quite a "
            f"discrete Gaussian adds {_excess(settings)} to what a query costs"
        )
    seen = label_sigma(privacy, parties, settings.fewest)
    right = unanimous_accuracy(parties, classes, seen)
    if right < _SWAMPED:
        said.append(
            f"WARNING: noise of scale {seen:.4g} swamps {parties} votes: even a unanimous "
            f"vote gives its label in {right:.0%} of queries (chance: {1 / classes:.0%}); more "
            "parties or a smaller --sigma help"
        )
    elif right < _SURE:
        said.append(
            f"expected: with noise of scale {seen:.4g}, a unanimous vote of {parties} gives "
            f"its label in {right:.1%} of queries, a divided one in fewer"
        )
    reached = unanimous_answers(parties, privacy, classes, fewest=settings.fewest)
    if reached < _SURE and (privacy.threshold or 0) <= parties:
        said.append(
            f"expected: {reached:.1%} of unanimous queries reach --threshold {privacy.threshold}; "
            "the others are not answered"
        )
    return said


def _label_noise_warnings(rule: VotingRule, parties: int, sigma: float) -> list[str]:
    """The same where each label is decided by itself."""
    values, chances = _discrete_gaussian(sigma)
    each = float(np.sum(chances[parties + values > rule.majority(parties)]))
    if each >= _SURE:
        return []
    level = "WARNING" if each < _SWAMPED else "expected"
    return [
        f"{level}: with noise of scale {sigma:.4g} on each of {rule.counts} label counts, a label "
        f"for which all {parties} parties vote is given in {each:.1%} of queries"
    ]


def noise_record(settings: Settings) -> dict[str, Any]:
    """Who draws the noise, and at which scale in votes, for run.json."""
    privacy, parties = settings.privacy, settings.n_parties
    said: dict[str, Any] = {
        "source": privacy.noise,
        "sigma": privacy.sigma,
        "label_sigma": label_sigma(privacy, parties, settings.fewest),
    }
    if privacy.distributed:
        said |= {
            "colluding": privacy.colluding,
            "counted_parties": settings.fewest - privacy.colluding,
            "excess_per_query": _excess(settings),
        }
    return said


def _excess(settings: Settings) -> str:
    privacy = settings.privacy
    return excess_text(log_excess(privacy.sigma, settings.fewest, privacy.colluding))


def label_sigma(privacy: PrivacySettings, parties: int, fewest: int | None = None) -> float:
    """The scale in votes of the noise that the labels see: where parties draw it, of all parts.

    `fewest` of them may answer a query, by default all.
    """
    if not privacy.distributed:
        return privacy.sigma
    return total_sigma(privacy.sigma, parties, privacy.colluding, fewest)


def unanimous_accuracy(parties: int, classes: int, sigma: float) -> float:
    """How often all votes for one class still win after noise; half of the ties are lost."""
    values, chances = _discrete_gaussian(sigma)
    below = np.concatenate([[0.0], np.cumsum(chances)])  # below[i]: a draw is less than values[i]
    place = np.arange(len(values)) + parties
    less = below[np.minimum(place, len(values))] ** (classes - 1)
    least = below[np.minimum(place + 1, len(values))] ** (classes - 1)
    return float(np.sum(chances * (less + least) / 2))


def unanimous_answers(
    parties: int, privacy: PrivacySettings, classes: int = 2, *, fewest: int | None = None
) -> float:
    """How often all votes for one class reach the threshold; 1 without one."""
    if privacy.threshold is None:
        return 1.0
    if not privacy.distributed:
        values, chances = _discrete_gaussian(privacy.sigma_threshold)
        return float(np.sum(chances[parties + values >= privacy.threshold]))
    # In units of a vote's part; the other counts, 0 votes each, may reach the threshold too.
    values, chances = _discrete_gaussian(UNITS * label_sigma(privacy, parties, fewest))
    below = [
        float(np.sum(chances[UNITS * votes + values < UNITS * privacy.threshold]))
        for votes in (parties, 0)
    ]
    return 1.0 - below[0] * below[1] ** (classes - 1)


def _discrete_gaussian(sigma: float) -> tuple[Int64, Float64]:
    """Values and their probabilities, out to 10 sigma."""
    scale = min(sigma, _WIDEST)
    reach = math.ceil(10 * scale)
    values = np.arange(-reach, reach + 1)
    chances = np.exp(-0.5 * (values / max(scale, 1e-9)) ** 2)
    return values, chances / chances.sum()
