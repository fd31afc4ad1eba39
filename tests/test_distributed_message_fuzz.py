"""Ten thousand damaged messages from an admitted worker: each is refused whole, and the master listens on."""

import random

import msgpack
import pytest
from damaging import bent, damaged
from linking import Peer, journal, linked

from distributed import messages
from distributed.trouble import Trouble
from loadproof.measure.record import frame, unframe


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


def ends_this_life(message, peer):
    """Whether it says, in a form that is right, that this process leaves or that another has its name."""
    if message.type == messages.HEARTBEAT:
        return messages.read(message.data, messages.Heartbeat).leaving
    if message.type == messages.HELLO:
        return messages.read(message.data, messages.Hello).life != peer.life
    return False


@pytest.mark.parametrize("count", [10_000, pytest.param(1_000_000, marks=pytest.mark.long)])
def test_fuzzed_messages_change_nothing_and_stop_nothing(tmp_path, count):
    """None raises past the listener, none leaves a part of itself behind, and who comes next is served."""
    chance = random.Random(count)
    with linked(tmp_path) as home:
        apply, half_applied, applied = home.master.handle_message, [], []
        peer = Peer(home, "east-01")

        def watched(client_id, message):
            if ends_this_life(message, peer):
                return
            before = home.state()
            try:
                apply(client_id, message)
                applied.append(message.type)
            except BaseException:
                if home.state() != before:
                    half_applied.append((message.type, message.data))
                raise

        home.master.handle_message = watched
        trouble = Trouble(home.master.plan)
        home.master.on_interval = trouble.add
        peer.join()
        records = journal(tmp_path / "east-01.journal", "east-01")
        assert peer.is_heard(0, records[0])
        for batch in range(1, count // 100 + 1):
            expected = home.master.roster.admitted["east-01"].receiver.expected
            for _ in range(100):
                peer.client.socket.send(fuzzed(chance, peer, records[1], expected, batch))
            trouble._judge(batch * 1_000_000)
            peer.say(messages.HELLO, peer.hello(connection=batch))
            while (answer := peer.hear()).type != messages.WELCOME or answer.data["connection"] != batch:
                pass
        other = Peer(home, "east-02").join()

        assert half_applied == []
        assert home.master.dropped_messages > count / 3
        assert home.master.roster.admitted["east-01"].receiver.expected > 10
        for number, record in enumerate(journal(tmp_path / "east-02.journal", "east-02")):
            assert other.is_heard(number, record)
        assert home.master.roster.admitted["east-02"].finished
        peer.client.close()
        other.client.close()
