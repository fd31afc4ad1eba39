"""Records the requests of stock Locust users through their sessions and `events.request`.

Locust tells of a request only when it has ended, so one that hangs at the stop would vanish. The sessions of
`FastHttpUser` and `HttpUser` are therefore wrapped: a request is counted when it starts, and whatever ends it
(an answer, an exception, the greenlet's death) closes it exactly once. Anything else that fires the event,
such as a gRPC plugin, is recorded at its end and counted as untracked.
"""

from __future__ import annotations

import functools
import socket
from typing import TYPE_CHECKING, Any, Final

import requests
from gevent.timeout import Timeout
from locust import clients
from locust.contrib import fasthttp

from loadproof.client.books import RUN_HEADER, books
from loadproof.measure.interval import Outcome
from loadproof.units import ABSENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from locust.env import Environment

    from loadproof.measure.recorder import Recorder, Ticket

_TICKET: Final = "loadproof_ticket"
ERROR_LENGTH: Final = 300
LONGEST_US: Final = 10**15
_TIMEOUTS: Final = (TimeoutError, socket.timeout, Timeout, requests.exceptions.Timeout)
_NO_EXCHANGE: Final = (ConnectionRefusedError, socket.gaierror, requests.exceptions.ConnectTimeout)


def start_recording(environment: Environment, recorder: Recorder, run: str) -> None:
    """Record every request of this process from now on; once a process."""
    books.begin(recorder, run)
    for session in (fasthttp.FastHttpSession, clients.HttpSession):
        session.request = _counted(session.request)
    for response in (fasthttp.ResponseContextManager, clients.ResponseContextManager):
        response.__exit__ = _closing(response.__exit__)
    books.listen(environment, functools.partial(_on_request, recorder))
    environment.events.user_error.add_listener(functools.partial(_on_user_error, recorder))


def _counted(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def request(
        session: Any, method: str, url: str, name: str | None = None, *args: Any, **options: Any
    ) -> Any:
        books.check_leave()
        recorder = books.recorder
        assert recorder is not None
        label = name or session.request_name or url
        scenario = type(session.user).__name__ if session.user is not None else ABSENT
        options["headers"] = {**(options.get("headers") or {}), RUN_HEADER: books.run}
        ticket = recorder.begin(scenario, str(method).upper(), str(label))
        options["context"] = {**(options.get("context") or {}), _TICKET: ticket}
        try:
            return original(session, method, url, name, *args, **options)
        except Exception as error:
            # Locust lets a bad URL or argument escape: nothing went over the wire, the scenario is wrong.
            recorder.finish(ticket, Outcome.FAILED, 0, error=error_text(error), answered=0)
            raise
        except BaseException:
            recorder.abandon(ticket)
            raise

    return request


def _closing(original: Callable[..., Any]) -> Callable[..., Any]:
    """Locust forgets a request whose `with` block ends by an exception of the scenario's own."""

    @functools.wraps(original)
    def leave(response: Any, kind: Any, value: Any, traceback: Any) -> Any:
        recorder = books.recorder
        # The event takes the ticket out of the context.
        ticket: Ticket | None = response.request_meta["context"].get(_TICKET)
        swallowed = original(response, kind, value, traceback)
        if recorder is not None and ticket is not None and ticket.open:
            if kind is None or issubclass(kind, Exception):
                recorder.finish(
                    ticket,
                    Outcome.FAILED,
                    _microseconds(response.request_meta["response_time"]) or 0,
                    error=f"the scenario's `with` block raised {error_text(value)}",
                )
            else:
                recorder.finish(
                    ticket, Outcome.UNFINISHED, _microseconds(response.request_meta["response_time"]) or 0
                )
        return swallowed

    return leave


def _on_request(
    recorder: Recorder,
    request_type: Any = None,
    name: Any = None,
    response_time: Any = None,
    response_length: Any = None,
    exception: Any = None,
    response: Any = None,
    context: Any = None,
    **_rest: Any,
) -> None:
    """Whatever a plugin tells: Locust drops what a listener trips over, and a lost request could be a bad one."""
    ticket: Ticket | None = context.pop(_TICKET, None) if isinstance(context, dict) else None
    if ticket is None:
        ticket = recorder.begin(ABSENT, str(request_type), str(name))
        recorder.untracked()
    latency_us = _microseconds(response_time)
    failure = error_text(exception) if isinstance(exception, BaseException | str) else str(exception)
    outcome = Outcome.OK
    if exception is not None:
        is_timeout = isinstance(exception, BaseException) and _caused_by(exception, _TIMEOUTS)
        outcome = Outcome.TIMEOUT if is_timeout else Outcome.FAILED
    elif latency_us is None:
        outcome = Outcome.FAILED
        failure = f"its event told a response time that is none: {response_time!r}"
    answered, unanswered = _exchanges(response, exception)
    recorder.finish(
        ticket,
        outcome,
        latency_us or 0,
        name=str(name),
        bytes_received=_bytes(response_length),
        error=None if outcome is Outcome.OK else failure[:ERROR_LENGTH],
        answered=answered,
        unanswered=unanswered,
    )


def _on_user_error(recorder: Recorder, user_instance: Any, exception: BaseException, **_rest: Any) -> None:
    user = getattr(user_instance, "user", user_instance)
    recorder.task_error(f"{type(user).__name__}: {error_text(exception)}")


def _exchanges(response: Any, exception: Any) -> tuple[int, int]:
    """Answered and unanswered exchanges of one request: each redirect hop is one of its own."""
    if response is None:
        return (1, 0) if exception is None else (0, 1)
    hops = len(getattr(response, "history", None) or ())
    if getattr(response, "status_code", 0):
        return hops + 1, 0
    if isinstance(exception, BaseException) and _caused_by(exception, _NO_EXCHANGE):
        return hops, 0
    return hops, 1


def error_text(error: BaseException | str) -> str:
    """One line that says what went wrong, without what differs from request to request."""
    if isinstance(error, str):
        return error[:ERROR_LENGTH]
    status = getattr(error, "code", None)
    if isinstance(error, fasthttp.LocustBadStatusCode) and status is not None:
        return f"HTTP {status}"
    answer = getattr(error, "response", None)
    if isinstance(error, requests.exceptions.HTTPError) and answer is not None:
        return f"HTTP {answer.status_code}"
    root = error
    for cause in _causes(error):
        if isinstance(cause, (*_TIMEOUTS, OSError)):
            root = cause
    if _caused_by(error, _TIMEOUTS):
        return "timeout"
    if isinstance(root, OSError) and root.strerror:
        return f"{type(root).__name__}: {root.strerror}"
    return f"{type(root).__name__}: {root}"[:ERROR_LENGTH]


def _caused_by(error: BaseException, kinds: tuple[type[BaseException], ...]) -> bool:
    return any(isinstance(cause, kinds) for cause in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An exception and what it wraps, outermost first; geventhttpclient keeps its cause as `original`."""
    seen: set[int] = set()
    waiting: list[Any] = [error]
    while waiting:
        current = waiting.pop(0)
        if not isinstance(current, BaseException) or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        waiting += [getattr(current, "original", None), current.__cause__, current.__context__]
        waiting += [argument for argument in current.args if isinstance(argument, BaseException)]


def _microseconds(milliseconds: Any) -> int | None:
    """What a plugin reports may be negative, absurd or no number; a journal takes none of these.

    None for what is no time. Locust lets an event go without one, and such a request counts as instant.
    """
    if milliseconds is None:
        return 0
    try:
        microseconds = float(milliseconds) * 1000
    except (TypeError, ValueError, OverflowError):
        return None
    return round(min(microseconds, LONGEST_US)) if microseconds >= 0 else None


def _bytes(length: Any) -> int:
    """What a plugin says of an answer's length, where it is a number."""
    try:
        return max(0, int(length or 0))
    except (TypeError, ValueError, OverflowError):
        return 0
