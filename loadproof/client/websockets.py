"""`websocket` of a user: messages both ways over one connection, which counts as one request."""

from __future__ import annotations

from time import monotonic, monotonic_ns, time_ns
from typing import TYPE_CHECKING, Any, Final

from locust.exception import InterruptTaskSet, RescheduleTask, RescheduleTaskImmediately, StopTest, StopUser
from websocket import ABNF

from loadproof.client.books import books
from loadproof.client.channel import Channel
from loadproof.client.options import Options
from loadproof.client.stamps import arrived
from loadproof.client.upgrade import METHOD, Upgrade
from loadproof.errors import RequestError, RequestTimeoutError
from loadproof.measure.interval import Timed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from loadproof.client.channel import Received
    from loadproof.client.session import HttpSession

_ORDERLY: Final = (StopUser, StopTest, InterruptTaskSet, RescheduleTask, RescheduleTaskImmediately)
"""How Locust lets a task end: such a way out of the block says nothing about the server."""


class WebSocketError(RequestError, RescheduleTask):  # type: ignore[misc]  # Locust's classes are not typed
    """A WebSocket failed, and is counted; `__cause__` is the RequestError that says how.

    Whoever does not catch it ends the task, and the user goes on with its next: a failed request is no defect of
    the scenario, and must not be counted once more as one.
    """


class WebSocket:
    """Text as str, binary as bytes; pings are answered by themselves.

    One request, from the call to the server's 101: that is its latency. It is counted when the block ends, and is
    ok if the scenario closed the connection and the server agreed, or if the server closed it with code 1000. It
    has failed if there was no connection, if the connection ended in any other way, if a round trip was not
    answered, or if an exception left the block. Frames are in no book; round trips and lifetimes are durations.
    """

    def __init__(
        self,
        session: HttpSession,
        url: str,
        name: str | None,
        *,
        subprotocols: Sequence[str],
        headers: Mapping[str, Any] | None,
        timeout: float | None,
    ) -> None:
        self._session = session
        self._asked = (url, name, subprotocols, headers, timeout)
        self._wait_s = session.settings.read_ns / 1e9 if timeout is None else timeout
        self._upgrade: Upgrade | None = None
        self._channel: Channel | None = None
        self._opened_ns = 0
        self._unanswered: RequestTimeoutError | None = None
        """Of the first round trip without an answer."""
        self._settled = False

    @property
    def subprotocol(self) -> str | None:
        """The one that the server chose of those offered."""
        return None if self._upgrade is None else self._upgrade.subprotocol

    def __enter__(self) -> Self:
        if self._upgrade is not None:
            raise RuntimeError("a WebSocket is opened once: ask the user for another")
        url, name, subprotocols, headers, timeout = self._asked
        try:
            options = Options.of(timeout, allow_redirects=False, stream=False, held=False, context=None)
            self._upgrade = Upgrade(self._session, url, name, subprotocols, headers, options)
        except Exception as error:
            self._session.refuse(METHOD, str(name or url), error)
            raise
        try:
            connection = self._upgrade.perform()
        except RequestError as error:
            raise WebSocketError(str(error)) from error
        self._opened_ns = monotonic_ns()
        self._channel = Channel(connection, self._upgrade.rest, self._wait_s)
        if books.recorder is not None:
            books.recorder.held[self] = self._give_up
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        channel = self._open_channel()
        try:
            if kind is None or issubclass(kind, _ORDERLY):
                channel.close()
                self._settle(channel.failure or self._unanswered)
            elif isinstance(value, RequestError):
                self._settle(value)
                raise WebSocketError(str(value)) from value
            elif isinstance(value, Exception):
                channel.close()
                self._settle(channel.failure or _left_by(value))
        finally:
            # Killed before or meanwhile, if it is not settled.
            self._give_up()
            channel.drop()

    def send(self, message: str | bytes) -> None:
        """Send one message; ConnectionLostError when the connection is over, RequestTimeoutError if nobody takes it."""
        if isinstance(message, str):
            self._open_channel().send(ABNF.OPCODE_TEXT, message)
        elif isinstance(message, bytes | bytearray | memoryview):
            self._open_channel().send(ABNF.OPCODE_BINARY, bytes(message))
        else:
            raise TypeError(f"a message is str or bytes, not {type(message).__name__}")

    def receive(self, timeout: float | None = None) -> str | bytes:
        """The next message, waiting for it at most `timeout` seconds.

        RequestTimeoutError when none comes in time, after which the connection still serves; ConnectionLostError
        when it is over; MalformedAnswerError when the server sent what is no message, and it is over too.
        """
        return self._open_channel().receive(self._seconds(timeout)).content

    def round_trip(
        self,
        message: str | bytes,
        timeout: float | None = None,
        matches: Callable[[str | bytes], bool] | None = None,
    ) -> str | bytes:
        """Send a message and give the one that answers it: the first for which `matches` is true, else the first.

        Messages that came before it was sent, or that do not match, are passed over. The time from the call until
        the answer came is recorded. Without an answer the WebSocket has failed, even if the error is caught.
        """
        until = monotonic() + self._seconds(timeout)
        recorder = books.recorder
        start_us = 0 if recorder is None else recorder.clock()
        sent_ns, sent_real_ns = monotonic_ns(), time_ns()
        self.send(message)
        channel = self._open_channel()
        try:
            while True:
                answer = channel.receive(until - monotonic())
                latency_us = _between(sent_ns, sent_real_ns, answer)
                if latency_us is not None and (matches is None or matches(answer.content)):
                    break
        except RequestTimeoutError as error:
            self._unanswered = self._unanswered or error
            raise
        self._tell_duration(Timed.ROUND_TRIP, latency_us, start_us)
        return answer.content

    def _open_channel(self) -> Channel:
        if self._channel is None:
            raise RuntimeError("a WebSocket is open within its `with` block only")
        return self._channel

    def _seconds(self, timeout: float | None) -> float:
        if timeout is None:
            return self._wait_s
        if timeout <= 0:
            raise ValueError(f"timeout is {timeout!r}: give seconds above 0")
        return timeout

    def _settle(self, failure: Exception | None) -> None:
        upgrade = self._leave()
        if upgrade is not None:
            upgrade.record(failure)

    def _give_up(self) -> None:
        upgrade = self._leave()
        if upgrade is not None:
            upgrade.record_unfinished()

    def _leave(self) -> Upgrade | None:
        """What is to be recorded now; None if it was already."""
        if self._settled:
            return None
        self._settled = True
        assert self._upgrade is not None
        if books.recorder is not None:
            books.recorder.held.pop(self, None)
        lifetime_us = (monotonic_ns() - self._opened_ns) // 1_000
        self._tell_duration(Timed.LIFETIME, lifetime_us, self._upgrade.start_us)
        return self._upgrade

    def _tell_duration(self, timed: Timed, us: int, at_us: int) -> None:
        if books.recorder is not None:
            assert self._upgrade is not None
            request = self._upgrade.request
            books.recorder.duration(request.scenario, timed, request.name, us, at_us)


def _between(sent_ns: int, sent_real_ns: int, answer: Received) -> int | None:
    """Microseconds from a sending to an arrival; None if that came before."""
    if answer.read_ns < sent_ns:
        return None
    now_ns, now_real_ns = monotonic_ns(), time_ns()
    if arrived(answer.stamp_ns, sent_real_ns, now_real_ns, sent_ns, now_ns):
        return (answer.stamp_ns - sent_real_ns) // 1_000
    steady = arrived(now_real_ns, sent_real_ns, now_real_ns, sent_ns, now_ns)
    if steady and 0 < answer.stamp_ns < sent_real_ns:
        return None
    return (answer.read_ns - sent_ns) // 1_000


def _left_by(error: Exception) -> Exception:
    return Exception(f"the scenario's `with` block raised {type(error).__name__}: {error}")
