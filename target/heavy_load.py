"""The AI writing flow: drafts texts for real, so many at once, behind a circuit breaker, and keeps what it wrote.

A flow takes `processing_time` where none waits: 19 parts of it are waiting, as for a language model, and 1 part
is CPU time, halved between a first draft and its one revision; each further revision costs half a part more. It
fails with 500 as often as `failure_rate` says. At most `concurrent_flows` are worked on at once in each process,
as many may wait, and whoever comes then is refused with 503 and Retry-After. A draft that had to wait is not
revised: it is of less quality, and comes.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import math
import os
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from target.answers import RefusedError, answer, read_json
from target.circuit import Circuit, CircuitOpenError, CircuitState
from target.drafts import MOST, Drafts
from target.endpoint import Endpoint
from target.policy import NO_NUL

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from target.metrics import Metrics
    from target.switches import Switches

WAITING_PARTS: Final = 19
PARTS: Final = 20
PASS_PARTS: Final = 0.5
"""CPU time of a draft, and of each of its revisions."""
LOOK_S: Final = 0.25
"""How often a process with drafts looks whether it is to let some go."""
VOCABULARY: Final = (
    *("a", "the", "one", "every", "no", "this", "old", "clear", "quiet", "bright", "narrow", "patient"),
    *("reader", "page", "draft", "voice", "margin", "letter", "sentence", "chapter", "river", "window"),
    *("writes", "keeps", "turns", "finds", "leaves", "answers", "carries", "forgets", "and", "of", "with"),
    *("toward", "before", "beyond", "slowly", "again", "never", "still"),
)
_MILLION: Final = 1_000_000


class FlowOrder(Struct, frozen=True, forbid_unknown_fields=True):
    """A text that is asked for."""

    topic: Annotated[str, Meta(min_length=1, max_length=200), NO_NUL]
    words: Annotated[int, Meta(ge=1, le=20_000)] = 500
    revisions: Annotated[int, Meta(ge=0, le=20)] = 1
    """Each costs CPU time."""


class FlowAnswer(Struct, frozen=True):
    topic: str
    draft: str
    words: int
    digest: str
    """SHA-256 of the draft in UTF-8, in hexadecimal."""
    quality: Literal["full", "reduced"]
    """Reduced where the flow had to wait: its draft was not revised."""
    processing_us: int
    """From when it was worked on."""


class CapacityAnswer(Struct, frozen=True):
    """Of all processes together, as everything here."""

    running: int
    most_running: int
    waiting: int
    most_waiting: int


class DraftsAnswer(Struct, frozen=True):
    kept: int
    kept_bytes: int
    most_kept: int | None
    """None while `keep_drafts` is on: there is no limit."""
    let_go: int
    """Since the target began."""


class StateAnswer(Struct, frozen=True):
    completed: int
    failed: int
    refused: int
    capacity: CapacityAnswer
    circuit: CircuitState
    """The worst of all processes."""
    circuit_openings: int
    drafts: DraftsAnswer


class CleanedAnswer(Struct, frozen=True):
    drafts: int
    """That were kept when they were let go."""
    draft_bytes: int


_form: Final = msgspec.json.Decoder(FlowOrder)


class Flows:
    """The writing flows of one process."""

    def __init__(self, switches: Switches, metrics: Metrics) -> None:
        self._switches = switches
        self._metrics = metrics
        self._running = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._begun = 0
        self._pool = ThreadPoolExecutor(os.cpu_count() or 1, "writer")
        self.circuit = Circuit(changed=self._circuit_changed)
        self._drafts = Drafts(self._drafts_changed)
        self._cleanups = 0
        self._looking = False

    async def write(self, order: FlowOrder) -> FlowAnswer:
        """Raises RefusedError: 503 where there is no room or the circuit is open, 500 where the flow fails."""
        try:
            ticket = self.circuit.admit()
        except CircuitOpenError as error:
            self._metrics.flow("refused")
            raise RefusedError(503, "circuit_open", str(error), _retry_after(error.wait_s)) from None
        ok = None
        try:
            waited = await self._enter()
            try:
                ok = False
                written = await self._write(order, reduced=waited)
                ok = True
            except asyncio.CancelledError:
                ok = None
                raise
            finally:
                self._leave()
        finally:
            self.circuit.ended(ticket, ok)
        return written

    def clean(self) -> CleanedAnswer:
        """Let all drafts go; other processes follow within LOOK_S."""
        now = self._metrics.flows()
        self._metrics.flow("cleanups")
        self._drafts.let_go(0)
        self._cleanups = now["cleanups"] + 1
        return CleanedAnswer(now["drafts"], now["draft_bytes"])

    def state(self, processes: int) -> StateAnswer:
        self._let_go()
        now = self._metrics.flows()
        most = self._switches.flow("concurrent_flows") * processes
        keeping = self._switches.flow("keep_drafts")
        worst = (state for state in (CircuitState.OPEN, CircuitState.HALF_OPEN) if now[f"circuit_{state}"])
        return StateAnswer(
            now["completed"],
            now["failed"],
            now["refused"],
            CapacityAnswer(now["running"], most, now["waiting"], most),
            next(worst, CircuitState.CLOSED),
            now["circuit_openings"],
            DraftsAnswer(
                now["drafts"], now["draft_bytes"], None if keeping else MOST * processes, now["let_go"]
            ),
        )

    async def _write(self, order: FlowOrder, *, reduced: bool) -> FlowAnswer:
        began = time.monotonic_ns()
        part_us = self._switches.flow("processing_time") / PARTS
        fails = self._fails()
        await asyncio.sleep(part_us * WAITING_PARTS / 2 / _MILLION)
        passes = 1 + (0 if reduced else order.revisions)
        cpu_ns = round(passes * PASS_PARTS * part_us * 1_000)
        draft = await asyncio.get_running_loop().run_in_executor(
            self._pool, draft_of, order.topic, order.words, cpu_ns
        )
        await asyncio.sleep(part_us * WAITING_PARTS / 2 / _MILLION)
        if fails:
            self._metrics.flow("failed")
            raise RefusedError(500, "flow_failed", "the writing flow failed, as `failure_rate` says")
        self._drafts.keep(draft, order.words)
        if not self._switches.flow("keep_drafts"):
            self._drafts.let_go()
        if not self._looking:
            self._look()
        self._metrics.flow("completed")
        return FlowAnswer(
            order.topic,
            draft.decode(),
            order.words,
            hashlib.sha256(draft).hexdigest(),
            "reduced" if reduced else "full",
            (time.monotonic_ns() - began) // 1_000,
        )

    def _fails(self) -> bool:
        """The n-th flow fails when n times the rate passes an integer: evenly, and as many as asked."""
        rate = self._switches.flow("failure_rate")
        before = self._begun
        self._begun += 1
        return self._begun * rate // _MILLION > before * rate // _MILLION

    async def _enter(self) -> bool:
        """Take a place; whether it had to be waited for. RefusedError (503) where too many wait."""
        most = self._switches.flow("concurrent_flows")
        if self._running < most and not self._waiting:
            self._start()
            return False
        if len(self._waiting) >= most:
            self._metrics.flow("refused")
            message = f"{self._running} flows are worked on and {len(self._waiting)} wait"
            raise RefusedError(503, "no_capacity", message, _retry_after(1))
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._metrics.flow("waiting")
        try:
            await turn
        except asyncio.CancelledError:
            if turn in self._waiting:
                self._waiting.remove(turn)
                self._metrics.flow("waiting", -1)
            elif not turn.cancelled():
                self._leave()
            raise
        return True

    def _start(self) -> None:
        self._running += 1
        self._metrics.flow("running")

    def _leave(self) -> None:
        self._running -= 1
        self._metrics.flow("running", -1)
        while self._waiting and self._running < self._switches.flow("concurrent_flows"):
            turn = self._waiting.popleft()
            self._metrics.flow("waiting", -1)
            if not turn.cancelled():
                self._start()
                turn.set_result(None)

    def _look(self) -> None:
        self._let_go()
        self._looking = len(self._drafts) > 0
        if self._looking:
            asyncio.get_running_loop().call_later(LOOK_S, self._look)

    def _let_go(self) -> None:
        cleanups = self._metrics.flows()["cleanups"]
        if cleanups != self._cleanups:
            self._cleanups = cleanups
            self._drafts.let_go(0)
        elif not self._switches.flow("keep_drafts"):
            self._drafts.let_go()

    def _drafts_changed(self, drafts: int, size: int) -> None:
        self._metrics.flow("drafts", drafts)
        self._metrics.flow("draft_bytes", size)
        if drafts < 0:
            self._metrics.flow("let_go", -drafts)

    def _circuit_changed(self, before: CircuitState, now: CircuitState) -> None:
        if before is not CircuitState.CLOSED:
            self._metrics.flow(f"circuit_{before}", -1)
        if now is not CircuitState.CLOSED:
            self._metrics.flow(f"circuit_{now}")
        if now is CircuitState.OPEN:
            self._metrics.flow("circuit_openings")


def draft_of(topic: str, words: int, cpu_ns: int) -> bytes:
    """So many words on a topic, always the same; takes `cpu_ns` of CPU time, at least, of the calling thread."""
    began = time.thread_time_ns()
    choices = hashlib.shake_256(topic.encode()).digest(words)
    draft = " ".join([VOCABULARY[choice % len(VOCABULARY)] for choice in choices]).encode()
    while time.thread_time_ns() - began < cpu_ns:
        # Some 0.1 ms without the interpreter's lock, which the event loop needs.
        hashlib.pbkdf2_hmac("sha256", draft, b"", 200)
    return draft


def _retry_after(wait_s: float) -> dict[str, str]:
    return {"Retry-After": str(max(1, math.ceil(wait_s)))}


async def write(request: Request) -> Response:
    """Write a text; 503 with Retry-After where there is no room, or after too many failures."""
    order = await read_json(request, _form)
    return answer(await request.app.state.flows.write(order), 201)


async def state(request: Request) -> Response:
    """How much is worked on, waits and is kept, and whether the circuit lets anything through."""
    state = request.app.state
    return answer(state.flows.state(state.metrics.processes))


async def clean(request: Request) -> Response:
    """Let all kept drafts go."""
    return answer(request.app.state.flows.clean())


_endpoint: Final = functools.partial(Endpoint, needs_hash=False)

ROUTES: Final = (
    _endpoint("POST", "/writing/flows", write, body=FlowOrder, answers={201: FlowAnswer}),
    _endpoint("GET", "/writing/state", state, answers={200: StateAnswer}),
    _endpoint("DELETE", "/writing/drafts", clean, answers={200: CleanedAnswer}),
)
