"""The open model on one worker: starts come when they are due, and users take them.

Per scenario there is a queue of starts that wait for a user, or one of users that wait for a start. A start is
counted once, when it is known what became of it: taken, dropped for want of a user, or dropped as too late.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from time import monotonic_ns
from typing import TYPE_CHECKING, Any, Final

from gevent.event import AsyncResult
from gevent.hub import get_hub
from greenlet import getcurrent
from locust.user.task import LOCUST_STATE_STOPPING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadproof.client.pacer import Call, Pacer
    from loadproof.client.user import LoadUser
    from loadproof.measure.interval import Arrivals
    from loadproof.measure.recorder import Recorder

LATE_NS: Final = 1_000_000_000
"""A start that we notice later than this is dropped: to fire what a pause of ours has piled up is no plan's load."""


class Queue:
    """Of one scenario; at most one of the two sides has anybody in it, but for users that are about to end."""

    def __init__(self, scenario: str) -> None:
        self.scenario = scenario
        self.waiting: deque[tuple[int, int]] = deque()
        """Starts, oldest first: when each was due and when we noticed, in nanoseconds."""
        self.idle: OrderedDict[Place, None] = OrderedDict()
        """Users, the one that has waited longest first."""
        self.expiry: Call | None = None
        """Drops the oldest start when its patience is over; None while nothing waits."""


class OpenStarts:
    """Walks a worker's intended starts and hands them to its users; all of it on one hub.

    A start waits for a user for at most `patience_us`.
    """

    def __init__(self, patience_us: int, pacer: Pacer, recorder: Recorder) -> None:
        self._starts: Iterator[tuple[int, str]] = iter(())
        self._patience_ns = patience_us * 1_000
        self._pacer = pacer
        self._recorder = recorder
        self._queues: dict[str, Queue] = {}
        self._next: Call | None = None
        self._scenario = ""
        """That of the start which is due next."""
        self.walked: AsyncResult = AsyncResult()
        """Ready when the last start has been noticed; an exception of `starts` is raised from here."""

    def place(self, user: LoadUser) -> Place:
        """The `Starts` of one user."""
        return Place(self, self.queue(type(user).__name__), user)

    def queue(self, scenario: str) -> Queue:
        queue = self._queues.get(scenario)
        if queue is None:
            queue = self._queues[scenario] = Queue(scenario)
        return queue

    def walk(self, starts: Iterator[tuple[int, str]]) -> None:
        """Go on with these in place of what was still to come; returns at once.

        They are (run time in microseconds, scenario), in order of time.
        """
        if self._next is not None:
            self._next.cancel()
        if self.walked.ready():
            if not self.walked.successful():
                return
            self.walked = AsyncResult()
        self._starts = starts
        self._walk_on()

    def _walk_on(self) -> None:
        try:
            due_us, self._scenario = next(self._starts)
        except StopIteration:
            self.walked.set()
        except Exception as error:  # noqa: BLE001 the hub would only print it, and the rest be missing in silence
            self.walked.set_exception(error)
        else:
            self._next = self._pacer.at(self._recorder.zero_ns + due_us * 1_000, self._notice)

    def stop(self) -> None:
        """No more starts; those that still wait for a user are dropped."""
        self._end_walk()
        for queue in self._queues.values():
            while queue.waiting:
                self._drop_oldest(queue)

    def park(self) -> None:
        """No more starts until `walk`; those that still wait are dropped as the generator's doing."""
        self._end_walk()
        if not self.walked.ready():
            self.walked.set()
        for queue in self._queues.values():
            while queue.waiting:
                due_ns, _ = queue.waiting.popleft()
                self._dropped(queue.scenario, due_ns).late += 1

    def _end_walk(self) -> None:
        if self._next is not None:
            self._next.cancel()
        for queue in self._queues.values():
            if queue.expiry is not None:
                queue.expiry.cancel()
                queue.expiry = None

    def take(self, place: Place) -> int:
        """The oldest start that waits, else the next that comes."""
        queue = place.queue
        if queue.waiting:
            now_ns = monotonic_ns()
            self._drop_impatient(queue, now_ns)
        if queue.waiting:
            due_ns, noticed_ns = queue.waiting.popleft()
            self._record_taken(queue, due_ns, now_ns - noticed_ns)
            return due_ns
        place.greenlet = getcurrent()
        queue.idle[place] = None
        try:
            while True:
                came = get_hub().switch()
                if isinstance(came, tuple) and came[0] is place:
                    taken_ns: int = came[1]
                    return taken_ns
        finally:
            # Who is let go while it waits must not be handed anything.
            queue.idle.pop(place, None)
            place.greenlet = None

    def _notice(self, due_ns: int, noticed_ns: int) -> None:
        """A start is due. Runs on the hub."""
        recorder = self._recorder
        scenario = self._scenario
        self._walk_on()
        recorder.pacer_lag.record((noticed_ns - due_ns) // 1_000)
        if noticed_ns - due_ns > LATE_NS:
            self._dropped(scenario, due_ns).late += 1
            return
        queue = self.queue(scenario)
        while queue.idle:
            place, _ = queue.idle.popitem(last=False)
            # One that was let go has not heard of it yet; the start is for the next.
            if place.user._state != LOCUST_STATE_STOPPING:  # noqa: SLF001 Locust's own protocol
                self._record_taken(queue, due_ns, 0)
                place.greenlet.switch((place, due_ns))
                return
        queue.waiting.append((due_ns, noticed_ns))
        if queue.expiry is None:
            self._expire_later(queue)

    def _expire_later(self, queue: Queue) -> None:
        due_ns, _ = queue.waiting[0]
        queue.expiry = self._pacer.at(
            due_ns + self._patience_ns, lambda _due_ns, now_ns: self._expire(queue, now_ns)
        )

    def _expire(self, queue: Queue, now_ns: int) -> None:
        queue.expiry = None
        self._drop_impatient(queue, now_ns)
        if queue.waiting:
            self._expire_later(queue)

    def _drop_impatient(self, queue: Queue, now_ns: int) -> None:
        while queue.waiting and queue.waiting[0][0] + self._patience_ns <= now_ns:
            self._drop_oldest(queue)

    def _drop_oldest(self, queue: Queue) -> None:
        due_ns, _ = queue.waiting.popleft()
        self._dropped(queue.scenario, due_ns).no_user += 1

    def _dropped(self, scenario: str, due_ns: int) -> Arrivals:
        """Where a start is counted that is dropped now."""
        return self._recorder.arrival(scenario, self._run_us(due_ns), self._run_us(monotonic_ns()))

    def _record_taken(self, queue: Queue, due_ns: int, waited_ns: int) -> None:
        self._recorder.arrival(queue.scenario, self._run_us(due_ns)).taken += 1
        self._recorder.user_wait.record(waited_ns // 1_000)

    def _run_us(self, at_ns: int) -> int:
        return (at_ns - self._recorder.zero_ns) // 1_000


class Place:
    """One user's place in the queues of its worker."""

    __slots__ = ("_starts", "greenlet", "queue", "user")

    def __init__(self, starts: OpenStarts, queue: Queue, user: LoadUser) -> None:
        self._starts = starts
        self.queue = queue
        self.user = user
        self.greenlet: Any = None
        """Who waits in `take`."""

    def take(self) -> int:
        return self._starts.take(self)
