"""A smaller form of an experiment: everything that takes time shrinks by one factor."""

from __future__ import annotations

from dataclasses import replace

from capc.errors import ConfigError
from capc.learning.experiment import Experiment, Privacy, SweepPoint, Training

_FEWEST_ANSWERING = 3


def scaled_down(experiment: Experiment, scale: float) -> Experiment:
    """The experiment with `scale` (0 to 1] of its parties, epochs, queries and repetitions.

    A party keeps the number of examples that it has in the whole experiment. Noise and thresholds
    shrink with the parties, so that as large a share of the votes is needed and as large a share
    of the queries is answered. Less noise costs more ε: the budget grows by 1 / `scale`, and so
    such a run is a rehearsal, with less privacy. Raises ConfigError for another scale.
    """
    if not 0.0 < scale <= 1.0:
        raise ConfigError(f"--scale is {scale:g}; give a number above 0 and at most 1")
    if scale == 1.0:
        return experiment
    querying = experiment.querying_parties
    fewest = querying + _FEWEST_ANSWERING

    def part(count: int, least: int = 1) -> int:
        return min(count, max(least, round(count * scale)))

    def shorter(training: Training | None) -> Training | None:
        return training and replace(training, epochs=part(training.epochs))

    def point(of: SweepPoint) -> SweepPoint:
        parties = part(of.parties, fewest)
        shrunk = parties / of.parties
        threshold = None if of.threshold is None else max(1, round(of.threshold * shrunk))
        return SweepPoint(parties, of.sigma * shrunk, threshold, of.sigma_threshold * shrunk)

    privacy = experiment.privacy
    whole = SweepPoint(
        experiment.parties, privacy.sigma, privacy.threshold, privacy.sigma_threshold
    )
    here = point(whole)
    points = {small.parties: small for small in map(point, experiment.sweep)}
    return replace(
        experiment,
        name=f"{experiment.name}-scale-{scale:g}",
        parties=here.parties,
        training=shorter(experiment.training) or experiment.training,
        retraining=shorter(experiment.retraining),
        pooled=shorter(experiment.pooled),
        pool=part(experiment.pool, querying),
        queries=None if experiment.queries is None else part(experiment.queries),
        examples_per_party=experiment.share,
        privacy=_with_noise(privacy, here, scale),
        retraining_seeds=part(experiment.retraining_seeds),
        sweep=tuple(points.values()),
    )


def _with_noise(privacy: Privacy, point: SweepPoint, scale: float) -> Privacy:
    return replace(
        privacy,
        sigma=point.sigma,
        threshold=point.threshold,
        sigma_threshold=point.sigma_threshold,
        epsilon=None if privacy.epsilon is None else privacy.epsilon / scale,
    )
