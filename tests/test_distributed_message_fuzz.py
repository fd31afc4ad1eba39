"""Ten thousand damaged messages from an admitted worker: each is refused whole, and the master listens on."""

import random

import msgpack
import pytest
from linking import Peer, journal, linked

from distributed import messages
from distributed.trouble import Trouble
from loadproof.measure.record import frame, unframe

ODD = [
    None,
    True,
    -1,
    0,
    2**63,
    -(2**63),
    1e308,
    float("nan"),
    "",
    "\ud800".encode("utf-8", "surrogatepass"),
    "x" * 300,
    b"\x00\xff",
    [],
    {},
    [[[]]],
    {"__datetime__": True},
    {"__datetime__": True, "as_str": "never"},
    {"__ObjectId__": True, "as_str": "0"},
    {None: 1},
]


def damaged(chance, value):
    """The value with something in it exchanged, dropped or added."""
    if isinstance(value, dict) and value and chance.random() < 0.8:
        key = chance.choice(list(value))
        copy = dict(value)
        if chance.random() < 0.2:
            del copy[key]
        elif chance.random() < 0.2:
            copy[str(chance.random())] = chance.choice(ODD)
        else:
            copy[key] = damaged(chance, value[key])
        return copy
    if isinstance(value, list) and value and chance.random() < 0.8:
        index = chance.randrange(len(value))
        return [*value[:index], damaged(chance, value[index]), *value[index + 1 :]]
    if isinstance(value, bytes) and chance.random() < 0.8:
        return bent(chance, value)
    return chance.choice(ODD)


def bent(chance, data):
    """Bytes with some of them changed, cut off or repeated."""
    copy = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        if not copy:
            break
        place = chance.randrange(len(copy))
        match chance.randrange(4):
            case 0:
                copy[place] ^= 1 << chance.randrange(8)
            case 1:
                copy[place] = chance.randrange(256)
            case 2:
                del copy[place:]
            case 3:
                copy[place:place] = copy[place : place + 20]
    return bytes(copy)


def reframed(chance, record, second):
    """A record whose length and checksum are right, of a later second and with a damaged payload."""
    kind, payload = unframe(record)[:1], msgpack.unpackb(unframe(record)[1:], strict_map_key=False)
    payload[:2] = second, second * 1_000_000
    if chance.random() < 0.3:
        return frame(bent(chance, kind + msgpack.packb(payload)))
    return frame(kind + msgpack.packb(damaged(chance, payload)))


def fuzzed(chance, peer, record, expected, second):
    """One message, as bytes: a valid one damaged, noise, or a valid one with a damaged interval in it."""
    number = chance.choice([expected, expected, expected, 0, expected + 1, 2**40])
    kind, data = chance.choice(
        [
            (messages.HELLO, peer.hello()),
            (messages.RECORD, peer.record(number, record)),
            (messages.RECORD, peer.record(expected, reframed(chance, record, second))),
            (messages.HEARTBEAT, peer.beat()),
            (messages.ASK, messages.write(messages.Ask(messages.PROTOCOL, "east", peer.hello()["version"]))),
            (messages.CLOCK, messages.write(messages.Clock(1))),
            ("stats", {"stats": [], "stats_total": {}, "errors": {}}),
            (messages.STOP, messages.write(messages.Stop())),
            ("loadproof_report", {"a": 1}),
        ]
    )
    whole = [kind, data, peer.worker]
    match chance.randrange(4):
        case 0:
            whole[1] = damaged(chance, data)
        case 1:
            whole = damaged(chance, whole)
        case 2:
            return bent(chance, msgpack.packb(whole))
        case 3:
            if kind != messages.RECORD:
                return chance.randbytes(chance.randrange(60))
    return msgpack.packb(whole)


@pytest.mark.parametrize("count", [10_000, pytest.param(1_000_000, marks=pytest.mark.long)])
def test_fuzzed_messages_change_nothing_and_stop_nothing(tmp_path, count):
    """None raises past the listener, none leaves a part of itself behind, and who comes next is served."""
    chance = random.Random(count)
    with linked(tmp_path) as home:
        apply, half_applied, applied = home.master.handle_message, [], []

        def watched(client_id, message):
            before = home.state()
            try:
                apply(client_id, message)
                applied.append(message.type)
            except BaseException:
                if home.state() != before:
                    half_applied.append((message.type, message.data))
                raise

        home.master.handle_message = watched
        home.master.on_interval = Trouble(home.master.plan).add
        peer = Peer(home, "east-01").join()
        records = journal(tmp_path / "east-01.journal", "east-01")
        assert peer.is_heard(0, records[0])
        for batch in range(1, count // 100 + 1):
            expected = home.master.admitted["east-01"].receiver.expected
            for _ in range(100):
                peer.client.socket.send(fuzzed(chance, peer, records[1], expected, batch))
            peer.say(messages.HELLO, peer.hello(connection=batch))
            while (answer := peer.hear()).type != messages.WELCOME or answer.data["connection"] != batch:
                pass
        other = Peer(home, "east-02").join()

        assert half_applied == []
        assert home.master.dropped_messages > count / 3
        assert home.master.admitted["east-01"].receiver.expected > 10
        for number, record in enumerate(journal(tmp_path / "east-02.journal", "east-02")):
            assert other.is_heard(number, record)
        assert home.master.admitted["east-02"].finished
        peer.client.close()
        other.client.close()
