"""What a system's Prometheus says during a run: asked every second, written into the run folder as it comes."""

from __future__ import annotations

import http.client
import json
import ssl
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode, urlsplit

import gevent

from loadproof.errors import RunFolderError, UsageError
from loadproof.measure.scrub import SHORTEST, Scrubber
from loadproof.plan.prometheus import token_variable
from loadproof.verdict.grammar import parse_rule
from loadproof.verdict.rule import PROMQL
from loadproof.verdict.samples import sampled_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from distributed.clock import RunClock
    from distributed.run_folder import RunFolder
    from loadproof.plan.model import Plan, Prometheus

ANSWER_S: Final = 4.0
"""For one question, so that one that is not answered leaves no gap which a rule would mind."""
ANSWER_BYTES: Final = 1 << 20
EVENTS: Final = 20
"""Losses of one name that become events; `samples.jsonl` has them all."""
_BROKEN: Final = (OSError, http.client.HTTPException)


class NoValueError(Exception):
    """There is no number to be had; the text says why, in a clause."""


class UnreachableError(NoValueError):
    """Prometheus itself does not answer, or not to us."""


class RefusedError(NoValueError):
    """The question cannot have one number for an answer, whatever is measured."""


@dataclass(frozen=True)
class Query:
    """One thing to ask for; `needed` unless only optional rules go by it."""

    name: str
    """Of its samples: `promql(up)`, `target.cpu`."""
    expression: str
    needed: bool


def queries_of(plan: Plan) -> tuple[Query, ...]:
    """Every `promql(...)` of the rules once, and the resources of the plan's Prometheus."""
    resources = plan.prometheus.resources if plan.prometheus is not None else {}
    expressions = dict(resources)
    needed = set()
    for text in plan.rules:
        rule = parse_rule(text.text)
        if not rule.statistic.is_sampled:
            continue
        if rule.statistic.name == PROMQL:
            expressions[sampled_name(rule)] = str(rule.statistic.argument)
        if not text.optional:
            needed.add(sampled_name(rule))
    return tuple(Query(name, expression, name in needed) for name, expression in expressions.items())


class Client:
    """Asks one Prometheus over one kept connection; of one greenlet."""

    def __init__(self, url: str, token: str | None) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port
        self._is_secure = parts.scheme == "https"
        self._path = f"{parts.path}/api/v1/query"
        self._headers = {
            "User-Agent": "loadproof",
            "Accept": "application/json",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        self._scrub = Scrubber([token] if token else [])
        self._connection: http.client.HTTPConnection | None = None

    def value(self, expression: str) -> float:
        """The expression's value now; NoValueError says why there is none."""
        timeout = gevent.Timeout(ANSWER_S)
        timeout.start()
        try:
            status, body = self._ask(expression)
        except gevent.Timeout as ours:
            self.close()
            if ours is not timeout:
                raise
            raise UnreachableError(f"Prometheus did not answer within {ANSWER_S:.0f} s") from None
        except _BROKEN as error:
            self.close()
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise UnreachableError(self._scrub(f"Prometheus does not answer: {reason}")) from None
        finally:
            timeout.close()
        return self._read(status, body)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self, expression: str) -> tuple[int, bytes]:
        form = urlencode({"query": expression, "timeout": f"{ANSWER_S:.0f}s"})
        is_kept = self._connection is not None
        try:
            return self._exchange(form)
        except _BROKEN:
            # A connection that was kept may have been closed since; a question can be asked twice.
            self.close()
            if not is_kept:
                raise
            return self._exchange(form)

    def _exchange(self, form: str) -> tuple[int, bytes]:
        if self._connection is None:
            if self._is_secure:
                context = ssl.create_default_context()
                self._connection = http.client.HTTPSConnection(
                    self._host, self._port, timeout=ANSWER_S, context=context
                )
            else:
                self._connection = http.client.HTTPConnection(self._host, self._port, timeout=ANSWER_S)
        self._connection.request("POST", self._path, form, self._headers)
        answer = self._connection.getresponse()
        body = answer.read(ANSWER_BYTES)
        if not answer.isclosed():
            self.close()
        return answer.status, body

    def _read(self, status: int, body: bytes) -> float:
        try:
            answer: Any = json.loads(body)
        except ValueError:
            answer = None
        if not isinstance(answer, dict) or "status" not in answer:
            what = {401: ": it wants another token", 403: ": the token may not ask"}.get(status, "")
            raise UnreachableError(f"what should be Prometheus answered {status}{what}")
        if answer["status"] != "success":
            said = self._scrub(str(answer.get("error", ""))[:300])
            if answer.get("errorType") == "bad_data":
                raise RefusedError(f"Prometheus cannot read it: {said}")
            raise NoValueError(f"Prometheus answered {status}: {said}")
        return _number(answer.get("data"))


class Sampler:
    """Asks for everything that a plan's rules need, from the zero of a run until it is stopped."""

    def __init__(self, plan: Plan, folder: RunFolder, environ: Mapping[str, str]) -> None:
        self._prometheus = plan.prometheus
        self._queries = queries_of(plan) if plan.prometheus is not None else ()
        self._folder = folder
        self._environ = environ
        self._greenlets: list[gevent.Greenlet] = []

    def check(self) -> tuple[str, ...]:
        """Ask for everything once, before the load; what has no value yet is a note.

        UsageError where a rule that must be judged could only end without data.
        """
        notes = []
        for query in self._queries:
            client = self._client()
            try:
                client.value(query.expression)
            except UnreachableError as error:
                what = f"{self._url}: {error}; start it, or name another with --prometheus"
                if any(query.needed for query in self._queries):
                    raise UsageError(what) from None
                return (f"{what}: optional rules will have no data",)
            except RefusedError as error:
                if query.needed:
                    raise UsageError(f"{query.name}: {error}") from None
                notes.append(f"{query.name}: {error}: it will have no data")
            except NoValueError as error:
                notes.append(f"{query.name} has no value yet: {error}")
            finally:
                client.close()
        return tuple(notes)

    def start(self, clock: RunClock, unwritable: Callable[[RunFolderError], None]) -> None:
        """Begin to sample; `unwritable` is told when the run folder takes no more."""
        for number, query in enumerate(self._queries):
            # Spread over the second, so that Prometheus is not asked for everything at once.
            offset_us = 1_000_000 * number // len(self._queries)
            self._greenlets.append(gevent.spawn(self._sample, query, clock, offset_us, unwritable))

    def stop(self) -> None:
        gevent.killall(self._greenlets)
        self._greenlets.clear()

    @property
    def _url(self) -> str:
        return "" if self._prometheus is None else f"the Prometheus {self._prometheus.url}"

    def _client(self) -> Client:
        assert self._prometheus is not None
        return Client(self._prometheus.url, _token(self._prometheus, self._environ))

    def _sample(
        self, query: Query, clock: RunClock, offset_us: int, unwritable: Callable[[RunFolderError], None]
    ) -> None:
        client = self._client()
        lost: str | None = None
        events = 0
        second = 0
        try:
            while True:
                gevent.sleep(clock.seconds_until(second * 1_000_000 + offset_us))
                now = max(0, clock.now_us())
                try:
                    value = client.value(query.expression)
                except NoValueError as error:
                    why = str(error)
                    if why != lost:
                        self._folder.no_sample(now, query.name, why)
                        events += 1
                        if events <= EVENTS:
                            self._folder.event(now, "no_sample", why, query.name)
                    lost = why
                else:
                    self._folder.sample(now, query.name, value)
                    if lost is not None and events <= EVENTS:
                        self._folder.event(now, "sample", "there are values again", query.name)
                    lost = None
                second = max(second + 1, (clock.now_us() - offset_us) // 1_000_000 + 1)
        except RunFolderError as error:
            unwritable(error)
        finally:
            client.close()


def _token(prometheus: Prometheus, environ: Mapping[str, str]) -> str | None:
    name = token_variable(prometheus)
    token = (environ.get(name) or "").strip()
    if not token:
        if prometheus.token is not None:
            raise UsageError(f"{name} holds the token of the plan's Prometheus and is not set here: set it")
        return None
    if len(token) < SHORTEST or not token.isascii() or not token.isprintable():
        raise UsageError(
            f"{name} cannot be a token: it needs {SHORTEST} characters at least, all of them plain text"
        )
    return token


def _number(data: Any) -> float:
    """The one number of an answer's `data`."""
    kind = data.get("resultType") if isinstance(data, dict) else None
    result: Any = data.get("result") if isinstance(data, dict) else None
    if kind not in {"vector", "scalar"} or not isinstance(result, list):
        what = {"matrix": "a range of values", "string": "a text"}.get(str(kind), "something unknown")
        raise RefusedError(f"it gives {what}, not a number: use a function such as rate() or avg_over_time()")
    if kind == "vector":
        if not result:
            raise NoValueError("it gives no series: nothing of that name and these labels is stored now")
        if len(result) > 1:
            raise RefusedError(
                f"it gives {len(result)} series, and a rule needs one number: put sum(), avg(), min() or max() "
                "around it"
            )
        result = result[0].get("value") if isinstance(result[0], dict) else None
    try:
        value = float(result[1])
    except (TypeError, ValueError, IndexError):
        raise NoValueError("Prometheus gave something that is no number") from None
    if not isfinite(value):
        raise NoValueError(f"its value is {result[1]}")
    return value
