"""Calls back at instants of CLOCK_MONOTONIC, on the hub, to a few hundredths of a millisecond.

Timers of the event loop go by whole milliseconds. A timerfd goes by nanoseconds, and the loop waits for it as for
any other descriptor.
"""

from __future__ import annotations

import ctypes
import os
import sys
from heapq import heappop, heappush
from itertools import count
from time import CLOCK_MONOTONIC, monotonic_ns
from typing import TYPE_CHECKING, Final

from gevent.hub import get_hub

if TYPE_CHECKING:
    from collections.abc import Callable

WAKES_APART_NS: Final = 250_000
"""Least time between two wakes: what is due closer together is noticed together."""
_READ: Final = 1
_TFD_NONBLOCK: Final = os.O_NONBLOCK
_TFD_CLOEXEC: Final = os.O_CLOEXEC
_TFD_TIMER_ABSTIME: Final = 1
_SECOND_NS: Final = 1_000_000_000


class _Timerspec(ctypes.Structure):
    """struct itimerspec of timerfd_settime(2): the interval, which stays 0, then the instant."""

    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("at_s", ctypes.c_long),
        ("at_ns", ctypes.c_long),
    )


class Call:
    """Something to be called back once; `cancel` takes it back."""

    __slots__ = ("back",)

    def __init__(self, back: Callable[[int, int], object]) -> None:
        self.back: Callable[[int, int], object] | None = back

    def cancel(self) -> None:
        self.back = None


class Pacer:
    """One timerfd and a heap of what is due. Every method is called in the thread of its hub.

    A callback is given the instant that it was meant for and that at which we noticed, in nanoseconds; it runs on
    the hub, so it must not wait, but may switch to a greenlet. It is never called early, and those that are due
    come in order of their instants, and of one instant in the order in which they were asked for.
    """

    def __init__(self) -> None:
        # Python has os.timerfd_create from 3.13 on.
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = self._checked(
            self._libc.timerfd_create(CLOCK_MONOTONIC, _TFD_NONBLOCK | _TFD_CLOEXEC)
        )
        self._spec = _Timerspec()
        self._spec_at = ctypes.byref(self._spec)
        self._due: list[tuple[int, int, Call]] = []
        self._order = count()
        self._woken_ns = 0
        self._armed_ns: int | None = None
        self._watcher = get_hub().loop.io(self._descriptor, _READ)
        self._watcher.start(self._wake)

    def at(self, due_ns: int, back: Callable[[int, int], object]) -> Call:
        """Call `back(due_ns, noticed_ns)` at `due_ns`, or as soon as possible if that is past."""
        call = Call(back)
        heappush(self._due, (due_ns, next(self._order), call))
        if self._armed_ns is None or due_ns < self._armed_ns:
            self._arm()
        return call

    def close(self) -> None:
        """Call nothing back any more."""
        self._due.clear()
        self._watcher.stop()
        self._watcher.close()
        os.close(self._descriptor)

    def _wake(self) -> None:
        due = self._due
        # What falls due meanwhile waits for the next wake, so that answers get their turn in between.
        self._woken_ns = until_ns = monotonic_ns()
        # Until the end of the loop, so that a callback which asks for another does not arm the timer each time.
        self._armed_ns = 0
        while due and due[0][0] <= until_ns:
            due_ns, _, call = heappop(due)
            if call.back is None:
                continue
            try:
                call.back(due_ns, monotonic_ns())
            except Exception:  # noqa: BLE001 the loop stops a watcher whose callback fails, and then nothing is due
                get_hub().handle_error(call, *sys.exc_info())
        self._arm()

    def _arm(self) -> None:
        due = self._due
        while due and due[0][2].back is None:
            heappop(due)
        if not due:
            self._armed_ns = None
            at_ns = 0  # It disarms the timer, and setting it clears what it has to tell.
        else:
            self._armed_ns = due[0][0]
            at_ns = max(self._armed_ns, self._woken_ns + WAKES_APART_NS, 1)
        self._spec.at_s, self._spec.at_ns = divmod(at_ns, _SECOND_NS)
        self._checked(self._libc.timerfd_settime(self._descriptor, _TFD_TIMER_ABSTIME, self._spec_at, None))

    def _checked(self, status: int) -> int:
        if status < 0:
            number = ctypes.get_errno()
            raise OSError(number, f"timerfd: {os.strerror(number)}")
        return status
