"""Made-up time: events in order, nobody waits."""

from heapq import heappop, heappush
from itertools import count

SECOND_NS = 1_000_000_000


def ns(seconds):
    return round(seconds * SECOND_NS)


class Time:
    """`now_ns` is the true time; no clock of any machine in the simulation need show it."""

    def __init__(self):
        self.now_ns = 0
        self._events = []
        self._order = count()

    def at(self, due_ns, what, *args):
        heappush(self._events, (max(due_ns, self.now_ns), next(self._order), what, args))

    def after(self, seconds, what, *args):
        self.at(self.now_ns + ns(seconds), what, *args)

    def run(self, until_ns):
        """Let happen what is due by then."""
        events = self._events
        while events and events[0][0] <= until_ns:
            self.now_ns, _, what, args = heappop(events)
            what(*args)
        self.now_ns = until_ns
