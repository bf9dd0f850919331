"""What `capc run` is told of an experiment's privacy and labels."""

from __future__ import annotations

import math

from capc.learning.experiment import Privacy
from capc.privacy.voting_rules import VotingRule


def limit(privacy: Privacy) -> float | None:
    """epsilon of the budget; without noise on the labels it is infinite anyway, and no limit."""
    return None if privacy.sigma == 0.0 else privacy.epsilon


def privacy_flags(privacy: Privacy) -> list[str]:
    """The vote's noise, threshold and budget."""
    flags = [f"--sigma={privacy.sigma}", f"--delta={privacy.delta}"]
    flags.append(f"--conversion={privacy.conversion}")
    most = limit(privacy)
    flags.append(f"--epsilon={math.inf if most is None else most}")
    if privacy.distributed:
        flags += ["--noise=distributed", f"--colluding={privacy.colluding}"]
    if privacy.threshold is not None:
        flags.append(f"--threshold={privacy.threshold}")
        if not privacy.distributed:
            flags.append(f"--sigma_threshold={privacy.sigma_threshold}")
    return flags


def label_flags(rule: VotingRule) -> list[str]:
    """How several labels a sample are voted on; nothing for one class a sample."""
    if not rule.multi_label:
        return []
    most = [] if rule.max_labels is None else [f"--max_labels={rule.max_labels}"]
    return ["--task=multi-label", f"--voting={rule.voting}", *most]
