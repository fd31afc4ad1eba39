"""A worker's journals: its own, an interval a second, and those of its forerunners here, on their way to the master."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, NoReturn

import gevent
from gevent.event import Event

from distributed import cgroup, messages, resources
from distributed.replication import Sender, sync_failure
from loadproof.measure.interval import Header
from loadproof.measure.journal import JournalWriter, journal_name
from loadproof.measure.wire import FORMAT_VERSION

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from distributed.clock import RunClock
    from distributed.placement import Seat
    from loadproof.measure.recorder import Recorder

RESEND_S: Final = 2.0
SYNC_S: Final = 5.0


class JournalKeeper:
    """Writes the journal of one process and replicates it. JournalError from whatever the disk does not take."""

    def __init__(
        self,
        folder: Path,
        run: str,
        seat: Seat,
        epoch: int,
        recorder: Recorder,
        send: Callable[[str, Any], None],
    ) -> None:
        path = folder / journal_name(seat.worker, epoch)
        header = Header(FORMAT_VERSION, run, seat.worker, seat.region, epoch, recorder.limits)
        self._recorder = recorder
        self._send = send
        self._journal = JournalWriter(path, header)
        self._own = Sender(path, epoch)
        earlier = [(number, folder / journal_name(seat.worker, number)) for number in range(epoch)]
        self._senders = {number: Sender.of(path, number) for number, path in earlier if path.is_file()}
        self._senders[epoch] = self._own
        self._news = Event()
        self._cpu_ns = 0
        self._throttled_us: int | None = None
        self._steal_us: int | None = None
        self._wrote(self._journal.header_record)

    def received(self, answer: messages.Received) -> None:
        """The master's word about one of the journals."""
        sender = self._senders.get(answer.epoch)
        if sender is not None:
            sender.received(answer)
            self._news.set()

    @property
    def done(self) -> bool:
        """All of them stand on the master."""
        return all(sender.done for sender in self._senders.values())

    def close_intervals(self, clock: RunClock) -> NoReturn:
        """One a second, until killed."""
        self._cpu_ns = time.process_time_ns()
        self._throttled_us = cgroup.throttled_us()
        self._steal_us = resources.steal_us()
        recorder = self._recorder
        while True:
            gevent.sleep(clock.seconds_until(recorder.closes_at_us))
            # A timer may fire a little early, and an interval must not end before its second does.
            while clock.now_us() < recorder.closes_at_us:
                gevent.sleep(0.001)
            self._append()

    def finish(self) -> None:
        """Close the last interval, and the journal with the totals."""
        self._append()
        totals = self._recorder.totals
        self._wrote(
            self._journal.finish(
                started=totals.started, ok=totals.ok, failed=totals.failed, unfinished=totals.unfinished
            )
        )
        self._journal.sync()

    def replicate(self) -> NoReturn:
        """Send what the master has not, until killed."""
        progress = {epoch: (sender.acknowledged, time.monotonic()) for epoch, sender in self._senders.items()}
        while True:
            self._news.wait(timeout=RESEND_S / 4)
            self._news.clear()
            for epoch, sender in self._senders.items():
                acknowledged, since = progress[epoch]
                if sender.acknowledged != acknowledged:
                    progress[epoch] = sender.acknowledged, time.monotonic()
                elif not sender.done and time.monotonic() - since > RESEND_S:
                    sender.retry()
                    progress[epoch] = sender.acknowledged, time.monotonic()
                for record in sender.next_records():
                    self._send(messages.RECORD, record)

    def sync(self) -> None:
        """Bring the journal to disk now and then, until the disk fails: the next interval then says why."""
        gevent.sleep(SYNC_S)
        while gevent.get_hub().threadpool.apply(sync_failure, (self._journal,)) is None:
            gevent.sleep(SYNC_S)

    def _append(self) -> None:
        cpu_ns = time.process_time_ns()
        throttled_us, steal_us = cgroup.throttled_us(), resources.steal_us()
        interval = self._recorder.close_interval(
            cpu_us=(cpu_ns - self._cpu_ns) // 1_000,
            throttled_us=_difference(throttled_us, self._throttled_us),
            steal_us=_difference(steal_us, self._steal_us),
        )
        self._cpu_ns, self._throttled_us, self._steal_us = cpu_ns, throttled_us, steal_us
        self._wrote(self._journal.append(interval))

    def _wrote(self, record: bytes) -> None:
        self._own.wrote(record)
        self._news.set()


def _difference(now: int | None, before: int | None) -> int | None:
    return None if now is None or before is None else max(0, now - before)
