"""How far the master's clock is from a worker's: both are monotonic, and each counts from its own boot."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

AT_JOINING: Final = 8
"""Exchanges before a worker says hello."""
KEPT: Final = 16
"""Later exchanges that an estimate rests on: older ones no longer tell how far the clocks have drifted."""


class Exchange(NamedTuple):
    """One question and its answer, in nanoseconds: sent and received on the worker's clock, between on the master's."""

    sent_ns: int
    master_ns: int
    received_ns: int


class Offset(NamedTuple):
    """Master's clock minus the worker's; the truth is within `error_ns` of `offset_ns`."""

    offset_ns: int
    error_ns: int


def estimate(exchanges: Iterable[Exchange]) -> Offset:
    """From the exchange with the shortest round trip, of which the answer may have been made at any moment.

    That is Cristian's method (Probabilistic clock synchronization, 1989): half the round trip bounds the error.
    ValueError without a single exchange.
    """
    sent, master, received = min(exchanges, key=lambda each: each.received_ns - each.sent_ns)
    return Offset(master - (sent + received) // 2, (received - sent + 1) // 2)


def deviation_ns(used_ns: int, now: Offset) -> int:
    """How far off an offset that is still in use may be by now."""
    return abs(now.offset_ns - used_ns) + now.error_ns


class MasterClock:
    """The master's clock as one worker knows it: an estimate that is in use, and newer exchanges beside it."""

    def __init__(self, exchanges: Iterable[Exchange]) -> None:
        self.exchanges = deque(exchanges, maxlen=KEPT)
        self.offset_ns = estimate(self.exchanges).offset_ns
        """Master's clock minus ours, as it is used."""

    def settle(self) -> None:
        """Use what is known by now."""
        self.offset_ns = estimate(self.exchanges).offset_ns

    @property
    def error_us(self) -> int:
        """How far off the offset in use may be by now."""
        return deviation_ns(self.offset_ns, estimate(self.exchanges)) // 1_000
