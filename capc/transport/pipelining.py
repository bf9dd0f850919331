"""Requests under way: the next ones go out before the first is answered."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

WINDOW_BYTES = 4 << 20
"""Of requests that are not answered yet, but for the last. A channel's peer takes in so many while
it sends answers (capc.transport.read_ahead), so that neither can wait for the other for ever. More
than a line of 100 Mbit/s holds within 300 ms."""


def pipelined(
    count: int,
    ask: Callable[[int], int],
    take: Callable[[int], None],
    *,
    needs: Callable[[int], int] = lambda _: -1,
    window_bytes: int = WINDOW_BYTES,
) -> None:
    """`ask(i)` sends request i and gives its size in bytes, `take(i)` receives the answer to it.

    Request i may depend on answer `needs(i)` < i, and on those before; -1 is none.
    """
    sizes: deque[int] = deque()
    asked, unanswered = 0, 0
    for taken in range(count):
        while asked < count and needs(asked) < taken and unanswered < window_bytes:
            sizes.append(ask(asked))
            unanswered += sizes[-1]
            asked += 1
        take(taken)
        unanswered -= sizes.popleft()
