"""Replication over a link that drops, repeats, delays, reorders and bends whatever it is given."""

import random
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from measuring import header, small_interval

from distributed import messages
from distributed.live import LiveTotals
from distributed.replication import RECENT, Receiver, Sender
from loadproof.errors import JournalError
from loadproof.measure.interval import Interval, Outcome
from loadproof.measure.journal import Journal, JournalWriter


class Worker:
    """One worker: its journal, what it counted beside it, and its end of the link."""

    def __init__(self, folder, name, seconds, chance):
        self.name = name
        self.path = folder / f"{name}-1.journal"
        self.chance = chance
        self.seconds = seconds
        self.written = 0
        self.ended = False
        self.totals = dict.fromkeys(("started", "ok", "failed"), 0)
        self.journal = JournalWriter(self.path, header(worker=name))
        self.sender = Sender(self.path, 1)
        self.sender.wrote(self.journal.header_record)

    def write(self):
        """The next second, or the FIN."""
        if self.written < self.seconds:
            latencies = [self.chance.randrange(6_000_000) for _ in range(self.chance.randrange(4))]
            self.totals["started"] += len(latencies) + 1
            self.totals["ok"] += len(latencies)
            self.totals["failed"] += 1
            self.sender.wrote(self.journal.append(small_interval(self.written, latencies)))
            self.written += 1
        elif not self.ended:
            self.ended = True
            self.sender.wrote(self.journal.finish(**self.totals, unfinished=0))
            self.journal.close()


class Master:
    """The master's end for all workers, with the two places where it adds up what arrives."""

    def __init__(self, folder, workers):
        self.receivers = {
            worker.name: Receiver(folder / f"{worker.name}-copy.journal", worker.name, 1)
            for worker in workers
        }
        self.live = LiveTotals()
        self.totals = {worker.name: dict.fromkeys(("started", "ok", "failed"), 0) for worker in workers}

    def take(self, name, record):
        """As `Roster.receive` does: the answer, or None when the record was refused."""
        try:
            found, answer = self.receivers[name].receive(record)
        except JournalError:
            return None
        if isinstance(found, Interval):
            self.live.add(name, found)
            mine = self.totals[name]
            mine["started"] += found.started
            for key, series in found.series.items():
                mine["ok" if key.outcome is Outcome.OK else "failed"] += series.histogram.count
        return answer


class Link:
    """What was sent and has not arrived, both ways; any of it may come next, twice, or never."""

    def __init__(self, chance, trouble):
        self.chance = chance
        self.trouble = trouble
        self.to_master = []
        self.to_worker = []

    def send(self, way, name, message):
        way.extend([(name, message)] * self.chance.choices((0, 1, 2), (self.trouble, 1, self.trouble))[0])

    def deliver(self, way):
        """Any message that is under way, or None."""
        if not way:
            return None
        at = self.chance.randrange(len(way)) if self.chance.random() < self.trouble else 0
        name, message = way.pop(at)
        if isinstance(message, messages.Record) and self.chance.random() < self.trouble / 8:
            bent = bytearray(message.record)
            bent[self.chance.randrange(len(bent))] ^= 1 << self.chance.randrange(8)
            message = replace_record(message, bytes(bent))
        return name, message


def replace_record(message, record):
    return messages.Record(message.epoch, message.number, record)


def play(folder, seed, workers, seconds, trouble):
    """Write, send, lose, answer and resend at random until every worker was told that all has arrived."""
    chance = random.Random(seed)
    fleet = {
        f"w-{n:02}": Worker(folder, f"w-{n:02}", chance.randint(0, seconds), chance) for n in range(workers)
    }
    master, link = Master(folder, fleet.values()), Link(chance, trouble)
    for _ in range(200_000):
        if all(worker.ended and worker.sender.done for worker in fleet.values()):
            break
        worker = chance.choice(list(fleet.values()))
        match chance.choices(("write", "send", "to_master", "to_worker", "retry"), (3, 6, 10, 10, 1))[0]:
            case "write":
                worker.write()
            case "send":
                for record in worker.sender.next_records():
                    link.send(link.to_master, worker.name, record)
            case "to_master":
                if (arrived := link.deliver(link.to_master)) and (
                    answer := master.take(*arrived)
                ) is not None:
                    link.send(link.to_worker, arrived[0], answer)
            case "to_worker":
                if arrived := link.deliver(link.to_worker):
                    fleet[arrived[0]].sender.received(arrived[1])
            case "retry":
                worker.sender.retry()
    else:
        pytest.fail("not done after 200,000 steps")
    # What is still under way when all is done must change nothing either.
    for late in link.to_master:
        master.take(*late)
    return fleet, master


def check_case(folder, seed, workers, seconds, trouble):
    fleet, master = play(folder, seed, workers, seconds, trouble)
    for name, worker in fleet.items():
        receiver = master.receivers[name]
        receiver.copy.close()
        assert master.totals[name] == worker.totals
        assert receiver.copy.path.read_bytes() == worker.path.read_bytes()
        assert receiver.fin is not None
    everything = [worker.totals for worker in fleet.values()]
    # The live totals count what ended; these workers end all that they start.
    assert master.live.requests == sum(totals["ok"] + totals["failed"] for totals in everything)
    assert master.live.failures == sum(totals["failed"] for totals in everything)


CASES = (st.integers(0, 2**63), st.integers(1, 3), st.integers(0, 12), st.floats(0, 0.7))


def run_case(tmp_path_factory, *case):
    folder = tmp_path_factory.mktemp("link")
    check_case(folder, *case)
    shutil.rmtree(folder)


@settings(max_examples=1_000, deadline=None)
@given(*CASES)
def test_any_link_gives_identical_totals(tmp_path_factory, seed, workers, seconds, trouble):
    """Records and answers dropped, repeated, bent and out of order: totals and files are the workers' own."""
    run_case(tmp_path_factory, seed, workers, seconds, trouble)


@pytest.mark.long
@settings(max_examples=10_000, deadline=None)
@given(*CASES)
def test_any_link_gives_identical_totals_in_full(tmp_path_factory, seed, workers, seconds, trouble):
    """The same in 10,000 cases."""
    run_case(tmp_path_factory, seed, workers, seconds, trouble)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**63), st.floats(0.3, 0.7))
def test_what_left_memory_is_read_back(tmp_path_factory, seed, trouble):
    """A worker far ahead of its master sends from its file what it no longer holds."""
    folder = tmp_path_factory.mktemp("link")
    worker = Worker(folder, "w-00", 3 * RECENT, random.Random(seed))
    while not worker.ended:
        worker.write()
    master, link = Master(folder, [worker]), Link(random.Random(seed), trouble)
    for _ in range(100_000):
        if worker.sender.done:
            break
        for record in worker.sender.next_records():
            link.send(link.to_master, "w-00", record)
        while arrived := link.deliver(link.to_master):
            if (answer := master.take(*arrived)) is not None:
                link.send(link.to_worker, "w-00", answer)
        while arrived := link.deliver(link.to_worker):
            worker.sender.received(arrived[1])
        worker.sender.retry()

    assert master.totals["w-00"] == worker.totals
    assert master.receivers["w-00"].copy.path.read_bytes() == worker.path.read_bytes()
    shutil.rmtree(folder)


@pytest.mark.parametrize("failing", range(1, 29))
def test_the_send_that_fails_costs_nothing(tmp_path, failing):
    """Whichever send of a run fails, on either side, the next timeout makes it good: nothing is lost or doubled."""
    worker = Worker(tmp_path, "w-00", 12, random.Random(1))
    master = Master(tmp_path, [worker])
    sends = 0

    def fails():
        nonlocal sends
        sends += 1
        return sends == failing

    for _ in range(100):
        worker.write()
        answers = [master.take("w-00", record) for record in worker.sender.next_records() if not fails()]
        for answer in answers:
            if not fails():
                worker.sender.received(answer)
        if worker.sender.done and worker.ended:
            break
        worker.sender.retry()

    assert sends >= failing
    assert master.totals["w-00"] == worker.totals
    assert Journal(master.receivers["w-00"].copy.path).state.complete
