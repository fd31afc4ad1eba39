"""What a ZeroMQ socket does by itself: connections that come, go, or never shake hands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import gevent
import zmq.green as zmq
from zmq.utils.monitor import recv_monitor_message

if TYPE_CHECKING:
    from collections.abc import Callable

ACCEPTED: Final = zmq.EVENT_ACCEPTED
"""A TCP connection to a bound socket; its handshake is still to come."""
CONNECTED: Final = zmq.EVENT_HANDSHAKE_SUCCEEDED
GONE: Final = zmq.EVENT_DISCONNECTED
KEY_REFUSED: Final = zmq.EVENT_HANDSHAKE_FAILED_AUTH
FAILED: Final = zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
BROKE_PROTOCOL: Final = zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL


def watch(socket: zmq.Socket[bytes], told: Callable[[int, int], None]) -> Any:
    """Call `told(event, descriptor)` for each of the events above until the greenlet that is returned is killed.

    The descriptor is that of the connection, and of another one as soon as it is gone.
    """
    events = socket.get_monitor_socket(ACCEPTED | CONNECTED | GONE | KEY_REFUSED | FAILED | BROKE_PROTOCOL)
    events.setsockopt(zmq.LINGER, 0)

    def listen() -> None:
        while (message := recv_monitor_message(events))["event"] != zmq.EVENT_MONITOR_STOPPED:
            told(message["event"], message["value"])

    return gevent.spawn(listen)
