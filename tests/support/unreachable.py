"""Places to which no connection comes about."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def full_backlog() -> Iterator[str]:
    """The URL of a socket that listens and whose queue is full: no connection to it comes about."""
    with contextlib.ExitStack() as open_sockets:
        listening = open_sockets.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        address = listening.getsockname()
        for _ in range(4):
            waiting = open_sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(address)
        yield f"http://127.0.0.1:{address[1]}"


_bound: list[socket.socket] = []


def closed_port() -> int:
    """A port on which nothing listens, nor will: it is taken, by a socket that does not listen."""
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    _bound.append(taken)
    return int(taken.getsockname()[1])
