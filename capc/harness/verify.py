"""The experimenter's check after a run: what the same models say in the clear.

The experimenter holds every model and query; no party does. The fixed-point reference is exact:
with the noise off, or opened by --verify, the protocol's label must equal it. What is found tells
of votes without noise: it belongs to the run's private folder, and only yes or no is shown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from capc.data.fitting import fitted
from capc.errors import ConfigError
from capc.fixed_point import VOTE_BITS, FixedPoint, Float64, Int64, modulo
from capc.graph.agreement import Agreement, with_agreement
from capc.graph.float_reference import evaluate_float
from capc.graph.layers import Network, QuantizedNetwork
from capc.graph.ring_choice import to_ring, why_fewer_bits, why_vanishing
from capc.graph.scaling import in_ring
from capc.harness.expectations import expectations
from capc.harness.queries import Queries
from capc.harness.recorder import Results
from capc.harness.remarks import Remark
from capc.harness.settings import Settings
from capc.inference.arrangement import arranged
from capc.inference.costs import LayerCost, at_once, query_costs, total_cost
from capc.inference.precision import why_imprecise
from capc.inference.reference import evaluate
from capc.machine import memory_bytes
from capc.parties.config import PrivacySettings
from capc.privacy.distributed import UNITS, party_sigma
from capc.privacy.voting_rules import VotingRule
from capc.roles import GUARDIAN, QUERYING, answering

_NEGLIGIBLE = 2.0**-60
_TRIED_QUERIES = 5
_IMPRECISE = (
    "its precision is low, so that labels may differ from the float model's: calibrate on public "
    "examples (--calibration), or train with larger weights, or with Relu6 for ReLU"
)


@dataclass(frozen=True)
class Check:
    """One query in the clear; None where it cannot be known.

    `float_label`: the float models' vote, no noise; `integer_label`: that of the fixed-point
    reference. `agrees`: the run equals the fixed-point reference, bit for bit. `max_logit_error`:
    the reference's largest distance to the floats.
    """

    float_label: int
    agrees: bool | None
    max_logit_error: float | None
    integer_label: int | None = None


@dataclass(frozen=True)
class CheckedModels:
    """What the user should know of the models, and a query's total cost at each answering party.

    There are no `costs` without encryption.
    """

    remarks: Sequence[Remark]
    costs: Sequence[LayerCost]


def check_shapes(networks: Sequence[Network], queries: Queries, num_classes: int) -> None:
    """Raise ConfigError where a party's network takes other inputs, or gives other classes."""
    for index, network in enumerate(networks):
        try:
            fitted(queries.images[:1], tuple(network.input.shape))
        except ConfigError:
            raise ConfigError(
                f"the model of answering party {index} takes inputs of shape "
                f"{tuple(network.input.shape)}, the queries have {queries.images.shape[1:]}: name "
                "another --dataset_name, --dataset_path or model"
            ) from None
        if tuple(network.output.shape) != (num_classes,):
            raise ConfigError(
                f"the model of answering party {index} gives {network.output.shape[0]} logits, and "
                f"--num_classes is {num_classes}: give --num_classes {network.output.shape[0]}, or "
                "name another model"
            )


def check_models(
    networks: Sequence[Network],
    queries: Queries,
    settings: Settings,
    floats: Sequence[Network] | None = None,
    agreements: Sequence[Agreement] | None = None,
) -> CheckedModels:
    """Raise before any party starts where a model does not fit its ring or the parameters.

    Or where its integers would give other labels. Remarks on each model that gets fewer fractional
    bits than usual, is off with them, or gives other labels than the float model it was made of
    (`floats`, where calibration or clipping changed it), and what a run is expected to cost where
    that is much. `agreements` are the models' constants; None: each alone.
    """
    if settings.calibration is not None:
        settings.calibration.require_range(networks[0].input.shape)
    said: list[Remark] = []
    costs: dict[int, LayerCost] = {}
    together = [settings.batch_size]
    rule = settings.rule(networks[0].output.shape[0])
    for network in {id(network): network for network in networks}.values():
        place = next(k for k, other in enumerate(networks) if other is network)
        if agreements is None:
            integers = to_ring(network, queries.input_range, settings.max_logit, terms=rule.terms)
        else:
            integers = with_agreement(network, agreements[place], queries.input_range)
        if not settings.unencrypted:
            costs[id(network)], fitting = _expected(integers, settings, len(networks))
            together.append(fitting)
        found = _doubts(network, integers, (floats or networks)[place], queries, rule)
        if found:
            said.append(Remark(f"WARNING: answering party {place}: {_IMPRECISE}", "; ".join(found)))
    if settings.unencrypted:
        return CheckedModels(said, [])
    totals = [costs[id(network)] for network in networks]
    expected = expectations(totals, min(together), settings.timeout_seconds, memory_bytes())
    return CheckedModels(said + [Remark(line) for line in expected], totals)


def _expected(
    integers: QuantizedNetwork, settings: Settings, parties: int
) -> tuple[LayerCost, int]:
    """What a query to such a model costs, and how many of a batch run at a time."""
    evaluated = arranged(integers, settings.nonlinear)
    transfers = settings.nonlinear.transfers(evaluated)
    each = query_costs(
        *(evaluated, settings.encryption_parameters),
        transfers=transfers,
        link=settings.nonlinear.link,
    )
    return total_cost(each), at_once(evaluated, settings.batch_size, parties, transfers)


def _doubts(
    network: Network,
    integers: QuantizedNetwork,
    original: Network,
    queries: Queries,
    rule: VotingRule,
) -> list[str]:
    """Why the integers may give other labels than `original`, the float model as it was trained."""
    reasons = [
        why_fewer_bits(network, queries.input_range, integers.fixed_point),
        why_vanishing(network, queries.input_range, integers.fixed_point),
        why_imprecise(network, integers),
    ]
    found = [reason for reason in reasons if reason is not None]
    if found or original is not network:
        found += _tried(integers, original, queries, rule)
    return found


def _tried(
    integers: QuantizedNetwork, original: Network, queries: Queries, rule: VotingRule
) -> list[str]:
    """A sentence where the integers give other labels than the float model on the first queries."""
    images = fitted(queries.images[:_TRIED_QUERIES], tuple(original.input.shape))
    found = rule.votes(evaluate(integers, images))
    differ = int(np.sum(np.any(found != rule.votes(evaluate_float(original, images)), axis=1)))
    if not differ:
        return []
    return [
        f"the protocol's integers give another label than the float model for {differ} of the "
        f"{len(images)} queries tried: the precision is too low"
    ]


def noise_is_off(
    privacy: PrivacySettings,
    classes: int,
    queries: int,
    parties: int = 1,
    fewest: int | None = None,
) -> bool:
    """Whether all noise is zero, but for a probability below 2^-60."""
    draws = (classes + 1) * max(queries, 1)
    scales = [privacy.sigma] + ([privacy.sigma_threshold] if privacy.threshold is not None else [])
    if privacy.distributed:
        draws *= parties
        scales = [party_sigma(privacy.sigma, fewest or parties, privacy.colluding)]
    # Pr[discrete Gaussian != 0] < 2 * sum_k exp(-k^2 / 2 sigma^2) < 4 exp(-1 / 2 sigma^2)
    return all(
        scale == 0 or (scale < 1 and draws * 4 * math.exp(-0.5 / scale / scale) < _NEGLIGIBLE)
        for scale in scales
    )


def check_run(
    networks: Sequence[Network],
    queries: Queries,
    results: Results,
    privacy: PrivacySettings,
    floats: Sequence[Network] | None = None,
    *,
    rule: VotingRule | None = None,
    fewest: int | None = None,
) -> dict[int, Check]:
    """Every answered or unanswered query of a run against the models in the clear.

    `rule`: how they vote, by default for one class of as many as there are logits.
    `floats` are the models as they were trained, where the `networks` that ran are calibrated.
    `fewest` parties may answer a query, by default all: it is compared with the votes of those who
    did.
    """
    numbers = sorted(results.answers)
    if not numbers:
        return {}
    clear = _evaluate(networks, floats or networks, queries, numbers, results.plans)
    rule = rule or VotingRule("plurality", clear.floats.shape[2])
    certain = noise_is_off(privacy, rule.counts, len(numbers), len(networks), fewest)
    checks = {}
    for place, query in enumerate(numbers):
        voters = _voters(results, query, len(networks))
        float_label = _label(rule, clear.floats[voters, place])
        if clear.exact is None or clear.decoded is None:
            checks[query] = Check(float_label, None, None)
            continue
        error = float(np.max(np.abs(clear.decoded[:, place] - clear.floats[:, place])))
        units = UNITS if privacy.distributed else 1
        reference = _Reference(query, voters, clear.exact[voters, place], results, rule, units)
        integer_label = _label(rule, reference.logits)
        checks[query] = Check(float_label, reference.agrees(privacy, certain), error, integer_label)
    return checks


def _voters(results: Results, query: int, parties: int) -> list[int]:
    """The places of the parties whose votes a query's answer counts."""
    named = results.answers[query].voters
    return [place for place in range(parties) if named is None or answering(place) in named]


@dataclass(frozen=True, eq=False)
class _Clear:
    """Logits (parties, queries, classes): of the float models, as integers, and as those decode."""

    floats: Float64
    exact: Int64 | None
    decoded: Float64 | None


def _evaluate(
    networks: Sequence[Network],
    originals: Sequence[Network],
    queries: Queries,
    numbers: Sequence[int],
    plans: Mapping[str, FixedPoint],
) -> _Clear:
    """Parties that share a model share its evaluation."""
    images = queries.images[list(numbers)]
    floats: dict[int, Float64] = {}
    exact: dict[tuple[int, FixedPoint], tuple[Int64, Float64]] = {}
    for party, (network, original) in enumerate(zip(networks, originals, strict=True)):
        if id(original) not in floats:
            floats[id(original)] = evaluate_float(
                original, fitted(images, tuple(original.input.shape))
            )
        plan = plans.get(answering(party))
        if plan is not None and (id(network), plan) not in exact:
            quantized = in_ring(network, plan, queries.input_range)
            logits = evaluate(quantized, fitted(images, tuple(network.input.shape)))
            exact[id(network), plan] = logits, quantized.model_logits(logits)
    all_floats = np.stack([floats[id(network)] for network in originals])
    if any(answering(party) not in plans for party in range(len(networks))):
        return _Clear(all_floats, None, None)
    rows = [exact[id(network), plans[answering(i)]] for i, network in enumerate(networks)]
    return _Clear(
        all_floats, np.stack([row[0] for row in rows]), np.stack([row[1] for row in rows])
    )


def _votes(rule: VotingRule, logits: Float64 | Int64) -> Int64:
    """The counts of logits (parties, classes); a tie goes to the lowest class."""
    total: Int64 = rule.votes(logits).sum(axis=0, dtype=np.int64)
    return total


def _label(rule: VotingRule, logits: Float64 | Int64) -> int:
    """What the parties with these logits answer without noise."""
    return int(rule.answers(_votes(rule, logits)[np.newaxis], len(logits))[0])


@dataclass(frozen=True, eq=False)
class _Reference:
    """The fixed-point logits (voters, classes) of one query, beside what the run brought."""

    query: int
    voters: Sequence[int]
    logits: Int64
    results: Results
    rule: VotingRule
    units: int = 1  # what a vote counts

    def agrees(self, privacy: PrivacySettings, certain: bool) -> bool | None:
        """Whether label and opened shares are the reference's; None when noise hides it."""
        votes = _votes(self.rule, self.logits)
        opened = self._opened_agree(votes)
        if opened is False:
            return False
        noise = self._drawn(privacy)
        threshold_noise = self._opened(GUARDIAN, "threshold_noise")
        if noise is None and not certain:
            return opened
        drawn = np.zeros_like(votes) if noise is None else noise
        if drawn.shape != votes.shape:
            return False
        top = drawn if privacy.distributed else np.zeros_like(votes)
        if threshold_noise is not None:
            top = top + int(threshold_noise[0])
        answer = self.results.answers[self.query]
        return self._expected(votes, drawn, top, privacy.threshold) == (
            answer.label if answer.answered else None
        )

    def _expected(
        self, votes: Int64, noise: Int64, top_noise: Int64, threshold: int | None
    ) -> int | None:
        """Step 3 in the clear: the label, or None when the threshold is not reached.

        Noise on the counts and on their comparison with the threshold are in `units` of a vote.
        """
        counts = self.units * votes
        if threshold is not None and int((counts + top_noise).max()) < self.units * threshold:
            return None
        voters = self.units * len(self.logits)
        return int(self.rule.answers((counts + noise)[np.newaxis], voters)[0])

    def _drawn(self, privacy: PrivacySettings) -> Int64 | None:
        """The noise on the counts: the guardian's, or the sum of what the parties drew."""
        if not privacy.distributed:
            return self._opened(GUARDIAN, "noise")
        parts = [self._opened(answering(party), "noise") for party in self.voters]
        known = [part for part in parts if part is not None]
        if len(known) < len(parts) or len({part.shape for part in known}) > 1:
            return None
        total: Int64 = np.sum(known, axis=0, dtype=np.int64)
        return total

    def _opened_agree(self, votes: Int64) -> bool | None:
        """Whether opened shares add up to the reference; None when nothing was opened."""
        total = np.zeros_like(votes)
        for party, expected in zip(self.voters, self.logits, strict=True):
            logits = self._pair(answering(party), "logit_share")
            one_hot = self._pair(answering(party), "vote_share")
            if logits is None or one_hot is None:
                return None
            if one_hot.shape != votes.shape:
                return False
            fixed_point = self.results.plans[answering(party)]
            if not np.array_equal(fixed_point.signed(fixed_point.reduce(logits)), expected):
                return False
            total += modulo(VOTE_BITS, one_hot)
        return bool(np.array_equal(total, self.units * votes))

    def _pair(self, party: str, name: str) -> Int64 | None:
        """The sum of the two shares that an answering party and the querying party opened."""
        theirs, ours = self._opened(party, name), self._opened(QUERYING, name, party)
        if theirs is None or ours is None or theirs.shape != ours.shape:
            return None
        return theirs + ours

    def _opened(self, party: str, name: str, peer: str | None = None) -> Int64 | None:
        values = self.results.opened.get((self.query, party, name, peer))
        return None if values is None else np.asarray(values, dtype=np.int64)
