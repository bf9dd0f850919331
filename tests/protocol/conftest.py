"""The fixtures of these tests."""

from protocol_runs import run_protocol

__all__ = ["run_protocol"]
