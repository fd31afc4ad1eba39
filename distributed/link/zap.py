"""Who may connect: ZeroMQ asks before it admits a CURVE key (ZAP, RFC 27), and we answer from the list of workers.

Without a handler CURVE encrypts and admits any key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

import gevent
import zmq.green as zmq
from zmq.utils import z85

from distributed.link.keys import fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ADDRESS: Final = "inproc://zeromq.zap.01"
DOMAIN: Final = b"loadproof"


class Doorkeeper:
    """Answers ZeroMQ's questions until closed; an admitted connection's messages carry the worker as User-Id."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        workers: Mapping[str, bytes],
        refused: Callable[[str, str], None],
    ) -> None:
        """Call `refused(address, what)` for each key that is turned away."""
        self._workers = {z85.decode(public): worker for worker, public in workers.items()}
        self._refused = refused
        self._socket = context.socket(zmq.REP)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.bind(ADDRESS)
        self._answering = gevent.spawn(self._answer)

    def close(self) -> None:
        self._answering.kill()
        # Closing alone would free the address only some time later.
        self._socket.unbind(ADDRESS)
        self._socket.close()

    def _answer(self) -> NoReturn:
        while True:
            version, request, domain, address, _identity, mechanism, *credentials = (
                self._socket.recv_multipart()
            )
            worker = None
            if (domain, mechanism, len(credentials)) == (DOMAIN, b"CURVE", 1):
                worker = self._workers.get(credentials[0])
            if worker is not None:
                self._socket.send_multipart([version, request, b"200", b"OK", worker.encode(), b""])
                continue
            self._socket.send_multipart([version, request, b"400", b"unknown key", b"", b""])
            what = f"key {fingerprint(z85.encode(credentials[0]))}" if mechanism == b"CURVE" else "no key"
            self._refused(address.decode("ascii", "replace"), what)
