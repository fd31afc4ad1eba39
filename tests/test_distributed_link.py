"""The link: whoever has no key, another's key or another's name changes nothing, and is named once in the log."""

import contextlib
import dataclasses
import logging
import os
import time

import gevent
import pytest
import zmq.green as zmq
from gevent import socket as tcp
from gevent.server import StreamServer
from linking import WORKERS, Peer, journal, linked, stranger, until
from locust.exception import RPCError
from locust.rpc import Message

from distributed import messages
from distributed.clock import RunClock
from distributed.link import keys as key_files
from distributed.link import sockets
from distributed.link.keys import fingerprint, make_keys
from distributed.link.sockets import Client, Server
from loadproof.errors import UsageError

STOCK = {
    "stats": {"stats": [], "stats_total": {"num_requests": 100_000}, "errors": {}, "user_count": 9},
    "client_ready": "2.47.0",
    "quit": None,
    "client_stopped": None,
    "locustfile": None,
}
"""What a peer of stock Locust's protocol sends, and a stock master obeys."""
GREETING = b"\xff" + bytes(7) + b"\x01\x7f\x03\x00" + b"CURVE".ljust(20, b"\0") + bytes(32)
"""ZMTP 3.0: signature, version, mechanism, as-server, filler."""


@pytest.fixture
def home(tmp_path):
    with linked(tmp_path) as found:
        yield found


@pytest.fixture
def at_work(home, tmp_path):
    """A worker that has joined, with two records of its journal on the master, and the rest of the journal."""
    peer = Peer(home, "east-01").join()
    records = journal(tmp_path / "own.journal", "east-01")
    assert peer.is_heard(0, records[0])
    assert peer.is_heard(1, records[1])
    yield peer, records
    peer.client.close()


def warnings(caplog, word):
    return [record.getMessage() for record in caplog.records if word in record.getMessage()]


def is_cut_off(connection, *, said_all=False):
    """Return when the master has closed the connection, with or without having read all of it."""
    with gevent.Timeout(20), contextlib.suppress(OSError):
        if said_all:
            connection.shutdown(tcp.SHUT_WR)
        while connection.recv(65_536):
            pass


def strange_key(home):
    pair = key_files.KeyPair(*zmq.curve_keypair())
    return home.keys.own.public, pair.public, pair.secret


@pytest.mark.parametrize("kind", STOCK)
@pytest.mark.parametrize("curve", [False, True], ids=["no key", "unknown key"])
def test_a_stranger_is_not_heard(home, at_work, caplog, kind, curve):
    """Statistics, join, quit, stop or a wish for the locustfile: without a worker's key nothing arrives."""
    before = home.state()
    with stranger(home.port, curve=strange_key(home) if curve else None) as peer:
        for _ in range(3):
            peer.say(kind, STOCK[kind], "east-01")
        refusal = "unknown key" if curve else "no handshake"
        until(lambda: home.master.server.refused[refusal] > 0)
        assert peer.socket.poll(100) == 0, "the master answered"
    worker, records = at_work

    assert home.state() == before
    assert len(warnings(caplog, "refused a connection")) == 1
    assert home.master.dropped_messages == 0
    assert worker.is_heard(2, records[2])


def test_without_the_doorkeeper_nobody_is_let_in(home):
    """CURVE alone admits any key: our server then admits none, so that the key list cannot be lost in silence."""
    home.master.server._doorkeeper.close()
    client = Client("127.0.0.1", home.port, home.of_workers["east-01"])
    try:
        until(lambda: home.master.server.refused["no handshake"])
        assert client.connections == 0
    finally:
        client.close()
        home.master.server._doorkeeper = sockets.Doorkeeper(zmq.Context.instance(), {}, lambda *_: None)


def test_curve_without_a_list_would_admit_the_unknown_key(home):
    """The attack is real: a CURVE server as the library makes it hears a peer whose key nobody knows."""
    context = zmq.Context()
    bare = context.socket(zmq.ROUTER)
    bare.linger = 0
    pair = key_files.KeyPair(*zmq.curve_keypair())
    bare.curve_server, bare.curve_secretkey, bare.curve_publickey = True, pair.secret, pair.public
    port = bare.bind_to_random_port("tcp://127.0.0.1")
    own = key_files.KeyPair(*zmq.curve_keypair())
    with stranger(port, curve=(pair.public, own.public, own.secret)) as peer, gevent.Timeout(20):
        peer.say("quit", None, "stranger")
        assert b"quit" in bare.recv_multipart()[1]
    bare.close()
    context.term()


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: master\r\n\r\n",
        os.urandom(300),
        GREETING + os.urandom(300),
        GREETING + b"\x02" + (2**40).to_bytes(8, "big") + bytes(1000),
        b"",
    ],
    ids=["http", "noise", "noise after the greeting", "oversize", "nothing"],
)
def test_bytes_that_are_no_handshake_are_cut_off(home, at_work, caplog, data):
    """Raw TCP bytes, garbage frames and a frame of a terabyte end their own connection and nothing else."""
    before = home.state()
    for _ in range(3):
        with tcp.create_connection(("127.0.0.1", home.port)) as connection:
            connection.sendall(data)
            is_cut_off(connection, said_all=True)
    until(lambda: home.master.server.refused["no handshake"] == 3)
    worker, records = at_work

    assert home.state() == before
    assert len(warnings(caplog, "refused a connection")) == 1
    assert worker.is_heard(2, records[2])


def test_a_handshake_that_dallies_is_ended(tmp_path, monkeypatch, caplog):
    """A peer that greets and then waits does not hold its connection longer than a handshake may take."""
    monkeypatch.setattr(sockets, "HANDSHAKE_MS", 200)
    with linked(tmp_path) as home, tcp.create_connection(("127.0.0.1", home.port)) as connection:
        connection.sendall(GREETING)
        is_cut_off(connection)
        until(lambda: home.master.server.refused["no handshake"])
        assert len(warnings(caplog, "refused a connection")) == 1


def test_a_recorded_stream_cannot_be_replayed(home, caplog, tmp_path):
    """What a worker once sent, byte for byte on a new connection, is no handshake: the master's half has changed."""
    heard = bytearray()

    def relay(connection, _address):
        with tcp.create_connection(("127.0.0.1", home.port)) as onward:
            back = gevent.spawn(copy, onward, connection)
            copy(connection, onward, heard)
            back.kill()

    def copy(source, sink, record=None):
        while data := source.recv(65_536):
            if record is not None:
                record += data
            sink.sendall(data)

    server = StreamServer(("127.0.0.1", 0), relay)
    server.start()
    records = journal(tmp_path / "own.journal", "east-01")
    client = Client("127.0.0.1", server.server_port, home.of_workers["east-01"])
    until(lambda: client.connections)
    peer = Peer.__new__(Peer)
    peer.client, peer.worker, peer.life = client, "east-01", "0123456789abcdef"
    peer.join()
    assert peer.is_heard(0, records[0])
    before, recorded = home.state(), bytes(heard)
    with tcp.create_connection(("127.0.0.1", home.port)) as connection:
        connection.sendall(recorded)
        is_cut_off(connection)
    until(lambda: home.master.server.refused["no handshake"])

    assert len(recorded) > 1_000
    assert home.state() == before
    assert len(warnings(caplog, "refused a connection")) == 1
    assert peer.is_heard(1, records[1])
    client.close()
    server.stop()


def test_a_rogue_master_hears_nothing(home):
    """A worker speaks only to the master whose key it was given, and says so in one line."""
    context = zmq.Context()
    rogue = context.socket(zmq.ROUTER)
    rogue.linger = 0
    pair = key_files.KeyPair(*zmq.curve_keypair())
    rogue.curve_server, rogue.curve_secretkey, rogue.curve_publickey = True, pair.secret, pair.public
    port = rogue.bind_to_random_port("tcp://127.0.0.1")
    client = Client("127.0.0.1", port, home.of_workers["east-01"])
    until(lambda: client.refusal)

    assert client.refusal == f"127.0.0.1:{port}: the master is not the one whose key we were given"
    assert client.connections == 0
    with pytest.raises(RPCError):
        client.send(Message("client_ready", None, "east-01"))
    assert rogue.poll(0) == 0
    client.close()
    rogue.close()
    context.term()


def test_a_worker_whose_key_is_refused_says_so(home):
    """One line with the master's place and what to do."""
    _, strangers = make_keys(["east-01"])
    client = Client(
        "127.0.0.1", home.port, dataclasses.replace(strangers["east-01"], master=home.keys.own.public)
    )
    until(lambda: client.refusal)
    client.close()

    assert client.refusal.startswith(f"127.0.0.1:{home.port}: the master refuses our key")


def as_another(peer, records):
    """What the holder of east-02's key can say to pass for east-01."""
    return {
        "hello in its name": (messages.HELLO, peer.hello(worker="east-01"), "east-01"),
        "hello for its seat": (messages.HELLO, peer.hello(worker="east-01"), "east-02"),
        "its next record": (messages.RECORD, peer.record(2, records[2]), "east-01"),
        "a record unasked": (messages.RECORD, peer.record(2, records[2]), "east-02"),
        "its FIN": (messages.RECORD, peer.record(4, records[4]), "east-01"),
        "its heartbeat": (
            messages.HEARTBEAT,
            {"state": "stopped", "clock_error_us": 0, "current_cpu_usage": 0.0, "current_memory_usage": 0},
            "east-01",
        ),
        "its wish to end": ("loadproof_end", None, "east-01"),
    }


@pytest.mark.parametrize(
    "lie", as_another(*[type("P", (), {"hello": dict, "record": lambda *_: None})(), [0] * 5])
)
def test_an_insider_cannot_speak_for_another(home, at_work, caplog, lie):
    """A valid key makes its holder that worker and no other, whatever the message says."""
    worker, records = at_work
    ended = []
    home.master.on_quit = lambda: ended.append(1)
    insider = Peer(home, "east-02")
    before = home.state()
    kind, data, sender = as_another(insider, records)[lie]
    for _ in range(3):
        insider.say(kind, data, sender)
    until(lambda: home.master.dropped_messages == 3)

    assert home.state() == before
    assert ended == []
    assert len(warnings(caplog, "dropped a message from east-02")) == 1
    assert worker.is_heard(2, records[2])
    insider.client.close()


def test_an_insider_cannot_hand_in_anothers_journal(home, caplog, tmp_path):
    """A header that names another worker is refused before a byte of it is kept."""
    insider = Peer(home, "east-02").join()
    before = home.state()
    insider.say(messages.RECORD, insider.record(0, journal(tmp_path / "own.journal", "east-01")[0]))
    until(lambda: home.master.dropped_messages)

    assert home.state() == before
    assert len(warnings(caplog, "dropped a message from east-02")) == 1
    insider.client.close()


def test_an_insider_cannot_draw_anothers_messages(home, at_work):
    """A connection that asks ZeroMQ for the name by which the master sends to another worker does not get it."""
    worker, records = at_work
    keys = home.of_workers["east-02"]
    route = home.master.server._current["east-01"]
    with stranger(home.port, curve=(keys.master, keys.own.public, keys.own.secret)) as insider:
        insider.socket.disconnect(f"tcp://127.0.0.1:{home.port}")
        for name in (b"east-01", b"x" + route[1:]):
            insider.socket.identity = name
            insider.socket.connect(f"tcp://127.0.0.1:{home.port}")
            insider.say(messages.HEARTBEAT, None, "east-01")
        until(lambda: home.master.dropped_messages == 2)
        assert worker.is_heard(2, records[2])
        assert insider.socket.poll(100) == 0


def test_another_process_with_the_same_key_is_refused(home, at_work):
    """The seat stays with the process that has it, and so do the master's messages."""
    worker, records = at_work
    before = home.state()
    second = Peer(home, "east-01")
    second.life = "fedcba9876543210"
    second.say(messages.HELLO, second.hello())
    answer = second.hear()

    assert answer.type == messages.REFUSED
    assert "taken by another process" in answer.data["why"]
    assert home.state() == before
    assert worker.is_heard(2, records[2])
    second.client.close()


def test_a_worker_that_is_back_goes_on_where_it_was(home, at_work):
    """On a new connection, while the old one still stands, the same process is welcomed and acknowledged."""
    worker, records = at_work
    again = Peer(home, "east-01").join()

    assert again.is_heard(2, records[2])
    worker.say(messages.RECORD, worker.record(3, records[3]))
    until(lambda: home.master.dropped_messages == 1)
    assert again.is_heard(3, records[3])
    again.client.close()


def test_a_workers_address_is_that_of_its_current_connection(home, at_work):
    """Who only has its key changes nothing; where the worker itself comes from next, it is."""
    elsewhere = f"tcp://127.0.0.2:0;127.0.0.1:{home.port}"
    found = home.master.server.addresses
    other = Peer(home, "east-01")
    connections = other.client.connections
    other.client.socket.disconnect(f"tcp://127.0.0.1:{home.port}")
    other.client.socket.connect(elsewhere)
    until(lambda: other.client.connections > connections)
    life, other.life = other.life, "fedcba9876543210"
    other.say(messages.HELLO, other.hello())

    assert other.hear().type == messages.REFUSED
    assert found == {"east-01": "127.0.0.1"}
    other.life = life
    other.join()
    assert found == {"east-01": "127.0.0.2"}
    other.client.close()


def test_what_was_said_while_a_worker_was_cut_off_is_said_again(home, at_work):
    """A placement and a stop that went to a dead connection reach the worker on its next one."""
    worker, _ = at_work
    worker.client.close()
    home.master.begin_load(RunClock(time.monotonic_ns()))
    again = Peer(home, "east-01").join()
    again.say(messages.HEARTBEAT, again.beat(revision=0))
    placement = again.hear()
    assert (placement.type, placement.data["revision"]) == (messages.BEGIN, 1)
    again.say(messages.HEARTBEAT, again.beat(revision=1))
    assert again.hear().type == messages.LEASE
    again.client.close()
    home.master.stop_loading()
    third = Peer(home, "east-01").join()

    assert third.hear().type == messages.STOP
    third.client.close()


def test_nobody_waits_for_a_peer_that_is_gone(home, at_work):
    """Two thousand messages to a connection that has ended cost an error each, and no time."""
    worker, _ = at_work
    worker.client.close()
    failed = 0
    with gevent.Timeout(20):
        while failed < 10:
            for _ in range(200):
                try:
                    home.master.server.send_to_client(Message("x", b"x" * 1000, "east-01"))
                except RPCError:
                    failed += 1
            gevent.sleep(0)


def test_a_message_sent_to_nobody_is_an_error(home):
    """Neither an unknown worker nor one that was never welcomed can be sent to."""
    for worker in ("north-01", *WORKERS):
        with pytest.raises(RPCError, match="has no connection"):
            home.master.server.send_to_client(Message("x", None, worker))


def test_two_masters_do_not_share_a_port(home):
    """The second is told where and why, and the first goes on."""
    keys, _ = make_keys(["east-01"])
    home.master.server._doorkeeper.close()
    with pytest.raises(RPCError, match=r"cannot listen at 127\.0\.0\.1 port"):
        Server("127.0.0.1", home.port, keys)
    home.master.server._doorkeeper = sockets.Doorkeeper(zmq.Context.instance(), {}, lambda *_: None)


def test_the_log_stays_short_however_much_is_refused(home, caplog):
    """A stranger who varies what it does cannot fill the disk with it."""
    for number in range(10 * sockets.LOGGED):
        home.master.server.log_once(f"refused {number}")

    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == sockets.LOGGED


def test_key_files_survive_their_folder(tmp_path):
    """What was written is what is read, secrets are the owner's alone, and nothing is overwritten."""
    mine, theirs = make_keys(WORKERS)
    written = [*key_files.write_master_side(tmp_path, mine), *key_files.write_worker_side(tmp_path, theirs)]

    assert key_files.read_master_keys(tmp_path) == mine
    for worker in WORKERS:
        path = key_files.worker_key(tmp_path, worker)
        assert key_files.read_worker_keys(path, tmp_path / key_files.MASTER_PUB) == theirs[worker]
    for path in written:
        open_to_all = path.name in {key_files.MASTER_PUB, key_files.AUTHORISED}
        assert path.stat().st_mode & 0o777 == (0o644 if open_to_all else 0o600)
    with pytest.raises(UsageError, match="exists and is not overwritten"):
        key_files.write_master_side(tmp_path, mine)


@pytest.mark.parametrize(
    ("name", "spoil", "says"),
    [
        ("master.key", lambda path: path.unlink(), "No such file"),
        ("master.key", lambda path: path.chmod(0o640), "others may read"),
        ("master.key", lambda path: path.write_text("secret\n"), "no key file"),
        ("master.key", lambda path: path.write_bytes(b"\xff\xfe 1\n"), "no key file"),
        ("workers.pub", lambda path: path.write_text("east-01 short\n"), "`east-01` is damaged"),
        ("workers.pub", lambda path: path.write_text(f"east-01 {'~' * 40}\n"), "`east-01` is damaged"),
        ("workers.pub", lambda path: path.write_text(f"a {'0' * 40}\nb {'0' * 40}\n"), "two workers one key"),
        (
            "master.key",
            lambda path: path.write_text(path.read_text().replace("public ", "public 0", 1)[:-1]),
            "damaged",
        ),
        (
            "master.key",
            lambda path: path.write_text("public " + "0" * 40 + "\n" + path.read_text().splitlines()[2]),
            "does not belong to the secret one",
        ),
    ],
)
def test_a_spoilt_key_file_is_named(tmp_path, name, spoil, says):
    """One line says which file, what is wrong, and no secret."""
    mine, _ = make_keys(WORKERS)
    key_files.write_master_side(tmp_path, mine)
    spoil(tmp_path / name)
    with pytest.raises(UsageError, match=says) as refused:
        key_files.read_master_keys(tmp_path)

    assert str(tmp_path / name) in str(refused.value)
    assert mine.own.secret.decode() not in str(refused.value)


def test_a_secret_key_is_never_shown():
    """Neither `repr` nor a fingerprint gives it away."""
    mine, theirs = make_keys(["east-01"])

    assert mine.own.secret.decode() not in repr(mine)
    assert theirs["east-01"].own.secret.decode() not in repr(theirs)
    assert len({fingerprint(mine.own.public), *mine.fingerprints.values()}) == 2
