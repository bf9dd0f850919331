"""The fixtures of these tests."""

from tmux_servers import tmux_server

__all__ = ["tmux_server"]
