"""run.json without paths and names of the machine, and without what is private."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from capc.data.own_data import title

_RUN_FIELDS = (
    *("run_id", "start", "end", "exit_status", "privacy", "insecure", "answers", "refused"),
    *("complaints", "noise", "encryption_parameters", "seed", "qp_id", "num_threads", "machine"),
)
# Flags whose text names no file.
_WORDS = ("conversion", "gc_backend", "launcher", "link", "noise", "nonlinear")
_MACHINE = ("python", "platform", "cpu", "cores", "memory_bytes", "commit", "versions")
_LEARNING_FIELDS = ("workers", "stage", "stages", "peak_memory_mib")

Shown = tuple[dict[str, Any], list[str]]
"""What may be shown, and the names of the fields that were left out."""


def run_record(record: Mapping[str, Any]) -> Shown:
    """The record of `capc run`. A text is kept only where its field is known to name no file."""
    shown = {name: record[name] for name in _RUN_FIELDS if name in record}
    shown["machine"] = {name: record["machine"].get(name) for name in _MACHINE}
    flags, dropped_flags = _flags(record["flags"])
    shown["flags"] = flags
    if parties := record.get("parties"):
        shown["parties"] = {
            name: {"exit_status": party["exit_status"]} for name, party in parties.items()
        }
    if account := record.get("account"):
        shown["account"] = {name: account.get(name) for name in ("epsilon_before", "epsilon_after")}
    if isinstance(failure := record.get("failure"), Mapping):
        shown["failure"] = {"party": failure.get("party")}
    return shown, [*_dropped(record, shown), *(f"flags.{name}" for name in dropped_flags)]


def _flags(flags: Mapping[str, Any]) -> Shown:
    """Numbers, switches and the names of models and data sets; no paths, no users."""
    shown: dict[str, Any] = {}
    for name, value in flags.items():
        is_name = name == "model_type" and "/" not in str(value)
        if not isinstance(value, str) or name in _WORDS or is_name or value in ("inf", "-inf"):
            shown[name] = value
        elif name == "dataset_name":
            shown[name] = title(value)
    return shown, _dropped(flags, shown)


def _dropped(fields: Mapping[str, Any], shown: Mapping[str, Any]) -> list[str]:
    return [name for name, value in fields.items() if name not in shown and value is not None]


def learning_record(record: Mapping[str, Any]) -> Shown:
    """The record of `capc learn`."""
    shown = {name: record[name] for name in _LEARNING_FIELDS if name in record}
    experiment = dict(record["experiment"])
    experiment["dataset"] = title(experiment["dataset"])
    if machine := record.get("machine"):
        shown["machine"] = {name: machine.get(name) for name in _MACHINE}
    shown["experiment"] = experiment
    return shown, _dropped(record, shown)
