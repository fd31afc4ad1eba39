"""The long way of a request: connecting, retrying, redirects, big and broken answers, everything that fails."""

from __future__ import annotations

from time import monotonic_ns, time_ns
from typing import TYPE_CHECKING, Any, Final

from greenlet import getcurrent

from loadproof.client.answer import AnswerReader
from loadproof.client.books import books
from loadproof.client.coding import decoded
from loadproof.client.request import build, redirected
from loadproof.client.response import CaughtResponse, Response
from loadproof.client.stamps import BUFFERED, arrived
from loadproof.client.stream import StreamedResponse
from loadproof.client.tls import TlsConnection
from loadproof.errors import (
    ConnectionLostError,
    HttpStatusError,
    MalformedAnswerError,
    RequestError,
    RequestTimeoutError,
    TooManyRedirectsError,
)
from loadproof.measure.interval import Outcome

if TYPE_CHECKING:
    from loadproof.client.connection import Connection
    from loadproof.client.headers import Headers
    from loadproof.client.options import Options
    from loadproof.client.request import Request
    from loadproof.client.session import HttpSession
    from loadproof.client.settings import Settings
    from loadproof.measure.interval import Timed
    from loadproof.measure.recorder import Recorder

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
Met = tuple[bytes | None, ConnectionLostError | None, memoryview | None]
"""What the session has received or run into, and what it could not send."""
NEVER_NS: Final = 2**63
CONTINUE_NS: Final = 1_000_000_000
"""How long a body waits for `100 Continue`; RFC 9110, 10.1.1 says: not indefinitely."""


class Exchange:
    """One request of a scenario, over as many hops and connections as it takes; recorded once, at its end."""

    def __init__(
        self,
        session: HttpSession,
        request: Request,
        message: bytes,
        body: bytes | None,
        options: Options,
        start_ns: int,
        real_ns: int,
        late_ns: int,
    ) -> None:
        self._session = session
        self._settings: Settings = session.settings
        self._options = options
        self._first = request
        """What the scenario asked for, and what the books know."""
        self._request = request
        """The hop that is under way."""
        self._message = message
        self._body = body
        self._start_ns = start_ns
        self._real_ns = real_ns
        self._late_ns = late_ns
        self._sent_real_ns = real_ns
        self._recorder: Recorder | None = books.recorder
        self._open: dict[Any, int] = books.deadlines.open
        self._start_us = 0
        if self._recorder is not None:
            self._start_us = max(0, (start_ns - late_ns - self._recorder.zero_ns) // 1_000)
        self._connection: Connection | None = None
        self._history: list[Response] = []
        self._sent_bytes = 0
        self._received_bytes = 0
        self._answered = 0
        self._unanswered = 0
        self._unconnected = 0
        self._on_wire = False
        """Whether a hop is out without its answer."""
        self._end_us: int | None = None
        self._lag_us: int | None = None
        self._first_byte_us: int | None = None
        self._name: str | None = None
        """What the scenario's `with` block has renamed it to."""
        self._recorded = False

    def run(self) -> Response:
        """From the beginning; StopUser where nothing may begin."""
        books.check_leave()
        if self._recorder is not None:
            self._recorder.started += 1
        return self._go(None)

    def run_after(
        self,
        connection: Connection,
        data: bytes | None,
        error: ConnectionLostError | None,
        rest: memoryview | None = None,
    ) -> Response:
        """Go on after the session has sent all but `rest`, and has received `data` or met `error`."""
        self._connection = connection
        self._on_wire = True
        self._sent_bytes = len(self._body or b"")
        return self._go((data, error, rest))

    def end_by(self, connection: Connection, error: BaseException) -> Response:
        """End it after the session has sent and something else than an answer came."""
        self._connection = connection
        self._on_wire = True
        self._sent_bytes = len(self._body or b"")
        return self._end_by(error)

    def _go(self, met: Met | None) -> Response:
        try:
            while True:
                reader = self._hop(met)
                met = None
                assert reader.head is not None
                headers = reader.head.headers
                if "set-cookie" in headers:
                    self._session.cookies.take(self._request.url, headers)
                if self._options.stream and not self._is_redirect(reader):
                    return self._finish(reader, None, None)
                content = decoded(reader.body, headers)
                if not self._is_redirect(reader):
                    return self._finish(reader, content, None)
                self._history.append(Response(self._request, self._body, reader.head, content, 0))
                self._follow(reader.status, headers)
        except BaseException as error:  # noqa: BLE001 raised again unless it is the network's or the target's
            return self._end_by(error)

    def _end_by(self, error: BaseException) -> Response:
        self._drop()
        if self._on_wire:
            self._unanswered += 1
            self._on_wire = False
        if isinstance(error, RequestError):
            return self._finish(None, None, error)
        outcome = Outcome.FAILED if isinstance(error, Exception) else Outcome.UNFINISHED
        self._record(outcome, str(error) or None)
        raise error

    def _is_redirect(self, reader: AnswerReader) -> bool:
        assert reader.head is not None
        return (
            reader.status in REDIRECTS and self._options.allow_redirects and "location" in reader.head.headers
        )

    def _hop(self, met: Met | None) -> AnswerReader:
        """One request and its answer; once more on a new connection if a kept one turns out to be closed."""
        retried = False
        while True:
            if met is None:
                connection = None if retried else self._session.take(self._request.origin)
                self._connection = connection or self._connect()
                self._use(self._connection)
            connection = self._connection
            assert connection is not None
            reader = AnswerReader(self._request.method)
            kept = not connection.fresh
            try:
                self._ask(connection, reader, met)
            except ConnectionLostError:
                self._drop()
                self._unanswered += 1
                self._on_wire = False
                if not kept or reader.received or retried or not self._request.idempotent:
                    raise
                retried = True
                met = None
                continue
            if kept and reader.leftover:
                # Which of both is the answer to this request, nobody can tell.
                raise MalformedAnswerError("more came than one answer")
            return reader

    def _ask(self, connection: Connection, reader: AnswerReader, met: Met | None) -> None:
        connection.doing = "read"
        self._set_deadline(connection, self._options.read_ns or self._settings.read_ns)
        if met is None:
            self._sent_real_ns = time_ns()
            self._on_wire = True
            data, rest = self._send(connection)
        else:
            data, error, rest = met
            if error is not None:
                raise error
        first = True
        reads = 0
        while True:
            if data is None:
                data = connection.receive_once() if rest else connection.receive()
                if data is None:
                    rest = rest and connection.send_rest(rest)
                    continue
            reads += 1
            if first and data and 0 < connection.stamp_ns < self._sent_real_ns and self._clock_is_steady():
                raise ConnectionLostError("the connection brought what nobody had asked for")
            first = False
            if not data:
                reader.eof()
                connection.stamp_ns = 0
                break
            if reads == 1:
                self._note_end(connection, reader)
                self._first_byte_us = self._end_us
            self._set_deadline(connection, self._options.read_ns or self._settings.read_ns)
            if reader.feed(data) or (
                self._options.stream and reader.head is not None and not self._is_redirect(reader)
            ):
                break
            data = None
            if rest and reader.head is None:
                # So far an interim answer: the body is still wanted.
                rest = connection.send_rest(rest)
        self._note_end(connection, reader)
        if reads == 1:
            self._first_byte_us = None
        self._received_bytes += sum(map(len, reader.pieces))
        self._answered += 1
        self._on_wire = False
        if self._options.stream and not self._is_redirect(reader):
            return
        if connection.fresh and isinstance(connection, TlsConnection):
            self._session.remember_tls(self._request.origin, connection)
        self._open.pop(connection, None)
        if reader.keep_alive and not rest:
            connection.fresh = False
            self._session.keep(self._request.origin, connection)
            self._connection = None
        else:
            self._drop()

    def _send(self, connection: Connection) -> tuple[bytes | None, memoryview | None]:
        """Send the request; what came meanwhile, if that is known, and what was not sent because of it."""
        self._sent_bytes += len(self._body or b"")
        if self._request.plain or not self._body:
            return None, connection.send(self._message)
        # Expect: 100-continue.
        head = self._message[: len(self._message) - len(self._body)]
        connection.send(head)
        self._set_deadline(connection, min(CONTINUE_NS, self._options.read_ns or self._settings.read_ns))
        try:
            data = connection.receive()
        except RequestTimeoutError:
            data = b""
        else:
            probe = AnswerReader(self._request.method)
            if not data or probe.feed(data) or probe.head is not None:
                # It has made up its mind without the body, or has gone.
                return data, memoryview(self._body)
        self._set_deadline(connection, self._options.read_ns or self._settings.read_ns)
        rest = connection.send(self._body)
        return data or None, rest

    def _connect(self) -> Connection:
        origin = self._request.origin
        connection = origin.new_connection()
        connection.doing = "connect"
        self._connection = connection
        self._set_deadline(connection, self._options.connect_ns or self._settings.connect_ns)
        self._use(connection)
        try:
            origin.connect(
                connection, self._session.source, self._session.tls_session(origin), self._tell_duration
            )
        except BaseException:
            self._unconnected += 1
            raise
        return connection

    def _tell_duration(self, timed: Timed, name: str, us: int) -> None:
        if self._recorder is not None:
            self._recorder.duration(self._settings.scenario, timed, name, us)

    def _use(self, connection: Connection) -> None:
        connection.use_by(getcurrent())
        connection.stamp_ns = 0
        self._open[connection] = self._start_ns - self._late_ns

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._open.pop(connection, None)
            connection.close()

    def _set_deadline(self, connection: Connection, wait_ns: int) -> None:
        total_ns = self._settings.total_ns
        connection.patience_ns = wait_ns
        connection.last_ns = NEVER_NS if total_ns is None else self._start_ns + total_ns
        connection.deadline_ns = min(monotonic_ns() + wait_ns, connection.last_ns)

    def _clock_is_steady(self) -> bool:
        now = time_ns()
        return arrived(now, self._real_ns, now, self._start_ns, monotonic_ns())

    def _note_end(self, connection: Connection, reader: AnswerReader) -> None:
        now_ns, now_real_ns = monotonic_ns(), time_ns()
        stamp_ns = connection.stamp_ns
        believed = (
            reader.received <= BUFFERED
            and arrived(stamp_ns, self._real_ns, now_real_ns, self._start_ns, now_ns)
            and stamp_ns >= self._sent_real_ns
        )
        if believed:
            self._end_us = (stamp_ns - self._real_ns + self._late_ns) // 1_000
            self._lag_us = (now_real_ns - stamp_ns) // 1_000
        else:
            self._end_us = (now_ns - self._start_ns + self._late_ns) // 1_000
            self._lag_us = None

    def _follow(self, status: int, headers: Headers) -> None:
        """Make the next hop's request."""
        if len(self._history) > self._settings.max_redirects:
            raise TooManyRedirectsError(f"more than {self._settings.max_redirects} redirects")
        before = self._request
        try:
            method, url = redirected(before.method, status, before.url, headers["location"])
            dropped = {"host", "proxy-authorization", "cookie"}
            if method != before.method:
                self._body = None
                dropped |= {"content-type", "content-length", "expect"}
            fields = {key: value for key, value in before.fields.items() if key.lower() not in dropped}
            following = build(
                method,
                url,
                None,
                name=self._first.name,
                fields=fields,
                verify=before.origin.verify,
                certificate=before.origin.certificate,
                proxy=self._settings.proxy,
            )
            if not before.origin.shares_credentials(following.origin):
                fields = {key: value for key, value in fields.items() if key.lower() != "authorization"}
                following = following.with_fields(fields)
        except ValueError as error:
            raise MalformedAnswerError("the redirect leads to what is no URL") from error
        line = self._session.cookie_line(following)
        if self._body is None:
            self._message = b"%b%b\r\n" % (following.head, line)
        else:
            content_type = self._content_type
            self._message = following.with_body(self._body, content_type, line)
        self._request = following

    @property
    def _content_type(self) -> str | None:
        """Of the body that is sent again; it stands in the message alone, where the session put it."""
        head, _, _ = self._message.partition(b"\r\n\r\n")
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-type:") and not self._request.has_content_type:
                return line.partition(b":")[2].strip().decode("latin-1")
        return None

    def _finish(
        self, reader: AnswerReader | None, content: bytes | None, error: RequestError | None
    ) -> Response:
        if self._end_us is None or error is not None:
            self._end_us = (monotonic_ns() - self._start_ns + self._late_ns) // 1_000
        head = None if reader is None or error is not None else reader.head
        if self._options.stream and error is None:
            assert reader is not None
            assert self._connection is not None
            response: Response = StreamedResponse(
                self._request,
                self._body,
                head,
                self._end_us,
                tuple(self._history),
                self._session,
                self._connection,
                reader,
                self._options.read_ns or self._settings.read_ns,
            )
            self._open.pop(self._connection, None)
            self._connection = None
        else:
            response = Response(
                self._request, self._body, head, content, self._end_us, error, tuple(self._history)
            )
        failure: Exception | None = error
        if failure is None and response.status_code >= 400:
            failure = HttpStatusError(response.status_code)
        if self._options.held:
            return self._hold(response)
        if isinstance(response, StreamedResponse) and not response.is_over:
            assert reader is not None
            self._await_stream(response, reader, failure)
        else:
            self._settle(response, failure)
        return response

    def _await_stream(
        self, response: StreamedResponse, reader: AnswerReader, failure: Exception | None
    ) -> None:
        """A stream may still break, and is then a failed request: it counts when it is over."""
        token = object()

        # Nothing here may hold the response: one that the scenario drops is to go, and to be counted, at once.
        def ended(over: StreamedResponse | None, error: Exception | None) -> None:
            if self._recorder is not None and self._recorder.held.pop(token, None) is None:
                return
            self._received_bytes = reader.body_received
            if over is None:
                self._record(Outcome.UNFINISHED, None)
            else:
                self._settle(over, failure or error)

        response.on_end = ended
        if self._recorder is not None:
            self._recorder.held[token] = lambda: ended(None, None)

    def _hold(self, response: Response) -> Response:
        """Let the scenario's `with` block say what it counts as."""
        token = object()
        start_real_ns = self._real_ns - self._late_ns
        meta = self._session.meta(self._first, response, response.error, self._options, start_real_ns)

        # As with a stream, nothing here may hold the response.
        def settle(over: CaughtResponse | None, failure: Exception | None) -> None:
            if self._recorder is not None and self._recorder.held.pop(token, None) is None:
                return
            if over is None:
                self._record(Outcome.UNFINISHED, None if failure is None else str(failure))
                return
            renamed = meta.get("name")
            if isinstance(renamed, str):
                self._name = renamed
            self._settle(over, failure)

        if self._recorder is not None:
            self._recorder.held[token] = lambda: settle(None, None)
        return CaughtResponse(response, settle, meta)

    def _settle(self, response: Response, failure: Exception | None) -> None:
        if failure is None:
            self._record(Outcome.OK, None)
        elif isinstance(failure, RequestTimeoutError):
            self._record(Outcome.TIMEOUT, str(failure))
        else:
            self._record(Outcome.FAILED, str(failure))
        environment = self._session.environment
        if books.listened(environment):
            start_real_ns = self._real_ns - self._late_ns
            meta = self._session.meta(self._first, response, failure, self._options, start_real_ns)
            if self._name is not None:
                meta["name"] = self._name
            books.tell(environment, meta)

    def _record(self, outcome: Outcome, error: str | None) -> None:
        recorder = self._recorder
        # A listener of `events.request` may end the user by an exception when the request is recorded already.
        if recorder is None or self._recorded:
            return
        self._recorded = True
        now_ns = monotonic_ns()
        if self._end_us is None or outcome is Outcome.UNFINISHED:
            self._end_us = (now_ns - self._start_ns + self._late_ns) // 1_000
        first = self._first
        latency_us = max(0, self._end_us)
        endpoint = first.scenario, first.method, self._name or first.name
        tally = recorder.tally(*endpoint, self._start_us, self._start_us + latency_us)
        tally.record(
            outcome,
            latency_us,
            first_byte_us=self._first_byte_us,
            received=self._received_bytes,
            sent=self._sent_bytes,
            answered=self._answered,
            unanswered=self._unanswered,
            unconnected=self._unconnected,
        )
        if self._answered:
            recorder.done(self._start_ns - self._late_ns + 1_000 * self._end_us)
            if self._lag_us is None:
                recorder.unstamped += 1
            else:
                recorder.record_lag(self._lag_us)
        if error is not None:
            recorder.error(tally, error)
