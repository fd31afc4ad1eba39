"""Ten attacks without a key and four with another worker's: nothing accepted, each named once, the load as planned."""

import os
from contextlib import suppress
from types import SimpleNamespace

import gevent
import pytest
import zmq.green as zmq
from commands import loadproof, manifest, results, run_folder, seconds_of_load, start
from gevent import socket as tcp
from hosting import begin_master, finish
from linking import Peer, journal, linked, stranger, until
from relaying import Relay

from distributed import locustfile_messages, messages
from distributed.link import sockets
from distributed.link.keys import KeyPair, read_worker_keys
from distributed.link.sockets import Client
from loadproof.measure.journal import Journal

STOCK = {
    "stats": {"stats": [], "stats_total": {"num_requests": 100_000}, "errors": {}, "user_count": 9},
    "client_ready": "2.47.0",
    "quit": None,
    "locustfile": {"version": "2.47.0"},
}
GREETING = b"\xff" + bytes(7) + b"\x01\x7f\x03\x00" + b"CURVE".ljust(20, b"\0") + bytes(32)
"""ZMTP 3.0: signature, version, mechanism, as-server, filler."""
RAW = {
    "garbage": GREETING + os.urandom(300),
    "raw TCP": b"GET / HTTP/1.1\r\nHost: master\r\n\r\n",
    "oversize": GREETING + b"\x02" + (2**40).to_bytes(8, "big") + bytes(1_000),
}
DALLIERS = 200
VISITOR = """\
from locust import constant, task

from loadproof.client.user import LoadUser


class Visitor(LoadUser):
    wait_time = constant(0.2)

    @task
    def health(self):
        self.client.get("/gateway/health")
"""
USERS = 20
SECONDS = 26
BUSY = {"generator_busy", "machine_steal"}
"""Reasons that a busy machine gives, attacked or not."""


def say_raw(port, data):
    """Send bytes that are no handshake, and wait until the master has had enough of them."""
    with tcp.create_connection(("127.0.0.1", port)) as connection, gevent.Timeout(20), suppress(OSError):
        connection.sendall(data)
        connection.shutdown(tcp.SHUT_WR)
        while connection.recv(65_536):
            pass


def dally(port, count):
    """Connections that greet and then say nothing."""
    found = []
    for _ in range(count):
        found.append(tcp.create_connection(("127.0.0.1", port)))
        found[-1].sendall(GREETING)
    return found


def unknown_key(master_public):
    pair = KeyPair(*zmq.curve_keypair())
    return master_public, pair.public, pair.secret


def named(caplog, words):
    return [record for record in caplog.records if words in record.getMessage()]


@pytest.fixture
def home(tmp_path):
    with linked(tmp_path) as found:
        yield found


@pytest.fixture
def at_work(home, tmp_path):
    """A worker that has joined, with two records of its journal on the master, and the journal."""
    peer = Peer(home, "east-01").join()
    records = journal(tmp_path / "own.journal", "east-01")
    assert peer.is_heard(0, records[0])
    assert peer.is_heard(1, records[1])
    yield peer, records
    peer.client.close()


def test_many_who_dally_over_their_handshake_hold_nothing_up(tmp_path, monkeypatch, caplog):
    """While they do a worker joins and is heard; then all are put out, counted, and named once."""
    monkeypatch.setattr(sockets, "HANDSHAKE_MS", 4_000)
    with linked(tmp_path) as home:
        worker = Peer(home, "east-01").join()
        records = journal(tmp_path / "own.journal", "east-01")
        assert worker.is_heard(0, records[0])
        before = home.state()
        waiting = dally(home.port, DALLIERS)
        late = Peer(home, "east-02")
        assert worker.is_heard(1, records[1])
        assert home.master.server.refused["no handshake"] == 0
        until(lambda: home.master.server.refused["no handshake"] == DALLIERS)
        assert home.state()["routes"] == before["routes"]
        assert worker.is_heard(2, records[2])
        for peer in (worker, late):
            peer.client.close()
        for connection in waiting:
            connection.close()

    assert len(named(caplog, "refused a connection")) == 1


def test_a_rogue_master_that_takes_the_place_hears_nothing(home, tmp_path, caplog):
    """A worker in mid-run tells it nothing, says so once, and goes on when its own master can be had again."""
    context = zmq.Context()
    rogue = context.socket(zmq.ROUTER)
    rogue.linger = 0
    pair = KeyPair(*zmq.curve_keypair())
    rogue.curve_server, rogue.curve_secretkey, rogue.curve_publickey = True, pair.secret, pair.public
    port = rogue.bind_to_random_port("tcp://127.0.0.1")
    relay = Relay(home.port)
    peer = Peer.__new__(Peer)
    peer.worker, peer.life = "east-01", "0123456789abcdef"
    peer.client = Client("127.0.0.1", relay.port, home.of_workers["east-01"])
    until(lambda: peer.client.connections)
    peer.join()
    records = journal(tmp_path / "own.journal", "east-01")
    assert peer.is_heard(0, records[0])
    before = home.state()
    relay.onward = port
    relay.cut()
    until(lambda: named(caplog, "is not the one whose key we were given"))
    assert rogue.poll(0) == 0
    assert peer.client.connections == 1
    assert peer.client.refusal is None
    relay.onward = home.port
    until(lambda: peer.client.connections == 2)

    assert home.state() == before
    peer.join()
    assert peer.is_heard(1, records[1])
    assert len(named(caplog, "is not the one whose key we were given")) == 1
    peer.client.close()
    relay.close()
    rogue.close()
    context.term()


def test_a_message_that_is_too_large_ends_its_own_connection(home, at_work):
    """An insider's eight megabytes are not read, and nobody else notices."""
    worker, records = at_work
    insider = Peer(home, "east-02")
    before = home.state()
    insider.say("large", b"x" * sockets.LARGEST_MESSAGE)
    until(lambda: insider.client.connections > 1)

    assert home.state() == before
    assert worker.is_heard(2, records[2])
    insider.client.close()


LIES = {
    "its end": (locustfile_messages.END, None),
    "its failure": (messages.GIVING_UP, {"why": "the disk is full"}),
    "its report": (locustfile_messages.REPORT, {"a": 1}),
    "its question": (messages.CLOCK, {"worker_ns": 1}),
    "its wish to know the plan": (messages.ASK, {"protocol": messages.PROTOCOL}),
    "its leaving": (messages.HEARTBEAT, {"leaving": True}),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_message_in_anothers_name_is_not_looked_at(home, at_work, caplog, lie):
    """For its name alone it is dropped, whatever it says and however well."""
    worker, records = at_work
    ended = []
    home.master.on_quit = lambda: ended.append(1)
    insider = Peer(home, "east-02").join()
    before = home.state()
    kind, data = LIES[lie]
    for _ in range(3):
        insider.say(kind, insider.beat(**data) if kind == messages.HEARTBEAT else data, "east-01")
    until(lambda: home.master.dropped_messages == 3)

    assert home.state() == before
    assert ended == []
    assert not home.master.load.membership.members["east-01"].leaving
    (line,) = named(caplog, "dropped a message from east-02")
    assert "speaks for 'east-01'" in line.getMessage()
    assert worker.is_heard(2, records[2])
    insider.client.close()


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    """A run of two workers, one behind a relay that records it, while everything is tried on its master."""
    folder = tmp_path_factory.mktemp("attacked")
    (folder / "visitor.py").write_text(VISITOR)
    loadproof("keys", "set", "--region", "local:2", cwd=folder)
    master, place = begin_master(
        *("-f", "visitor.py", "-u", USERS, "-t", f"{SECONDS}s", "--rule", "p95 <= 2s", "--workers", 2),
        *("--keys", "set"),
        cwd=folder,
    )
    port = int(place.rpartition(":")[2])
    relay = Relay(port)
    workers = []
    for number, at in ((1, relay.port), (2, port)):
        keys = ("--key", f"set/local-0{number}.key", "--master-key", "set/master.pub")
        words = ("--master", f"127.0.0.1:{at}", "--region", "local", "-f", "visitor.py", *keys)
        workers.append(start("worker", *words, cwd=folder))
    until(lambda: seconds_of_load(run_folder(folder)) >= 3, 60)
    told = attack(port, folder / "set", bytes(relay.connections[0].from_worker))
    until(lambda: master.poll() is not None, 90)
    for worker in workers:
        until(lambda worker=worker: worker.poll() is not None, 90)
    relay.close()
    return SimpleNamespace(
        told=told,
        master=finish(master),
        workers=[finish(worker) for worker in workers],
        folder=run_folder(folder),
    )


def attack(port, keys, recorded):
    """All that can be tried from outside, three times each; how many connections and insider's messages that were."""
    insider = read_worker_keys(keys / "local-02.key", keys / "master.pub")
    dallying = dally(port, 20)
    told = SimpleNamespace(strangers=0, insiders=0, raw=len(dallying))
    for curve in (None, unknown_key(insider.master)):
        with stranger(port, curve=curve) as peer:
            for kind, data in STOCK.items():
                for _ in range(3):
                    peer.say(kind, data, "local-01")
            assert peer.socket.poll(1_000) == 0, "the master answered a stranger"
            told.strangers += 1
    for data in (*RAW.values(), recorded):
        for _ in range(3):
            say_raw(port, data)
            told.raw += 1
    client = Client("127.0.0.1", port, insider)
    until(lambda: client.connections)
    for kind, data in LIES.values():
        for _ in range(3):
            client.send(sockets.Message(kind, data, "local-01"))
            told.insiders += 1
    for connection in dallying:
        connection.close()
    gevent.sleep(0.5)
    client.close()
    return told


def test_an_attacked_run_passes(attacked):
    """Exit 0 on all sides, and the books of workers, master and target are one."""
    accounting = results(attacked.folder)["accounting"]
    reasons = [reason for reason in results(attacked.folder)["reasons"] if reason["code"] not in BUSY]

    assert attacked.master[0] == 0, attacked.master[1]
    assert reasons == []
    assert [code for code, _ in attacked.workers] == [0, 0]
    assert accounting["started"] == accounting["ok"] > 0
    assert accounting["started"] == accounting["target_counted"] == accounting["locust_counted"]
    assert accounting["workers_lost"] == accounting["unfinished"] == 0


def test_an_attacked_load_is_unchanged(attacked):
    """From the second second to the last but one has each worker its planned users all the time, and nobody was away."""
    for path in (attacked.folder / "journals").iterdir():
        whole = [interval for interval in Journal(path).intervals() if 1 <= interval.second < SECONDS - 1]

        assert sum(interval.length_us for interval in whole) > (SECONDS - 3) * 1_000_000
        for interval in whole:
            assert sum(interval.user_us.values()) == USERS // 2 * interval.length_us
    assert "worker_away" not in (attacked.folder / "events.jsonl").read_text()


def test_attacks_are_counted_and_named_once(attacked):
    """Strangers as connections, insiders as messages; however often each tried, the log has a line."""
    log = (attacked.folder / "run.log").read_text()
    told = manifest(attacked.folder)

    assert told["refused_connections"]["no handshake"] >= attacked.told.raw + 1
    assert told["refused_connections"]["unknown key"] >= 1
    assert told["dropped_messages"] == attacked.told.insiders
    assert log.count("it ended before it had shown a CURVE key") == 1
    assert log.count("is not among the workers'") == 1
    assert log.count("dropped a message from local-02") == 1
