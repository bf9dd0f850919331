"""The fixtures of these tests."""

from forked_parties import forked_parties, forks
from prepared_here import prepare_here
from tmux_servers import tmux_server

__all__ = ["forked_parties", "forks", "prepare_here", "tmux_server"]
