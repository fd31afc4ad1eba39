"""Corners of the link that libzmq and stock Locust do badly, on real sockets under CURVE."""

import subprocess
import sys
import time

import gevent
import pytest
from linking import Peer, journal, linked, stranger, until
from locust.exception import RPCError
from locust.rpc import Message
from relaying import Relay

from distributed import messages
from distributed.clock import RunClock
from distributed.link import sockets
from distributed.link.sockets import Client
from loadproof.measure.interval import Header, Interval
from loadproof.measure.journal import JournalWriter
from loadproof.measure.wire import FORMAT_VERSION

UNSENT = 990
"""A socket's queue takes a thousand, and a few are in it before."""
LARGE = 8_000
"""Bytes of a message: a thousand are more than the kernel holds for a stopped way."""
START_S = 60.0
"""What an interpreter may take to load Locust on a busy machine."""
AT_ONCE_S = 5.0
"""Far above what closing takes, and below every linger and retry of libzmq and Locust."""


CHILD = """
import sys
import zmq.green as zmq
from locust.exception import RPCError
from locust.rpc import Message
from distributed.link.keys import KeyPair, WorkerKeys
from distributed.link.sockets import Client

port, public, secret, master = sys.argv[1:]
keys = WorkerKeys("east-01", KeyPair(public.encode(), secret.encode()), master.encode())
client = Client("127.0.0.1", int(port), keys)
while not client.connections:
    client.changed.wait(1)
client.send(Message("here", None, "east-01"))
sys.stdin.readline()
sent = 0
try:
    while True:
        client.send(Message("large", "x" * 8_000, "east-01"))
        sent += 1
except RPCError:
    print(sent)
client.close()
zmq.Context.instance().destroy()
"""


class FarPeer(Peer):
    """A worker's key behind a relay."""

    def __init__(self, home, worker, relay):
        self.worker = worker
        self.life = "0123456789abcdef"
        self.client = Client("127.0.0.1", relay.port, home.of_workers[worker])
        until(lambda: self.client.connections)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Its link takes no silence for an end: how long a busy machine lets a way be stopped, decides nothing here."""
    monkeypatch.setattr(sockets, "SILENCE_MS", 600_000)
    with linked(tmp_path) as found:
        yield found


@pytest.fixture
def relay(home):
    found = Relay(home.port)
    yield found
    found.close()


@pytest.fixture
def far(home, relay, tmp_path):
    """A worker behind the relay, with two records of its journal on the master, and the journal."""
    peer = FarPeer(home, "east-01", relay).join()
    records = journal(tmp_path / "own.journal", "east-01", 8)
    assert peer.is_heard(0, records[0])
    assert peer.is_heard(1, records[1])
    yield peer, records
    peer.client.close()


def hear_until(peer, kind):
    """The data of the next message of a kind."""
    while (message := peer.hear()).type != kind:
        pass
    return message.data


def test_a_worker_is_back_while_its_old_connection_is_half_open(home, relay, far, caplog):
    """It is heard and spoken to at once on the new one; what the old one still holds comes to nothing."""
    peer, records = far
    relay.stop()
    peer.say(messages.RECORD, peer.record(2, records[2]))
    old = relay.connections[0]
    sent = len(old.from_worker)
    until(lambda: len(old.from_worker) > sent)
    relay.close_to_worker()
    until(lambda: peer.client.connections == 2)
    peer.join()

    assert peer.is_heard(2, records[2])
    home.master.begin_load(RunClock(time.monotonic_ns()))
    assert hear_until(peer, messages.BEGIN)["revision"] == 1
    assert peer.is_heard(3, records[3])
    before = home.state()
    old.flowing.set()
    until(lambda: home.master.dropped_messages)
    assert home.state() == before
    assert home.master.dropped_messages == 1
    assert len([one for one in caplog.records if "not let in" in one.getMessage()]) == 1
    assert peer.is_heard(4, records[4])


def test_who_asks_for_an_absent_workers_identity_hears_nothing_for_it(home, relay, far):
    """While its owner is away another valid key cannot take its place, and the owner gets its messages again."""
    peer, records = far
    route = home.master.server._current["east-01"]
    relay.cut()
    keys = home.of_workers["east-02"]
    with stranger(home.port, curve=(keys.master, keys.own.public, keys.own.secret)) as insider:
        insider.socket.disconnect(f"tcp://127.0.0.1:{home.port}")
        for name in (b"east-01", b"x" + route[1:]):
            insider.socket.identity = name
            insider.socket.connect(f"tcp://127.0.0.1:{home.port}")
            insider.say(messages.HELLO, peer.hello(), "east-01")
        until(lambda: home.master.dropped_messages == 2)
        with pytest.raises(RPCError):
            home.master.server.send_to_client(Message(messages.STOP, None, "east-01"))
        until(lambda: peer.client.connections == 2)
        peer.join()
        home.master.server.send_to_client(Message(messages.STOP, {"at_once": False}, "east-01"))
        assert hear_until(peer, messages.STOP) == {"at_once": False}
        assert peer.is_heard(2, records[2])
        assert insider.socket.poll(100) == 0


def test_a_master_with_a_thousand_unsent_messages_goes_on(home, relay, far):
    """Sending fails at once, others are served meanwhile, and what arrives later is whole and in order."""
    peer, records = far
    relay.stop()
    sent = fill(lambda number: home.master.server.send_to_client(large(number)))
    other = Peer(home, "east-02").join()
    assert sent >= UNSENT
    relay.resume()
    arrived = [peer.hear() for _ in range(sent)]

    assert [message.data["number"] for message in arrived] == list(range(sent))
    assert {len(message.data["filler"]) for message in arrived} == {LARGE}
    assert peer.is_heard(2, records[2])
    other.client.close()


def test_a_master_with_a_thousand_unsent_messages_closes_at_once(home, relay, far):
    """They are dropped: the journal's file is the buffer, not a socket."""
    relay.stop()
    assert fill(lambda number: home.master.server.send_to_client(large(number))) >= UNSENT
    begun = time.monotonic()
    home.master.server.close()

    assert time.monotonic() - begun < AT_ONCE_S


def test_a_worker_with_a_thousand_unsent_records_loses_none(home, relay, tmp_path):
    """Of those that were sent the master has the first, each whole; the rest follows from the file."""
    path = tmp_path / "own.journal"
    records = large_journal(path, UNSENT + 2_000)
    peer = FarPeer(home, "east-01", relay).join()
    assert peer.is_heard(0, records[0])
    relay.stop()
    sent = fill(lambda number: peer.say(messages.RECORD, peer.record(1 + number, records[1 + number])))
    assert UNSENT <= sent < len(records) - 1
    receiver = home.master.roster.admitted["east-01"].receiver
    relay.resume()
    until(lambda: receiver.expected == 1 + sent)
    for number in range(1 + sent, len(records)):
        peer.say(messages.RECORD, peer.record(number, records[number]))
        if number % 100 == 0:
            until(lambda number=number: receiver.expected > number)
    until(lambda: receiver.fin)

    assert home.master.dropped_messages == 0
    assert receiver.copy.path.read_bytes() == path.read_bytes()
    assert receiver.fin.intervals == UNSENT + 2_000
    peer.client.close()


def test_a_worker_process_with_a_thousand_unsent_messages_ends(home, relay):
    """A connection that was stopped holds neither `close` nor the end of all sockets, and so no process."""
    keys = home.of_workers["east-01"]
    words = (str(relay.port), keys.own.public, keys.own.secret, keys.master)
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    until(lambda: home.master.dropped_messages, START_S)
    relay.stop()
    print("go on", file=child.stdin, flush=True)
    until(lambda: child.poll() is not None, START_S)

    assert child.returncode == 0
    assert int(child.stdout.read()) >= UNSENT
    child.stdin.close()
    child.stdout.close()


def fill(send):
    """Send number after number until nothing more is taken, letting others work; how many were."""
    number = refused = 0
    with gevent.Timeout(20):
        while refused < 3:
            try:
                send(number)
                number += 1
            except RPCError:
                refused += 1
                gevent.sleep(0.05)
            if number % 50 == 0:
                gevent.sleep(0)
    return number


def large(number):
    return Message("large", {"number": number, "filler": b"x" * LARGE}, "east-01")


def large_journal(path, intervals):
    """The records of a journal whose every interval is large."""
    writer = JournalWriter(path, Header(FORMAT_VERSION, "run", "east-01", "east", 0, (2_000_000,)))
    records = [writer.header_record]
    for second in range(intervals):
        interval = Interval(second, second * 1_000_000, 1_000_000, users={"Visitor": 1})
        interval.task_errors["x" * LARGE] = 1
        records.append(writer.append(interval))
    records.append(writer.finish(started=0, ok=0, failed=0, unfinished=0))
    writer.close()
    return records
