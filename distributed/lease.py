"""A worker's leave to load, which runs out unless the master renews it: pure arithmetic on one clock.

The lease counts from when the worker asked, on its own clock; the master counts it from when it answered, which is
later. So whatever a message takes, and without comparing clocks, the worker stops before the master believes so.
"""

from __future__ import annotations

from time import CLOCK_BOOTTIME, clock_gettime_ns
from typing import Final

LEASE_NS: Final = 15_000_000_000
RENEWED_S: Final = 1.0
"""How often a worker asks for it."""


def lease_clock_ns() -> int:
    """A clock that nobody sets, and that goes on while the machine sleeps."""
    return clock_gettime_ns(CLOCK_BOOTTIME)


class Lease:
    """What one worker may do, as far as it knows."""

    def __init__(self) -> None:
        self.revision = 0
        """Of the placement that is followed; 0 before the first."""
        self._until_ns = 0

    def follow(self, revision: int) -> bool:
        """Take a placement on; False for one that is not newer than what is followed."""
        newer = revision > self.revision
        self.revision = max(self.revision, revision)
        return newer

    def renew(self, asked_ns: int, revision: int) -> None:
        """The master has granted what was asked for at `asked_ns`, to who follows `revision`.

        A grant for an older placement is none: the master may since have given its load away.
        """
        if revision == self.revision:
            self._until_ns = max(self._until_ns, asked_ns + LEASE_NS)

    def left_ns(self, now_ns: int) -> int:
        """How long loading is allowed from now on; 0 when it is not."""
        return max(0, self._until_ns - now_ns)
