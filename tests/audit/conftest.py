"""The fixtures of these tests."""

from forked_parties import forks

__all__ = ["forks"]
