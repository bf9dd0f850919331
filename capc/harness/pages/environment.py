"""The machine on which the figures of a page were measured, and how to measure them again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from capc.console import bytes_text
from capc.harness.pages.markup import Markup, element, section, table


def environment_table(machine: Mapping[str, Any]) -> Markup:
    """Processor, memory, system and packages, as `capc.harness.rundir.machine` gives them."""
    versions = ", ".join(
        f"{name} {version}" for name, version in (machine.get("versions") or {}).items() if version
    )
    memory = machine.get("memory_bytes")
    rows: list[tuple[str, object]] = [
        ("processor", f"{machine.get('cpu')}, {machine.get('cores')} cores"),
        ("memory", "unknown" if memory is None else bytes_text(memory)),
        ("system", element("span", machine.get("platform"), class_="long")),
        ("Python", machine.get("python")),
        ("commit", element("span", machine.get("commit") or "unknown", class_="long")),
        ("packages", versions),
    ]
    return table(("what", "value"), rows)


def repeat_section(machine: Mapping[str, Any], *command: Markup) -> Markup:
    """The last section of a page: the machine, then the command and notes on it."""
    title = "Environment, and the command to repeat it"
    return section(title, environment_table(machine), *command)
