"""The fixtures of these tests."""

from forked_parties import forked_parties, forks
from prepared_here import prepare_here
from protocol_runs import run_as_users_do, run_protocol

__all__ = ["forked_parties", "forks", "prepare_here", "run_as_users_do", "run_protocol"]
