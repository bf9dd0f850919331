"""Whom a party connects to, or hears from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Peer:
    """Where a party listens (no port: it does not) and the certificate it will present, PEM."""

    name: str
    host: str
    port: int | None
    certificate: str
