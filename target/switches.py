"""Planted faults: what a client's checks and a plan's rules must find, switched on and off while it serves.

    slow=DURATION          every governance answer comes that much later
    slow_one=ENDPOINT DURATION   every answer of one endpoint comes that much later, besides `slow`
    errors=RATIO           that share of governance requests is answered with 500, evenly spread
    wrong_hash=N           N answers name another constitution, in header and body
    leaked_row=N           N lists of a tenant's rows have one of another tenant
    broken_link=N          N ranges of the audit trail have a link that does not fit
    bad_signature=N        N ranges of the audit trail have a signature that does not
    false_proof=N          N obligations that do not hold are said to be proved
    false_refutation=N     N obligations that hold are said to be refuted
    processing_time=DURATION   what a writing flow takes where none waits, 100 ms unless told
    failure_rate=RATIO     that share of writing flows fails, evenly spread, 0.05 unless told
    concurrent_flows=N     so many writing flows are worked on at once in each process, 16 unless told
    keep_drafts=BOOLEAN    no draft is let go, so that memory grows with every writing flow
    leak=BYTES             every governance request leaves an object of that size behind, for good

    database_down gateway_timeout memory_pressure component_crash
    state_corruption storage_down config_missing=BOOL   a component is gone, see `target.components`

Governance requests are those to every endpoint but the gateway's own. A number counts down, one with each
answer that the fault was in, and at 0 the target is right again. A disturbed request still counts in /counts.

The switches are words of a memory-mapped file that all server processes share, so a number is right over
several of them. A change is made under a lock; looking whether a switch is off takes none.
"""

from __future__ import annotations

import asyncio
import fcntl
import mmap
import sys
import threading
from difflib import get_close_matches
from ipaddress import ip_address
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from msgspec import Meta

from loadproof.errors import UnitError, UsageError
from loadproof.units import duration_text, parse_duration
from target.answers import RefusedError, answer, read_json
from target.constitution import HEADER_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import Message, Send

COUNTED: Final = (
    "wrong_hash",
    "leaked_row",
    "broken_link",
    "bad_signature",
    "false_proof",
    "false_refutation",
)
HELD: Final = (
    "database_down",
    "gateway_timeout",
    "memory_pressure",
    "component_crash",
    "state_corruption",
    "storage_down",
    "config_missing",
)
"""On until they are switched off."""
LONGEST_US: Final = 600_000_000
_MILLION: Final = 1_000_000
_SLOW: Final = 0
_ERRORS: Final = 1
_SEEN: Final = 2
"""Requests since `errors` was set, which decide whose turn it is."""
_SLOW_ONE: Final = 3
_AT: Final = {name: 4 + at for at, name in enumerate((*COUNTED, *HELD))}
_WRONG_HASH: Final = _AT["wrong_hash"]
FLOWS: Final = {
    "processing_time": 100_000,
    "failure_rate": 50_000,
    "concurrent_flows": 16,
    "keep_drafts": 0,
}
"""Of the writing flow, as they are unless told: microseconds, millionths, flows, 0 or 1. A word has one more, 0 for that."""
_FLOW_AT: Final = {name: 4 + len(_AT) + at for at, name in enumerate(FLOWS)}
_LEAK: Final = 4 + len(_AT) + len(FLOWS)
_WORDS: Final = 8 * (_LEAK + 1)
LEAST_LEAK: Final = sys.getsizeof(b"") + 2
"""Smaller ones are objects that Python shares."""
_NAME_BYTES: Final = 128
"""After the words: the endpoint of `slow_one`, filled up with zeros."""

Count = Annotated[int, Meta(ge=0, le=_MILLION)]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Switches as they are written in JSON; None leaves one as it is."""

    slow: str | None = None
    """A duration such as `250ms`."""
    slow_one: str | None = None
    """An endpoint as `/counts` names it and a duration, `GET /policies/:id 2ms`; empty for none."""
    errors: Annotated[float, Meta(ge=0, le=1)] | None = None
    """A ratio, in steps of a millionth."""
    wrong_hash: Count | None = None
    leaked_row: Count | None = None
    broken_link: Count | None = None
    bad_signature: Count | None = None
    false_proof: Count | None = None
    false_refutation: Count | None = None
    processing_time: str | None = None
    """A duration."""
    failure_rate: Annotated[float, Meta(ge=0, le=1)] | None = None
    """A ratio, in steps of a millionth."""
    concurrent_flows: Annotated[int, Meta(ge=1, le=1_000)] | None = None
    keep_drafts: bool | None = None
    leak: Annotated[int, Meta(ge=0, le=_MILLION)] | None = None
    """Bytes, with what Python itself takes for an object; 0 for none."""
    database_down: bool | None = None
    gateway_timeout: bool | None = None
    memory_pressure: bool | None = None
    component_crash: bool | None = None
    state_corruption: bool | None = None
    storage_down: bool | None = None
    config_missing: bool | None = None

    def __post_init__(self) -> None:
        if self.slow is not None and parse_duration(self.slow) > LONGEST_US:
            raise ValueError(f"`slow` is at most {duration_text(LONGEST_US)}")
        if self.leak is not None and 0 < self.leak < LEAST_LEAK:
            raise ValueError(f"`leak` is 0 or at least {LEAST_LEAK}, as no object is smaller")
        if self.slow_one:
            _endpoint_and_us(self.slow_one)
        if self.processing_time is not None and parse_duration(self.processing_time) > LONGEST_US:
            raise ValueError(f"`processing_time` is at most {duration_text(LONGEST_US)}")


def _endpoint_and_us(text: str) -> tuple[str, int]:
    """`GET /policies/:id` and 2,000 of `GET /policies/:id 2ms`; ValueError for another form."""
    endpoint, _, duration = text.rpartition(" ")
    method, _, path = endpoint.partition(" ")
    if not (method.isupper() and path.startswith("/") and " " not in path):
        raise ValueError("`slow_one` is an endpoint and a duration, such as GET /policies/:id 2ms")
    if len(endpoint.encode()) > _NAME_BYTES or parse_duration(duration) > LONGEST_US:
        raise ValueError(f"`slow_one` is at most {duration_text(LONGEST_US)} and {_NAME_BYTES} bytes of name")
    return endpoint, parse_duration(duration)


class Switches:
    """The switches of one target; every server process opens the same file."""

    def __init__(self, folder: Path) -> None:
        """Open the file, or make it with everything off."""
        self._file = (folder / "switches").open("a+b")
        self._file.truncate(_WORDS + _NAME_BYTES)
        everything = memoryview(mmap.mmap(self._file.fileno(), _WORDS + _NAME_BYTES))
        self._words = everything[:_WORDS].cast("Q")
        self._name = everything[_WORDS:]
        self._leaked: list[bytes] = []
        # The file's lock is between processes: threads of one share it.
        self._threads = threading.Lock()

    def settings(self) -> Settings:
        """How they all are now."""
        others: dict[str, Any] = {name: self._words[at] for name, at in _AT.items()}
        others |= {name: self.on(name) for name in HELD}
        slow_one = ""
        if self._words[_SLOW_ONE]:
            slow_one = f"{self._slowed} {duration_text(self._words[_SLOW_ONE])}"
        errors = self._words[_ERRORS] / _MILLION
        return Settings(
            duration_text(self._words[_SLOW]),
            slow_one,
            errors,
            **others,
            processing_time=duration_text(self.flow("processing_time")),
            failure_rate=self.flow("failure_rate") / _MILLION,
            concurrent_flows=self.flow("concurrent_flows"),
            keep_drafts=bool(self.flow("keep_drafts")),
            leak=self._words[_LEAK],
        )

    def set(self, settings: Settings) -> None:
        """Change those that are named."""
        with self._threads, _Locked(self._file.fileno()):
            if settings.slow is not None:
                self._words[_SLOW] = parse_duration(settings.slow)
            if settings.slow_one is not None:
                endpoint, us = _endpoint_and_us(settings.slow_one) if settings.slow_one else ("", 0)
                self._words[_SLOW_ONE] = 0
                self._name[:] = endpoint.encode().ljust(_NAME_BYTES, b"\0")
                self._words[_SLOW_ONE] = us
            if settings.errors is not None:
                self._words[_ERRORS] = round(settings.errors * _MILLION)
                self._words[_SEEN] = 0
            for name, at in _AT.items():
                value = getattr(settings, name)
                if value is not None:
                    self._words[at] = value
            if settings.processing_time is not None:
                self._words[_FLOW_AT["processing_time"]] = parse_duration(settings.processing_time) + 1
            if settings.failure_rate is not None:
                self._words[_FLOW_AT["failure_rate"]] = round(settings.failure_rate * _MILLION) + 1
            if settings.concurrent_flows is not None:
                self._words[_FLOW_AT["concurrent_flows"]] = settings.concurrent_flows + 1
            if settings.keep_drafts is not None:
                self._words[_FLOW_AT["keep_drafts"]] = settings.keep_drafts + 1
            if settings.leak is not None:
                self._words[_LEAK] = settings.leak

    def flow(self, name: str) -> int:
        """The switch `name` of FLOWS, in its unit."""
        word = self._words[_FLOW_AT[name]]
        return word - 1 if word else FLOWS[name]

    def on(self, name: str) -> bool:
        """Whether the switch `name` of HELD is on."""
        return self._words[_AT[name]] > 0

    def left(self, name: str) -> int:
        """How often the fault `name` of COUNTED is still to be made."""
        return self._words[_AT[name]]

    def take(self, name: str) -> bool:
        """Whether the fault `name` of COUNTED is to be made now; counts it down."""
        at = _AT[name]
        if not self._words[at]:
            return False
        with self._threads, _Locked(self._file.fileno()):
            left = self._words[at]
            if left:
                self._words[at] = left - 1
            return left > 0

    async def disturb(self, endpoint: str) -> None:
        """Wait, or raise RefusedError (500), as the switches say; once a governance request to `endpoint`."""
        if self._words[_LEAK]:
            self._leaked.append(b"." * (self._words[_LEAK] - sys.getsizeof(b"")))
        us = self._words[_SLOW]
        if self._words[_SLOW_ONE] and self._slowed == endpoint:
            us += self._words[_SLOW_ONE]
        if us:
            await asyncio.sleep(us / _MILLION)
        if self._words[_ERRORS] and self._erring():
            raise RefusedError(500, "switched_error", "the switch `errors` is on")

    def sending(self, send: Send, served: str, method: str) -> Send:
        """`send`, or one that names another constitution in its answer as long as `wrong_hash` says so."""
        if not self._words[_WRONG_HASH] or method == "HEAD":
            return send
        right = b'"constitutional_hash":' + msgspec.json.encode(served)
        # As many bytes as before, for the header with the content's length.
        other = served[:-1] + ("0" if served[-1] != "0" else "1")
        wrong = b'"constitutional_hash":' + msgspec.json.encode(other)
        start: Message = {}

        async def lying(message: Message) -> None:
            # The head waits for the body, which says whether the answer names a constitution at all.
            if message["type"] == "http.response.start":
                start.update(message)
                return
            body = message["body"]
            if start and right in body and self.take("wrong_hash"):
                message = {**message, "body": body.replace(right, wrong)}
                start["headers"] = [*start["headers"], (HEADER_BYTES, other.encode())]
            if start:
                await send(dict(start))
                start.clear()
            await send(message)

        return lying

    @property
    def _slowed(self) -> str:
        return bytes(self._name).rstrip(b"\0").decode()

    def _erring(self) -> bool:
        """The n-th request errs when n times the ratio passes an integer: evenly, and as many as asked."""
        with self._threads, _Locked(self._file.fileno()):
            ratio = self._words[_ERRORS]
            seen = self._words[_SEEN]
            self._words[_SEEN] = seen + 1
        return (seen + 1) * ratio // _MILLION > seen * ratio // _MILLION


class _Locked:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __enter__(self) -> None:
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)


def parse_switches(texts: Sequence[str]) -> Settings:
    """`NAME=VALUE` texts as the command line has them; UsageError for one that is no switch."""
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--switch {text}: write NAME=VALUE, such as slow=200ms or wrong_hash=3")
        if name not in Settings.__struct_fields__:
            near = get_close_matches(name, Settings.__struct_fields__, n=1)
            hint = (
                f"did you mean {near[0]}?" if near else f"there are {', '.join(Settings.__struct_fields__)}"
            )
            raise UsageError(f"--switch {text}: there is no switch of this name; {hint}")
        values[name] = value
    try:
        return msgspec.convert(values, Settings, strict=False)
    except (msgspec.ValidationError, UnitError) as error:
        raise UsageError(f"--switch {' '.join(texts)}: {error}") from None


_form: Final = msgspec.json.Decoder(Settings)


async def read(request: Request) -> Response:
    """The planted faults as they are set now."""
    _require_loopback(request)
    return answer(request.app.state.switches.settings())


async def change(request: Request) -> Response:
    """Set the switches that the body names; the others stay."""
    _require_loopback(request)
    request.app.state.switches.set(await read_json(request, _form))
    return answer(request.app.state.switches.settings())


def _require_loopback(request: Request) -> None:
    """RefusedError (403) for a peer on another machine: whoever may plant faults may stop the service."""
    peer = ip_address(request.client.host) if request.client else None
    mapped = getattr(peer, "ipv4_mapped", None) or peer
    if mapped is None or not mapped.is_loopback:
        raise RefusedError(403, "not_loopback", "switches are for clients on the target's own machine")
