"""What a record's payload looks like to MessagePack: arrays, whose fields stand in this order.

`docs/journal.md` explains each; changing an order, a type, `OUTCOMES` or `TIMED` makes a new format version.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

from loadproof.measure.interval import Outcome, Timed
from loadproof.measure.packing import LARGEST

FORMAT_VERSION: Final = 2
FAULT: Final = "+"
"""No plan gives a phase or a fault a name with it."""
OUTCOMES: Final = (Outcome.OK, Outcome.FAILED, Outcome.TIMEOUT, Outcome.UNFINISHED)
TIMED: Final = (Timed.RESOLVE, Timed.CONNECT, Timed.TLS, Timed.ROUND_TRIP, Timed.LIFETIME)

Count = Annotated[int, Meta(ge=0, le=LARGEST)]
Positive = Annotated[int, Meta(ge=1, le=LARGEST)]
Text = Annotated[int, Meta(ge=0, le=LARGEST)]
"""A place in the interval's table of texts."""
Packed = bytes
"""A histogram, see `loadproof.measure.packing`."""


class Array(Struct, array_like=True, forbid_unknown_fields=True):
    pass


class WireHeader(Array):
    version: Count
    run: bytes
    worker: bytes
    region: bytes
    epoch: Count
    limits_us: list[Count]


class WireFin(Array):
    intervals: Count
    started: Count
    ok: Count
    failed: Count
    unfinished: Count
    sha256: Annotated[bytes, Meta(min_length=32, max_length=32)]


class WireSeries(Array):
    scenario: Text
    method: Text
    name: Text
    outcome: Annotated[int, Meta(ge=0, lt=len(OUTCOMES))]
    """A place in `OUTCOMES`."""
    phase: Text
    """Its name, and behind a plus each that of a fault: `steady+database-down`."""
    histogram: Packed
    over: list[Count]
    bytes_received: Count
    bytes_sent: Count
    first_byte: Packed | None


class WireDuration(Array):
    scenario: Text
    timed: Annotated[int, Meta(ge=0, lt=len(TIMED))]
    """A place in `TIMED`."""
    name: Text
    phase: Text
    histogram: Annotated[Packed, Meta(min_length=1)]


class WireInterval(Array):
    """The fields of an Interval; a row of a table is the texts of its key, then the numbers of its value."""

    second: Count
    start_us: Count
    length_us: Count
    users: list[tuple[Text, Count]]
    user_us: list[tuple[Text, Count]]
    started: Count
    in_flight: Count
    oldest_us: Count | None
    first_done_us: Count | None
    last_done_us: Count | None
    series: list[WireSeries]
    exchanges: list[tuple[Text, Text, Count, Count, Count]]
    checks: list[tuple[Text, Text, Text, Count, Count, Count]]
    metrics: list[tuple[Text, Text, Text, Positive, float, float, float]]
    errors: list[tuple[Text, Text, Text, Text, Count]]
    task_errors: list[tuple[Text, Count]]
    undeclared: list[tuple[Text]]
    untracked: Count
    evidence: list[tuple[Text, Text, Count, Text]]
    pacer_lag: Packed
    receive_lag: Packed
    user_wait: Packed
    arrivals: list[tuple[Text, Text, Count, Count, Count]]
    durations: list[WireDuration]
    stamped: Count
    unstamped: Count
    cpu_us: Count
    throttled_us: Count | None
    steal_us: Count | None
    texts: list[bytes]
    """UTF-8, where a lone surrogate stands as the three bytes that its number would have."""
