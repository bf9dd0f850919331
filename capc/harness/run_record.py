"""The first entries of run.json: what was asked for, on which machine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from capc.graph.agreement import Agreement
from capc.harness.account import AccountBefore
from capc.harness.constants import constants_record
from capc.harness.rundir import machine, now
from capc.harness.settings import Settings
from capc.harness.suitability import noise_record


def run_record(
    settings: Settings, run_id: str, before: AccountBefore | None, agreements: Sequence[Agreement]
) -> dict[str, Any]:
    """What run.json says when the run starts.

    `before` is what the account of --account held, None without one; `agreements` are the models'
    constants, in order, none where each has those of its own alone.
    """
    switches = settings.insecure_switches
    privacy = settings.privacy
    account: dict[str, Any] = {}
    if before is not None:
        held = {"epsilon_before": before.epsilon, "other_rule_before": before.other_rule}
        account = {"account": {"file": privacy.account, "owners": privacy.owners, **held}}
    return {
        **account,
        "run_id": run_id,
        "noise": noise_record(settings),
        "start": now(),
        "flags": settings.flags,
        "dataset_path": None if settings.dataset_path is None else str(settings.dataset_path),
        "encryption_parameters": settings.encryption_parameters.to_fields(),
        "seed": settings.seed,
        "user": settings.user,
        "qp_id": settings.qp_id,
        "num_threads": settings.num_threads,
        "constants": constants_record(agreements),
        "insecure": switches.split("+") if switches else [],
        "exit_status": None,
        "machine": machine(),
        "monotonic_start": time.monotonic(),
    }
