"""The two ends of the link between master and workers: ZeroMQ under CURVE, each worker known by its key.

Locust's runners look their socket classes up when they are made; `use` puts one of ours in that place.
"""

from __future__ import annotations

import logging
from collections import Counter
from socket import AF_INET, getaddrinfo
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import gevent
import zmq.green as zmq
from gevent.event import Event
from locust.exception import RPCError, RPCReceiveError
from locust.rpc import Message, zmqrpc

from distributed.link import monitor
from distributed.link.zap import DOMAIN, Doorkeeper

if TYPE_CHECKING:
    from collections.abc import Callable

    from distributed.link.keys import MasterKeys, WorkerKeys

logger = logging.getLogger(__name__)

LARGEST_MESSAGE: Final = 8 * 1024 * 1024
HANDSHAKE_MS: Final = 10_000
HEARTBEAT_MS: Final = 2_000
SILENCE_MS: Final = 6_000
CONNECT_MS: Final = 5_000
RECONNECT_MS: Final = 2_000
"""The longest pause between two attempts to reach the master."""
FAILURES: Final = 5
"""Handshakes that fail in a row before a worker calls the master another one: a cut may fail one or two."""
LOGGED: Final = 100
"""Different refusals that are logged; all are counted."""


class Server:
    """The master's end. A message's sender is the worker whose key its connection has shown.

    A worker has a current connection, the newest that `welcome` was called for, and is sent to by that alone:
    neither a half-open connection of its own nor another process with its key can draw its messages away.
    """

    def __init__(self, host: str, port: int, keys: MasterKeys) -> None:
        """Bind; port 0 means any free one. Raises RPCError if the address cannot be had."""
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
        self.refused: Counter[str] = Counter()
        """Connections that were turned away, by kind."""
        self._strangers = 0
        """Connections that have not shown a key yet."""
        self._logged: set[str] = set()
        self._speaking: dict[str, bytes] = {}
        self._speaks_from: dict[str, str] = {}
        self.addresses: dict[str, str] = {}
        """Worker -> the address that its current connection comes from, or the last one that was current."""
        self._current: dict[str, bytes] = {}
        self.on_close: Callable[[str], None] | None = None
        """Called with a worker when its current connection has ended, by whichever end."""
        self._descriptors: dict[int, tuple[str, bytes]] = {}
        """Descriptor of a connection -> its worker and its route."""
        self._doorkeeper = Doorkeeper(context, keys.workers, self._turned_away)
        self.socket = _socket(context, zmq.ROUTER, host)
        self.socket.setsockopt(zmq.CURVE_SERVER, 1)
        self.socket.setsockopt(zmq.CURVE_SECRETKEY, keys.own.secret)
        self.socket.setsockopt(zmq.CURVE_PUBLICKEY, keys.own.public)
        self.socket.setsockopt(zmq.ZAP_DOMAIN, DOMAIN)
        # Should the doorkeeper be gone, nobody is let in instead of everybody.
        self.socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
        self.socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._watching = monitor.watch(self.socket, self._happened)
        try:
            self.socket.bind(f"tcp://{_bracketed(host)}:{port or '*'}")
        except zmq.ZMQError as error:
            self.close()
            raise RPCError(f"cannot listen at {host} port {port}: {error.strerror}") from error
        self.port = int(self.socket.get_string(zmq.LAST_ENDPOINT).rpartition(":")[2])

    def recv_from_client(self) -> tuple[str, Message]:
        """The next message and its worker; RPCReceiveError for one that is none, or speaks for another worker."""
        try:
            route, *frames = self.socket.recv_multipart(copy=False)
        except zmq.ZMQError as error:
            raise RPCError(f"the link is broken: {error.strerror}") from error
        worker = str(route.get("User-Id"))
        self._speaking[worker] = route.bytes
        self._speaks_from[worker] = str(route.get("Peer-Address"))
        self._descriptors[route.get(zmq.SRCFD)] = worker, route.bytes
        if len(frames) != 1:
            raise RPCReceiveError(f"a message of {len(frames)} parts", addr=worker)
        message = _message(frames[0].bytes, worker)
        if message.node_id != worker:
            raise RPCReceiveError(f"a message that speaks for {message.node_id[:100]!r}", addr=worker)
        return worker, message

    def welcome(self, worker: str) -> None:
        """Send to the connection that this worker has spoken by last, from now on, and to no other."""
        self._current[worker] = self._speaking[worker]
        self.addresses[worker] = self._speaks_from[worker]

    def is_current(self, worker: str) -> bool:
        """The worker's last message came by its current connection."""
        return worker in self._current and self._current[worker] == self._speaking.get(worker)

    def send_to_client(self, msg: Message) -> None:
        """Send to a worker's current connection, or raise RPCError at once: nobody waits here for a slow one."""
        self._send(msg, self._current)

    def answer(self, msg: Message) -> None:
        """Send to the connection that the worker has spoken by last, welcome or not."""
        self._send(msg, self._speaking)

    def await_leaving(self, seconds: float) -> None:
        """Return when no worker is connected, at the latest after so many seconds: what is unsent at a close is lost."""
        deadline = monotonic() + seconds
        while self._descriptors and monotonic() < deadline:
            gevent.sleep(0.02)

    def close(self, linger: int | None = None) -> None:  # noqa: ARG002 as Locust calls it
        if self.socket.closed:
            return
        self._watching.kill()
        self.socket.disable_monitor()
        self.socket.close(linger=0)
        self._doorkeeper.close()

    def log_once(self, what: str) -> None:
        """Warn of this the first time; of at most so many different things, for a stranger may vary them at will."""
        if what not in self._logged and len(self._logged) < LOGGED:
            self._logged.add(what)
            logger.warning("%s", "".join(each if each.isprintable() else "?" for each in what[:500]))

    def _send(self, message: Message, routes: dict[str, bytes]) -> None:
        route = routes.get(message.node_id)
        if route is None:
            raise RPCError(f"{message.node_id} has no connection")
        try:
            self.socket.send_multipart([route, message.serialize()], zmq.NOBLOCK)
        except zmq.ZMQError as error:
            raise RPCError(f"{message.node_id} cannot be reached: {error.strerror}") from error

    def _turned_away(self, address: str, what: str) -> None:
        self._strangers -= 1
        self.refused["unknown key"] += 1
        self.log_once(f"refused a connection from {address}: {what} is not among the workers'")

    def _happened(self, event: int, descriptor: int) -> None:
        if event == monitor.GONE and descriptor in self._descriptors:
            worker, route = self._descriptors.pop(descriptor)
            if self._current.get(worker) == route and self.on_close is not None:
                self.on_close(worker)
        elif event == monitor.ACCEPTED:
            self._strangers += 1
        elif event == monitor.CONNECTED:
            self._strangers -= 1
        elif event == monitor.GONE and self._strangers > 0:
            # Of one that has said nothing yet ZeroMQ does not tell whose end this is. A worker's, while a stranger
            # dallies, is counted in the stranger's place, and the stranger's then is not.
            self._strangers -= 1
            self.refused["no handshake"] += 1
            self.log_once("refused a connection: it ended before it had shown a CURVE key")


class Client:
    """A worker's end: connects to the master whose key it was given, and to it again whenever the link breaks."""

    def __init__(self, host: str, port: int, keys: WorkerKeys) -> None:
        self.place = f"{host}:{port}"
        self.connections = 0
        """Handshakes that succeeded so far: the number of the current connection, or of the last one."""
        self.refusal: str | None = None
        """Why the master cannot be had, as one line for the operator; None while there is hope."""
        self.changed = Event()
        """Set when either changes."""
        self._failures = 0
        self._warned = False
        self.socket = _socket(zmq.Context.instance(), zmq.DEALER, host)
        self.socket.setsockopt(zmq.CURVE_SERVERKEY, keys.master)
        self.socket.setsockopt(zmq.CURVE_SECRETKEY, keys.own.secret)
        self.socket.setsockopt(zmq.CURVE_PUBLICKEY, keys.own.public)
        # What cannot be sent now is not queued: the journal's file is the buffer, and old heartbeats are no use.
        self.socket.setsockopt(zmq.IMMEDIATE, 1)
        self.socket.setsockopt(zmq.RECONNECT_IVL_MAX, RECONNECT_MS)
        # The kernel waits longer with each try: after a cut of minutes a connection begun in it would take another.
        self.socket.setsockopt(zmq.CONNECT_TIMEOUT, CONNECT_MS)
        self._watching = monitor.watch(self.socket, self._happened)
        self.socket.connect(f"tcp://{_bracketed(host)}:{port}")

    def send(self, msg: Message) -> None:
        """Send, or raise RPCError at once if there is no connection or too much unsent."""
        try:
            self.socket.send(msg.serialize(), zmq.NOBLOCK)
        except zmq.ZMQError as error:
            raise RPCError(f"the master cannot be reached: {error.strerror}") from error

    def recv(self) -> Message:
        """The next message; RPCReceiveError for one that is none."""
        try:
            frames = self.socket.recv_multipart()
        except zmq.ZMQError as error:
            raise RPCError(f"the link is broken: {error.strerror}") from error
        if len(frames) != 1:
            raise RPCReceiveError(f"a message of {len(frames)} parts")
        return _message(frames[0], None)

    def close(self, linger: int | None = None) -> None:  # noqa: ARG002 as Locust calls it
        if self.socket.closed:
            return
        self._watching.kill()
        self.socket.disable_monitor()
        self.socket.close(linger=0)

    def _happened(self, event: int, _descriptor: int) -> None:
        if event == monitor.CONNECTED:
            self.connections += 1
            self._failures = 0
        elif event == monitor.KEY_REFUSED:
            self._refused(
                "the master refuses our key: it must be in the key set that the master was started with"
            )
        elif event in {monitor.FAILED, monitor.BROKE_PROTOCOL}:
            self._failures += 1
            if self._failures >= FAILURES:
                self._refused("the master is not the one whose key we were given")
        self.changed.set()

    def _refused(self, why: str) -> None:
        # Who was let in once keeps trying: its journal is worth more than an early end.
        if self.connections == 0:
            self.refusal = f"{self.place}: {why}"
        elif not self._warned:
            self._warned = True
            logger.warning("%s: %s; trying on", self.place, why)


def use(socket: Server | Client) -> None:
    """Have the next runner that Locust makes take this socket."""

    def take(*_address: Any) -> Server | Client:
        return socket

    setattr(zmqrpc, type(socket).__name__, take)


def _socket(context: zmq.Context[zmq.Socket[bytes]], kind: int, host: str) -> zmq.Socket[bytes]:
    """A socket with all that counts only when set before bind or connect."""
    socket = context.socket(kind)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.MAXMSGSIZE, LARGEST_MESSAGE)
    socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, SILENCE_MS)
    socket.setsockopt(zmq.HEARTBEAT_TTL, SILENCE_MS)
    socket.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
    socket.setsockopt(zmq.IPV6, int(_only_ipv6(host)))
    return socket


def _only_ipv6(host: str) -> bool:
    """With IPv6 allowed ZeroMQ takes a name's first IPv6 address only, though its master may listen at IPv4's."""
    try:
        families = {info[0] for info in getaddrinfo(host.strip("[]"), None)}
    except OSError:
        return False
    return AF_INET not in families


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _message(data: bytes, sender: str | None) -> Message:
    try:
        message = Message.unserialize(data)
    except Exception as error:  # a stranger's bytes fail in every way that there is
        raise RPCReceiveError(f"no message: {type(error).__name__}", addr=sender) from error
    if not isinstance(message.type, str) or not isinstance(message.node_id, str):
        raise RPCReceiveError("a message without type or sender", addr=sender)
    return message
