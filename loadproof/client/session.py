"""`client` of a user: the methods that scenarios call, and the short way of the usual request."""

from __future__ import annotations

from contextlib import contextmanager
from time import monotonic_ns, time_ns
from typing import TYPE_CHECKING, Any, Final

from greenlet import getcurrent

from loadproof.client.answer import known_head
from loadproof.client.books import books
from loadproof.client.connection import SOON_NS
from loadproof.client.cookies import Cookies, merged
from loadproof.client.exchange import Exchange
from loadproof.client.options import USUAL, Options
from loadproof.client.origin import basic_authorization
from loadproof.client.request import build, encode_body, encode_json, with_params
from loadproof.client.response import Response
from loadproof.client.stamps import DRIFT_NS
from loadproof.errors import ConnectionLostError
from loadproof.measure.interval import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from ssl import SSLSession

    from locust.env import Environment

    from loadproof.client.connection import Connection
    from loadproof.client.origin import Origin
    from loadproof.client.request import Request
    from loadproof.client.settings import Settings
    from loadproof.client.tls import TlsConnection

KEPT: Final = 10
"""Idle connections that a user keeps to one origin, as FastHttpUser does."""
LARGE: Final = 65_536
"""Bytes of a request that may not go out in one piece."""
REMEMBERED: Final = 4_096
"""Requests that a user class keeps ready; a scenario with endless URLs builds them anew."""


class HttpSession:
    """One user's connections, cookies and requests.

    Whatever the network and the target do ends in a Response, never in an exception; wrong arguments raise
    ValueError or TypeError and count as failed requests.
    """

    __slots__ = (
        "_context",
        "_event",
        "_idle",
        "_jar",
        "_tls_sessions",
        "environment",
        "intended_ns",
        "request_name",
        "settings",
        "source",
        "waits",
    )

    def __init__(
        self,
        environment: Environment,
        settings: Settings,
        context: Callable[[], Mapping[str, Any]],
        source: str | None = None,
    ) -> None:
        self.environment = environment
        self._event = environment.events.request
        self._context = context
        self._idle: dict[Origin, list[Connection]] = {}
        self._jar: Cookies | None = None
        self._tls_sessions: dict[Origin, SSLSession] | None = None
        self.settings = settings
        self.source = source
        self.request_name: str | None = None
        self.intended_ns: int | None = None
        """When the next request was due, on CLOCK_MONOTONIC: its latency counts from then."""
        self.waits = 0
        """How often the user gave way to others in a request."""
        books.deadlines.start()

    @property
    def base_url(self) -> str | None:
        return self.settings.base_url

    @base_url.setter
    def base_url(self, url: str | None) -> None:
        self.settings = self.settings.at(url)

    @property
    def cookies(self) -> Cookies:
        if self._jar is None:
            self._jar = Cookies()
        return self._jar

    @cookies.setter
    def cookies(self, jar: Mapping[str, str]) -> None:
        self._jar = Cookies()
        self._jar.update(jar)

    @contextmanager
    def rename_request(self, name: str) -> Iterator[None]:
        """Name every request of the block."""
        self.request_name = name
        try:
            yield
        finally:
            self.request_name = None

    def get(self, url: str, *, name: str | None = None, **options: Any) -> Any:
        if options:
            return self.request("GET", url, name, **options)
        request = self.settings.requests.get(("GET", url, name or self.request_name))
        if request is None:
            return self.request("GET", url, name)
        message = request.bare if self._jar is None else b"%b%b\r\n" % (request.head, self._jar.line(request))
        return self._perform(request, message, None, USUAL)

    def post(
        self, url: str, data: Any = None, json: Any = None, *, name: str | None = None, **options: Any
    ) -> Any:
        if options or json is None or data is not None:
            return self.request("POST", url, name, data=data, json=json, **options)
        return self._send_json("POST", url, name, json)

    def put(
        self, url: str, data: Any = None, json: Any = None, *, name: str | None = None, **options: Any
    ) -> Any:
        if options or json is None or data is not None:
            return self.request("PUT", url, name, data=data, json=json, **options)
        return self._send_json("PUT", url, name, json)

    def patch(
        self, url: str, data: Any = None, json: Any = None, *, name: str | None = None, **options: Any
    ) -> Any:
        if options or json is None or data is not None:
            return self.request("PATCH", url, name, data=data, json=json, **options)
        return self._send_json("PATCH", url, name, json)

    def delete(self, url: str, **options: Any) -> Any:
        return self.request("DELETE", url, **options)

    def head(self, url: str, **options: Any) -> Any:
        """As requests has it, a HEAD is not redirected unless it is asked for."""
        options.setdefault("allow_redirects", False)
        return self.request("HEAD", url, **options)

    def options(self, url: str, **options: Any) -> Any:
        return self.request("OPTIONS", url, **options)

    def iter_lines(self, url: str, method: str = "GET", **options: Any) -> Iterator[str]:
        """The lines of a streamed answer, as they come."""
        response = self.request(method, url, stream=True, **options)
        response.raise_for_status()
        yield from response.iter_lines(decode_unicode=True)

    def request(
        self,
        method: str,
        url: str,
        name: str | None = None,
        params: Any = None,
        data: Any = None,
        json: Any = None,
        headers: Mapping[str, Any] | None = None,
        cookies: Any = None,
        auth: tuple[str | bytes, str | bytes] | None = None,
        files: Any = None,
        timeout: float | tuple[float | None, float | None] | None = None,
        allow_redirects: bool = True,
        catch_response: bool = False,
        stream: bool = False,
        verify: bool | str | None = None,
        cert: str | tuple[str, str] | None = None,
        context: Mapping[str, Any] | None = None,
        **unknown: Any,
    ) -> Any:
        """Send a request and record what it came to.

        `name` tells endpoints apart in reports and is the URL if left out. `timeout` is in seconds, for the
        connection and for each wait for bytes, or a pair of both. `stream` gives the answer when its head is
        there. `catch_response` is for a `with` block that calls `success()` or `failure(reason)`.
        """
        label = name or self.request_name
        try:
            if unknown:
                raise TypeError(f"{method} {url}: there is no argument {', '.join(map(repr, unknown))}")
            request = self._prepare(method, url, label, params, headers, auth, verify, cert)
            body: bytes | None = None
            content_type = None
            if json is not None and data is None and not files:
                body, content_type = encode_json(json), "application/json"
            elif data is not None or files:
                body, content_type = encode_body(data, files)
            elif request.method in {"POST", "PUT", "PATCH"}:
                body = b""
            if content_type is not None and request.has_content_type:
                content_type = None
            line = merged(self._jar, cookies, request) if cookies else self.cookie_line(request)
            options = USUAL
            if timeout is not None or not allow_redirects or catch_response or stream or context:
                options = Options.of(
                    timeout,
                    allow_redirects=allow_redirects,
                    stream=stream,
                    held=catch_response,
                    context=context,
                )
        except Exception as error:
            self.refuse(str(method).upper(), str(label or url), error)
            raise
        message = (
            b"%b%b\r\n" % (request.head, line)
            if body is None
            else request.with_body(body, content_type, line)
        )
        return self._perform(request, message, body, options)

    def _send_json(self, method: str, url: str, name: str | None, json: Any) -> Any:
        request = self.settings.requests.get((method, url, name or self.request_name))
        try:
            if request is None:
                return self.request(method, url, name, json=json)
            body = encode_json(json)
        except (TypeError, ValueError, OverflowError, RecursionError):
            # It fails there too, where failures of the scenario are counted.
            return self.request(method, url, name, json=json)
        cookies = b"" if self._jar is None else self._jar.line(request)
        message = b"%b%bContent-Length: %d\r\n\r\n%b" % (request.json_head, cookies, len(body), body)
        return self._perform(request, message, body, USUAL)

    def _prepare(
        self,
        method: str,
        url: str,
        name: str | None,
        params: Any,
        headers: Mapping[str, Any] | None,
        auth: tuple[str | bytes, str | bytes] | None,
        verify: bool | str | None,
        cert: str | tuple[str, str] | None,
    ) -> Request:
        known = self.settings.requests
        if params or auth or verify is not None or cert is not None:
            key: Any = None
        elif headers:
            key = (method, url, name, *headers.items())
        else:
            key = (method, url, name)
        try:
            request = None if key is None else known.get(key)
        except TypeError:
            key = request = None
        if request is not None:
            return request
        settings = self.settings
        fields: dict[str, Any] = {**settings.fields, **(headers or {})}
        if auth is not None:
            fields["Authorization"] = basic_authorization(*auth)
        request = build(
            method,
            with_params(url, params) if params else url,
            settings.base_url,
            name=name or url,
            fields=fields,
            verify=settings.verify if verify is None else verify,
            certificate=settings.certificate if cert is None else cert,
            proxy=settings.proxy,
        )
        request.scenario = settings.scenario
        if key is not None:
            if len(known) >= REMEMBERED:
                known.clear()
            known[key] = request
        return request

    def _perform(self, request: Request, message: bytes, body: bytes | None, options: Options) -> Any:
        """The short way: a kept connection, one write, one read with a whole ok answer that has no surprises.

        Wherever something else happens, an Exchange goes on from there.
        """
        start_ns = monotonic_ns()
        real_ns = time_ns()
        self.waits += 1
        late_ns = 0
        if self.intended_ns is not None:
            late_ns = max(0, start_ns - self.intended_ns)
            self.intended_ns = None
        idle = self._idle.get(request.origin)
        recorder = books.recorder
        if (
            not idle
            or options is not USUAL
            or not request.plain
            or recorder is None
            or start_ns > recorder.load_until_ns
            or len(message) > LARGE
        ):
            return Exchange(self, request, message, body, options, start_ns, real_ns, late_ns).run()
        connection = idle.pop()
        # What may be sent twice may also meet a close: within a moment the look costs more than it finds.
        looked = not request.idempotent or start_ns - connection.idle_since_ns > SOON_NS
        if looked and connection.is_stale():
            connection.close()
            return Exchange(self, request, message, body, options, start_ns, real_ns, late_ns).run()
        recorder.started += 1
        due_ns = recorder.open[connection] = start_ns - late_ns
        connection.deadline_ns = start_ns + self.settings.first_wait_ns
        connection.stamp_ns = 0
        current = getcurrent()
        try:
            if connection.waiter is not current:
                connection.use_by(current)
            rest = connection.send(message)
            data = None if rest else connection.receive()
        except ConnectionLostError as error:
            exchange = Exchange(self, request, message, body, options, start_ns, real_ns, late_ns)
            return exchange.run_after(connection, b"", error)
        except BaseException as error:  # noqa: BLE001 raised again unless it is a time-out of ours
            exchange = Exchange(self, request, message, body, options, start_ns, real_ns, late_ns)
            return exchange.end_by(connection, error)
        if data is None:
            exchange = Exchange(self, request, message, body, options, start_ns, real_ns, late_ns)
            return exchange.run_after(connection, None, None, rest)
        now_ns = monotonic_ns()
        now_real_ns = time_ns()
        head = known_head(data, request.head_size)
        stamp_ns = connection.stamp_ns
        drift = (now_real_ns - now_ns) - (real_ns - start_ns)
        # `stamps.arrived` without its call, and stricter: what it doubts, the long way decides.
        if (
            head is None
            or head.special
            or not real_ns <= stamp_ns <= now_real_ns
            or not -DRIFT_NS <= drift <= DRIFT_NS
        ):
            exchange = Exchange(self, request, message, body, options, start_ns, real_ns, late_ns)
            return exchange.run_after(connection, data, None)
        request.head_size = head.size
        connection.idle_since_ns = now_ns
        idle.append(connection)
        del recorder.open[connection]
        latency_us = (stamp_ns - real_ns + late_ns) // 1_000
        tally = request.tally
        if (
            tally is None
            or due_ns < tally.since_ns
            or now_ns >= tally.until_ns
            or tally.recorder is not recorder
        ):
            run_us = (due_ns - recorder.zero_ns) // 1_000
            endpoint = request.scenario, request.method, request.name
            tally = request.tally = recorder.tally(*endpoint, run_us, run_us + latency_us)
        sent = 0 if body is None else len(body)
        tally.record_whole(latency_us, head.length, sent, now_ns, (now_real_ns - stamp_ns) // 1_000)
        response = Response(request, body, head, data[head.size :], latency_us)
        if len(self._event._handlers) > books.own_listeners:  # noqa: SLF001 there is no other way to know
            books.tell(self.environment, self.meta(request, response, None, options, real_ns - late_ns))
        return response

    def meta(
        self,
        request: Request,
        response: Response,
        failure: Exception | None,
        options: Options,
        start_real_ns: int,
    ) -> dict[str, Any]:
        """What listeners of `events.request` are told, in Locust's words and milliseconds."""
        return {
            "request_type": request.method,
            "name": request.name,
            "context": {**self._context(), **(options.context or {})},
            "response": response,
            "exception": failure,
            "start_time": start_real_ns / 1e9,
            "url": request.url,
            "response_time": response._latency_us / 1_000,  # noqa: SLF001
            "response_length": response.length,
        }

    def cookie_line(self, request: Request) -> bytes:
        """The Cookie field for a request, with its line end."""
        return b"" if self._jar is None else self._jar.line(request)

    def tls_session(self, origin: Origin) -> SSLSession | None:
        return None if self._tls_sessions is None else self._tls_sessions.get(origin)

    def remember_tls(self, origin: Origin, connection: TlsConnection) -> None:
        """Keep what lets this user's next connection resume; each user has its own, as each browser has."""
        session = connection.session
        if session is not None:
            if self._tls_sessions is None:
                self._tls_sessions = {}
            self._tls_sessions[origin] = session

    def refuse(self, method: str, name: str, error: Exception) -> None:
        """Count a request that the scenario has got wrong: nothing went over the wire."""
        recorder = books.recorder
        if recorder is not None:
            ticket = recorder.begin(self.settings.scenario, method, name)
            recorder.finish(ticket, Outcome.FAILED, 0, error=str(error), answered=0)

    def close(self) -> None:
        """Close what is kept."""
        for idle in self._idle.values():
            while idle:
                idle.pop().close()

    def take(self, origin: Origin) -> Connection | None:
        """A kept connection that nobody has spoken on meanwhile."""
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            if not connection.is_stale():
                return connection
            connection.close()
        return None

    def keep(self, origin: Origin, connection: Connection) -> None:
        """Put a connection aside for the next request."""
        connection.patience_ns = 0
        connection.idle_since_ns = monotonic_ns()
        idle = self._idle.setdefault(origin, [])
        if len(idle) < KEPT:
            idle.append(connection)
        else:
            connection.close()
