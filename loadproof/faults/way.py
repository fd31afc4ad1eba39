"""`latency` to `slow_close`: orders to the proxy that stands between workers and target.

The proxy keeps an order as long as the connection over which it came, so that one that nobody looks after is over.
"""

from __future__ import annotations

import json
import socket
import threading
from typing import TYPE_CHECKING, Any, Final

from loadproof.faults.fault import FaultError

if TYPE_CHECKING:
    from loadproof.faults.fault import Fault, Undo

ANSWER_S: Final = 5.0


class Orders:
    """One connection to the proxy for all faults of a keeper."""

    def __init__(self, name: str | None) -> None:
        """`name` is that of an abstract Unix socket; nothing is connected before the first order."""
        self._name = name
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    @property
    def has_way(self) -> bool:
        return self._name is not None

    def give(self, order: dict[str, Any]) -> None:
        """FaultError if the proxy does not say that it has done so."""
        with self._lock:
            try:
                self._give(order)
            except OSError as error:
                if self._socket is not None:
                    self._socket.close()
                    self._socket = None
                raise FaultError(f"the proxy before the target does not answer: {error}") from None

    def _give(self, order: dict[str, Any]) -> None:
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.settimeout(ANSWER_S)
            self._socket.connect(f"\0{self._name}")
        self._socket.sendall(json.dumps(order).encode() + b"\n")
        answer = b""
        while not answer.endswith(b"\n"):
            more = self._socket.recv(4096)
            if not more:
                raise ConnectionError("it is gone")
            answer += more


class OnTheWay:
    def __init__(self, fault: Fault, orders: Orders) -> None:
        self._fault = fault
        self._orders = orders

    def prepare(self) -> Undo:
        if not self._orders.has_way:
            raise FaultError("there is no proxy before the target")
        return {}

    def inject(self, undo: Undo) -> None:  # noqa: ARG002 the shape of every kind
        fault = self._fault
        self._orders.give({"do": "begin", "name": fault.name, "kind": fault.kind, "settings": fault.settings})

    def revert(self, undo: Undo) -> str:  # noqa: ARG002 the shape of every kind
        self._orders.give({"do": "end", "name": self._fault.name})
        return ""
