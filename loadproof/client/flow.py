"""User classes made of a plan's flows: the same client, checks and rows as a scenario in Python has."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from itertools import accumulate
from types import new_class
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import urlencode

import gevent
from locust.user.task import LOCUST_STATE_RUNNING, LOCUST_STATE_STOPPING, LOCUST_STATE_WAITING

from loadproof.client.books import active_recorder
from loadproof.client.flow_answers import Body, Received, capturer, expectation, shown
from loadproof.client.flow_texts import json_filler, text_filler, texts_filler
from loadproof.client.rows import Rows
from loadproof.client.user import LoadUser
from loadproof.errors import RequestError, UsageError
from loadproof.measure.interval import Outcome
from loadproof.plan.flows import Loop, Message, OneOf, Request, Think, WebSocket
from loadproof.plan.templates import Reference, parts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from loadproof.client.flow_texts import Values
    from loadproof.plan.flows import Capture, Flow, RowsFile, Span, Step


@dataclass(slots=True)
class _Pass:
    """One pass of a user through its flow."""

    user: Any
    values: Values
    socket: Any = None
    """The WebSocket whose steps are played."""


_Play: TypeAlias = "Callable[[_Pass], bool]"
"""Plays a step; False when the pass cannot go on: a value is missing, or the user is to stop."""


class _NoAnswer:
    """A request that failed, for checks that have nothing to look at."""

    ok = False
    status_code = 0


_NO_ANSWER: Final = _NoAnswer()


def flow_class(flow: Flow) -> type[LoadUser]:
    """A user class that plays the flow; a pass is its one task, and the next begins anew.

    Raises UsageError, with the file and what is wrong with it, if its rows cannot be read.
    """
    rows = None if flow.rows is None else _rows(flow.rows)
    play = _sequence([_player(step, flow.headers) for step in flow.steps])

    def secrets() -> Values:
        # As late as this: a master makes these classes too, and needs no secret.
        return {name: os.environ[name] for name in flow.secrets}

    def one_pass(user: LoadUser) -> None:
        play(_Pass(user, secrets() if rows is None else {**secrets(), **user.row()}))

    members = {
        "__module__": __name__,
        "abstract": False,
        "checks": flow.checks,
        "rows": rows,
        "tasks": [one_pass],
        "wait_time": lambda _: _seconds(flow.wait),
        "weight": flow.weight,
    }
    return new_class(flow.name, (LoadUser,), exec_body=lambda namespace: namespace.update(members))


def _rows(asked: RowsFile) -> Rows:
    rows = Rows(asked.file, reuse=asked.reuse)
    for number, row in enumerate(rows.all, start=1):
        missing = [name for name in asked.columns if name not in row]
        if missing:
            raise UsageError(f"{asked.file}: row {number} has no {missing[0]}, which the plan knows")
    return rows


def _player(step: Step, headers: Mapping[str, str]) -> _Play:
    match step:
        case Request():
            return _request(step, headers)
        case Think():
            return _think(step.time)
        case Loop():
            return _loop(step.times, _sequence([_player(inner, headers) for inner in step.steps]))
        case OneOf():
            return _one_of(step, headers)
        case WebSocket():
            play = _sequence([_player(inner, headers) for inner in step.steps])
            return _websocket(step, headers, play)
        case Message():
            return _message(step)


def _sequence(plays: list[_Play]) -> _Play:
    return lambda at: all(play(at) for play in plays)


def _loop(times: int, play: _Play) -> _Play:
    def turns(at: _Pass) -> bool:
        return all(_goes_on(at.user) and play(at) for _ in range(times))

    return turns


def _one_of(step: OneOf, headers: Mapping[str, str]) -> _Play:
    weights = list(accumulate(alternative.weight for alternative in step.alternatives))
    plays = [
        _sequence([_player(inner, headers) for inner in alternative.steps])
        for alternative in step.alternatives
    ]

    def play(at: _Pass) -> bool:
        [chosen] = random.choices(plays, cum_weights=weights)
        return chosen(at)

    return play


def _think(time: Span) -> _Play:
    def think(at: _Pass) -> bool:
        user = at.user
        if not _goes_on(user):
            return False
        if at.socket is not None:
            # A user that waits is killed when it has to stop, and the WebSocket is a request in flight.
            gevent.sleep(_seconds(time))
            return _goes_on(user)
        user._state = LOCUST_STATE_WAITING  # noqa: SLF001 what Locust's own TaskSet.wait does
        gevent.sleep(_seconds(time))
        if not _goes_on(user):
            return False
        user._state = LOCUST_STATE_RUNNING  # noqa: SLF001
        return True

    return think


def _request(step: Request, flow_headers: Mapping[str, str]) -> _Play:
    method, label, check = step.method.upper(), step.label, step.check_name
    path = _address(step.path)
    headers = texts_filler({**flow_headers, **step.headers})
    params = texts_filler(step.params)
    json = None if step.json is None else json_filler(step.json)
    form = None if step.form is None else texts_filler(step.form)
    body = None if step.body is None else text_filler(step.body)
    statuses = step.expect.status
    # A redirect that is followed is never seen.
    follow = not any(300 <= status < 400 for status in statuses)
    problem = expectation(step.expect) if step.expect.is_check else None
    capture = _capture(step.capture)

    def play(at: _Pass) -> bool:
        user, values = at.user, at.values
        url = path(at)
        if url is None:
            _refuse(user, method, label)
            capture(at, None)
            return False
        fields = headers(values)
        options: dict[str, Any] = {} if follow else {"allow_redirects": False}
        if step.params:
            url += ("&" if "?" in url else "?") + urlencode(params(values), errors="replace")
        if json is not None:
            options["json"] = json(values)
        elif form is not None:
            fields.setdefault("Content-Type", "application/x-www-form-urlencoded")
            options["data"] = urlencode(form(values), errors="replace").encode()
        elif body is not None:
            options["data"] = body(values).encode("utf-8", "replace")
        if fields:
            options["headers"] = fields
        try:
            if statuses:
                with user.client.request(method, url, label, catch_response=True, **options) as response:
                    ok = _judged(response, statuses)
            else:
                response = user.client.request(method, url, label, **options)
                ok = response.ok
        except (ValueError, TypeError):
            # What a value makes of a header or an address may be refused; that is a failed request already.
            ok = False
        if not ok:
            if problem is not None:
                user.check(check, False, on=_NO_ANSWER)
            return capture(at, None)
        answer = Body(response)
        if problem is not None:
            lacks = problem(answer, values)
            user.check(check, lacks is None, detail=lacks)
        return capture(at, answer)

    return play


def _judged(response: Any, statuses: tuple[int, ...]) -> bool:
    """Make the request ok or failed by its status, and say which; an answer that is not whole has failed."""
    if response.error is not None:
        return False
    if response.status_code in statuses:
        response.success()
        return True
    response.failure(f"HTTP {response.status_code}, expected {' or '.join(map(str, statuses))}")
    return False


def _capture(captures: tuple[Capture, ...]) -> Callable[[_Pass, Body | None], bool]:
    """Takes every value from an answer; without an answer the checks are skipped, as all others are."""
    finders = [(capture.name, capture.check, capturer(capture)) for capture in captures]

    def take(at: _Pass, answer: Body | None) -> bool:
        complete = True
        for name, check, find in finders:
            if answer is None:
                complete = at.user.check(check, False, on=_NO_ANSWER)
                continue
            value, problem = find(answer)
            complete = at.user.check(check, problem is None, detail=problem) and complete
            at.values[name] = value
        return complete

    return take


def _address(template: str) -> Callable[[_Pass], str | None]:
    """The path to load; None if a captured address leads away from the target.

    A plan says which host is loaded, never an answer.
    """
    fill = text_filler(template)
    if not isinstance(parts_of(template)[0], Reference):
        return lambda at: fill(at.values)

    def address(at: _Pass) -> str | None:
        url = fill(at.values)
        host = str(at.user.host).rstrip("/")
        if url.startswith(f"{host}/"):
            return url.removeprefix(host)
        return url if url.startswith("/") else None

    return address


def _refuse(user: Any, method: str, label: str) -> None:
    """A request that is not sent is a failed one all the same."""
    recorder = active_recorder()
    if recorder is not None:
        ticket = recorder.begin(type(user).__name__, method, label)
        recorder.finish(ticket, Outcome.FAILED, 0, error="its address leads away from the target", answered=0)


def _websocket(step: WebSocket, flow_headers: Mapping[str, str], play: _Play) -> _Play:
    path, label = _address(step.path), step.label
    headers = texts_filler(flow_headers)

    def talk(at: _Pass) -> bool:
        url = path(at)
        if url is None:
            _refuse(at.user, "WEBSOCKET", label)
            return False
        try:
            with at.user.websocket(url, label, headers=headers(at.values)) as socket:
                return play(_Pass(at.user, at.values, socket))
        except (RequestError, ValueError, TypeError):
            return False  # a failed request already

    return talk


def _message(step: Message) -> _Play:
    send = None if step.send is None else text_filler(step.send)
    receive = None if step.receive is None else text_filler(step.receive)
    capture = _capture(step.capture)

    def talk(at: _Pass) -> bool:
        if receive is None:
            assert send is not None
            at.socket.send(send(at.values))
            return True
        try:
            message = at.socket.receive() if send is None else at.socket.round_trip(send(at.values))
        except RequestError:
            at.user.check(step.check, False, on=_NO_ANSWER)
            capture(at, None)
            raise
        answer = Body(Received(message))
        wanted = receive(at.values)
        at.user.check(step.check, wanted in answer.text, detail=f"no {shown(wanted)} in {shown(answer.text)}")
        return capture(at, answer)

    return talk


def _goes_on(user: Any) -> bool:
    return bool(user._state != LOCUST_STATE_STOPPING)  # noqa: SLF001 Locust's own protocol


def _seconds(time: Span) -> float:
    return random.uniform(time.low_us, time.high_us) / 1_000_000
