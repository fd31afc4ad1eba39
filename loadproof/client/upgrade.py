"""The request that opens a WebSocket (RFC 6455, section 4): one request and one exchange of the books."""

from __future__ import annotations

import os
from base64 import b64encode
from hashlib import sha1
from time import monotonic_ns, time_ns
from typing import TYPE_CHECKING, Any, Final

from greenlet import getcurrent

from loadproof.client.answer import AnswerReader
from loadproof.client.books import books
from loadproof.client.request import build
from loadproof.client.response import Response
from loadproof.client.stamps import arrived
from loadproof.client.tls import TlsConnection
from loadproof.errors import HttpStatusError, MalformedAnswerError, RequestError, RequestTimeoutError
from loadproof.measure.interval import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from loadproof.client.answer import Head
    from loadproof.client.connection import Connection
    from loadproof.client.options import Options
    from loadproof.client.session import HttpSession
    from loadproof.measure.interval import Timed

METHOD: Final = "WEBSOCKET"
"""What reports call the method; on the wire it is GET."""
_GUID: Final = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""RFC 6455, 1.3."""


class Upgrade:
    """From the call until the 101 answer; recorded once, when it is known what the WebSocket came to.

    Raises ValueError, with what is wrong, for a URL or header that cannot be sent.
    """

    def __init__(
        self,
        session: HttpSession,
        url: str,
        name: str | None,
        subprotocols: Sequence[str],
        headers: Mapping[str, Any] | None,
        options: Options,
    ) -> None:
        self._session = session
        self._settings = settings = session.settings
        self._options = options
        self._key = b64encode(os.urandom(16)).decode("ascii")
        self._offered = tuple(subprotocols)
        fields: dict[str, Any] = {**settings.fields, **(headers or {})}
        fields |= {"Connection": "Upgrade", "Upgrade": "websocket"}
        fields |= {"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": self._key}
        if subprotocols:
            fields["Sec-WebSocket-Protocol"] = ", ".join(subprotocols)
        request = build(
            "GET",
            _as_http(url),
            settings.base_url,
            name=name or session.request_name or url,
            fields=fields,
            verify=settings.verify,
            certificate=settings.certificate,
            proxy=settings.proxy,
        )
        request.method = METHOD
        request.scenario = settings.scenario
        self.request = request
        self.connection: Connection | None = None
        self.rest = b""
        """What came behind the answer's head: frames already."""
        self.subprotocol: str | None = None
        """The one of those offered that the server chose."""
        self._head: Head | None = None
        self._on_wire = False
        self._answered = 0
        self._unconnected = 0
        self._lag_us: int | None = None
        self._latency_us: int | None = None
        self._start_ns = monotonic_ns()
        self._real_ns = time_ns()
        self._late_ns = 0
        if session.intended_ns is not None:
            self._late_ns = max(0, self._start_ns - session.intended_ns)
            session.intended_ns = None
        self.start_us = 0
        recorder = books.recorder
        if recorder is not None:
            self.start_us = max(0, (self._start_ns - self._late_ns - recorder.zero_ns) // 1_000)

    def perform(self) -> Connection:
        """The connection, open for frames. A RequestError is recorded before it is raised."""
        books.check_leave()
        self._session.waits += 1
        if books.recorder is not None:
            books.recorder.started += 1
        try:
            connection = self._connect()
            self._ask(connection)
            self._judge()
        except BaseException as error:
            self._drop()
            if isinstance(error, RequestError):
                self.record(error)
            elif isinstance(error, Exception):
                self._count(Outcome.FAILED, str(error))
            else:
                self._count(Outcome.UNFINISHED, None)
            raise
        # A living WebSocket hangs as little as an idle connection does: it is no request in flight.
        books.deadlines.open.pop(connection, None)
        return connection

    def _connect(self) -> Connection:
        origin = self.request.origin
        connection = self.connection = origin.new_connection()
        connection.doing = "connect"
        connection.use_by(getcurrent())
        self._set_deadline(connection, self._options.connect_ns or self._settings.connect_ns)
        books.deadlines.open[connection] = self._start_ns - self._late_ns
        try:
            origin.connect(
                connection, self._session.source, self._session.tls_session(origin), self._tell, tunnel=True
            )
        except BaseException:
            self._unconnected = 1
            raise
        return connection

    def _ask(self, connection: Connection) -> None:
        connection.doing = "read"
        self._set_deadline(connection, self._options.read_ns or self._settings.read_ns)
        # Not the request's own head: through a tunnel no proxy reads it, and none of its secrets goes further.
        fields = {**self.request.fields}
        if self.request.origin.forwarded:
            fields.pop("Proxy-Authorization", None)
        lines = [f"GET {self.request.path} HTTP/1.1", *(f"{key}: {value}" for key, value in fields.items())]
        head = ("\r\n".join(lines) + "\r\n").encode("latin-1")
        sent_real_ns = time_ns()
        self._on_wire = True
        rest = connection.send(b"%b%b\r\n" % (head, self._session.cookie_line(self.request)))
        reader = AnswerReader(METHOD)
        came = b""
        while reader.head is None:
            data = connection.receive_once()
            if data is not None:
                if not data:
                    reader.eof()
                came += data
                reader.feed(data)
            if rest is not None and reader.head is None:
                rest = connection.send_rest(rest)
        self._head = reader.head
        self.rest = came.partition(reader.head.raw)[2]
        self._on_wire = False
        self._answered = 1
        self._note_end(connection.stamp_ns, sent_real_ns)
        if isinstance(connection, TlsConnection):
            self._session.remember_tls(self.request.origin, connection)

    def _judge(self) -> None:
        """Raise for an answer that opens no WebSocket."""
        assert self._head is not None
        headers, status = self._head.headers, self._head.status
        if "set-cookie" in headers:
            self._session.cookies.take(self.request.url, headers)
        if status >= 400:
            raise HttpStatusError(status)
        if status != 101:
            raise RequestError(f"no WebSocket: HTTP {status}")
        if "websocket" not in _words(headers.get("upgrade")):
            raise _wrong("Upgrade")
        if "upgrade" not in _words(headers.get("connection")):
            raise _wrong("Connection")
        digest = sha1((self._key + _GUID).encode("ascii"), usedforsecurity=False).digest()
        if headers.get("sec-websocket-accept") != b64encode(digest).decode("ascii"):
            raise _wrong("Sec-WebSocket-Accept")
        if headers.get("sec-websocket-extensions"):
            raise _wrong("Sec-WebSocket-Extensions")
        self.subprotocol = headers.get("sec-websocket-protocol")
        if self.subprotocol is not None and self.subprotocol not in self._offered:
            raise _wrong("Sec-WebSocket-Protocol")

    def record(self, failure: Exception | None) -> None:
        """Count the request, and tell listeners of `events.request`."""
        if failure is None:
            self._count(Outcome.OK, None)
        elif isinstance(failure, RequestTimeoutError):
            self._count(Outcome.TIMEOUT, str(failure))
        else:
            self._count(Outcome.FAILED, str(failure))
        environment = self._session.environment
        if books.listened(environment):
            content = None if self._head is None else b""
            error = failure if self._head is None else None
            latency_us = self._now_us() if self._latency_us is None else self._latency_us
            response = Response(self.request, None, self._head, content, latency_us, error)
            start_real_ns = self._real_ns - self._late_ns
            meta = self._session.meta(self.request, response, failure, self._options, start_real_ns)
            books.tell(environment, meta)

    def record_unfinished(self) -> None:
        """Count the request as ended by us. Its latency is not its age: the answer had come."""
        self._count(Outcome.UNFINISHED, None)

    def _count(self, outcome: Outcome, error: str | None) -> None:
        recorder = books.recorder
        if recorder is None:
            return
        latency_us = self._now_us() if self._latency_us is None else self._latency_us
        endpoint = self.request.scenario, METHOD, self.request.name
        tally = recorder.tally(*endpoint, self.start_us, self.start_us + latency_us)
        tally.record(
            outcome,
            latency_us,
            answered=self._answered,
            unanswered=int(self._on_wire),
            unconnected=self._unconnected,
        )
        if self._answered:
            if self._lag_us is None:
                recorder.unstamped += 1
            else:
                recorder.record_lag(self._lag_us)
        if error is not None:
            recorder.error(tally, error)

    def _note_end(self, stamp_ns: int, sent_real_ns: int) -> None:
        now_ns, now_real_ns = monotonic_ns(), time_ns()
        if stamp_ns >= sent_real_ns and arrived(stamp_ns, self._real_ns, now_real_ns, self._start_ns, now_ns):
            self._latency_us = (stamp_ns - self._real_ns + self._late_ns) // 1_000
            self._lag_us = (now_real_ns - stamp_ns) // 1_000
        else:
            self._latency_us = (now_ns - self._start_ns + self._late_ns) // 1_000
        if books.recorder is not None:
            books.recorder.done(now_ns - 1_000 * (self._lag_us or 0))

    def _now_us(self) -> int:
        return (monotonic_ns() - self._start_ns + self._late_ns) // 1_000

    def _set_deadline(self, connection: Connection, wait_ns: int) -> None:
        deadline = monotonic_ns() + wait_ns
        if self._settings.total_ns is not None:
            deadline = min(deadline, self._start_ns + self._settings.total_ns)
        connection.deadline_ns = deadline

    def _tell(self, timed: Timed, name: str, us: int) -> None:
        if books.recorder is not None:
            books.recorder.duration(self.request.scenario, timed, name, us)

    def _drop(self) -> None:
        if self.connection is not None:
            books.deadlines.open.pop(self.connection, None)
            self.connection.close()


def _as_http(url: str) -> str:
    for scheme, http in (("ws://", "http://"), ("wss://", "https://")):
        if url.lower().startswith(scheme):
            return http + url[len(scheme) :]
    return url


def _words(value: str | None) -> set[str]:
    return {word.strip().lower() for word in (value or "").split(",")}


def _wrong(field: str) -> MalformedAnswerError:
    return MalformedAnswerError(f"the answer opens no WebSocket: its {field} is wrong")
