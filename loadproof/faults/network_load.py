"""`network_load`: bytes go over the loopback interface beside the run."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from loadproof.units import format_bytes

if TYPE_CHECKING:
    from loadproof.faults.lifeline import Lifeline

LARGEST: Final = 256 * 1024
SENDS_PER_S: Final = 50
"""At least so often something is sent, so that a small rate is spread over the second."""


class NetworkLoad:
    def __init__(self, settings: dict[str, Any]) -> None:
        self._rate: int = settings["rate"]

    def shares(self) -> list[dict[str, Any]]:
        return [{"rate": self._rate}]

    def carry(self, lifeline: Lifeline) -> str:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            sender = socket.create_connection(listener.getsockname())
            receiver, _ = listener.accept()
        threading.Thread(target=_swallow, args=(receiver,), daemon=True).start()
        block = os.urandom(max(1, min(LARGEST, self._rate // SENDS_PER_S)))
        carried = 0
        with sender:
            lifeline.say_ready()
            begin = time.monotonic()
            while not lifeline.has_ended(max(0.0, begin + carried / self._rate - time.monotonic())):
                sender.sendall(block)
                carried += len(block)
        return f"carried {format_bytes(carried)}"


def _swallow(receiver: socket.socket) -> None:
    into = bytearray(LARGEST)
    with receiver, contextlib.suppress(OSError):
        while receiver.recv_into(into):
            pass
