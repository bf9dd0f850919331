"""The fixtures of these tests."""

from forked_parties import forked_parties, forks
from tmux_servers import tmux_server

__all__ = ["forked_parties", "forks", "tmux_server"]
