"""The parties of a run, their modules, and the steps and phases of a query."""

from __future__ import annotations

import re

QUERYING = "querying"
ANSWERING = "answering"
GUARDIAN = "guardian"
MODULES = {
    QUERYING: "capc.parties.querying_party",
    ANSWERING: "capc.parties.answering_party",
    GUARDIAN: "capc.parties.privacy_guardian",
}
"""By role, the module whose `main` is the party."""

STEPS = ("1a", "1b", "1c", "2", "3")
PHASES = ("setup", "offline", "online")

PARTY_NAME = re.compile(r"querying|guardian|answering-(?:0|[1-9][0-9]{0,3})")


def answering(index: int) -> str:
    """The name of answering party `index`."""
    return f"{ANSWERING}-{index}"


def role_of(name: str) -> str:
    """The role of the party called `name`."""
    return name.partition("-")[0]
