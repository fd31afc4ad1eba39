"""Replication: whatever the link does to messages, the master's copy is the worker's journal."""

import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distributed import messages
from distributed.replication import Receiver, Sender
from loadproof.errors import JournalError
from loadproof.measure.interval import Fin, Header, Interval
from loadproof.measure.journal import JournalWriter
from loadproof.measure.wire import FORMAT_VERSION


def write_journal(path, intervals):
    journal = JournalWriter(path, Header(FORMAT_VERSION, "run", "w-01", "w", 0, (1000,)))
    sender = Sender(path, 0)
    sender.wrote(journal.header_record)
    for second in range(intervals):
        sender.wrote(journal.append(Interval(second, second * 1_000_000, 1_000_000)))
    sender.wrote(journal.finish(started=0, ok=0, failed=0, unfinished=0))
    journal.close()
    return sender


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 150), st.integers(0, 2**32), st.floats(0, 0.6))
def test_any_loss_repetition_and_order_gives_the_same_file(tmp_path_factory, intervals, seed, loss):
    """Records lost, doubled and reordered at random end as a byte-identical copy with its FIN."""
    folder = tmp_path_factory.mktemp("journals")
    sender = write_journal(folder / "own.journal", intervals)
    receiver = Receiver(folder / "copy.journal", "w-01", 0)
    chance = random.Random(seed)
    for _ in range(5000):
        if sender.done:
            break
        batch = [record for record in sender.next_records() if chance.random() >= loss]
        batch += [record for record in batch if chance.random() < loss]
        chance.shuffle(batch)
        answers = [receiver.receive(record)[1] for record in batch]
        for answer in answers:
            if chance.random() >= loss:
                sender.received(answer)
        sender.retry()
    receiver.copy.close()

    assert sender.done
    assert isinstance(receiver.fin, Fin)
    assert (folder / "copy.journal").read_bytes() == (folder / "own.journal").read_bytes()


def test_no_more_than_a_window_is_ever_ahead(tmp_path):
    """A worker sends at most eight records beyond the last acknowledged one."""
    sender = write_journal(tmp_path / "own.journal", 100)

    assert len(sender.next_records()) == messages.WINDOW
    assert sender.next_records() == []
    sender.received(messages.Received(0, 3))
    assert [record.number for record in sender.next_records()] == [8, 9, 10]


def test_a_gap_is_asked_for_again(tmp_path):
    """A record after a missing one is not kept, and the answer names the missing one."""
    sender = write_journal(tmp_path / "own.journal", 5)
    first, _, third, *_ = sender.next_records()
    receiver = Receiver(tmp_path / "copy.journal", "w-01", 0)
    receiver.receive(first)

    assert receiver.receive(third) == (None, messages.Received(0, 1, again=True))


def test_a_record_that_is_refused_for_long_makes_no_storm(tmp_path):
    """However often the following ones are answered, a missing record is sent once more, and once a timeout."""
    sender = write_journal(tmp_path / "own.journal", 20)
    receiver = Receiver(tmp_path / "copy.journal", "w-01", 0)
    sent = 0

    def rounds(count):
        nonlocal sent
        for _ in range(count):
            batch = sender.next_records()
            sent += len(batch)
            for record in batch:
                if record.number != 3:
                    sender.received(receiver.receive(record)[1])

    rounds(50)
    assert (receiver.expected, sent) == (3, 2 * messages.WINDOW)
    sender.retry()
    rounds(50)
    assert sent == 3 * messages.WINDOW


def test_words_about_another_epoch_or_the_future_are_ignored(tmp_path):
    """An acknowledgement of what was never written cannot make a worker forget its records."""
    sender = write_journal(tmp_path / "own.journal", 5)
    sender.next_records()
    sender.received(messages.Received(1, 4))
    sender.received(messages.Received(0, 400))

    assert sender.acknowledged == 0


def test_a_damaged_record_is_refused_and_leaves_the_copy_as_it_was(tmp_path):
    """One flipped bit on the way is an error, and the true record is still accepted afterwards."""
    sender = write_journal(tmp_path / "own.journal", 3)
    header, first, *_ = sender.next_records()
    receiver = Receiver(tmp_path / "copy.journal", "w-01", 0)
    receiver.receive(header)
    bent = bytearray(first.record)
    bent[-1] ^= 1
    with pytest.raises(JournalError):
        receiver.receive(messages.Record(0, 1, bytes(bent)))

    assert isinstance(receiver.receive(first)[0], Interval)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
        lambda children: st.lists(children) | st.dictionaries(st.text(), children),
        max_leaves=20,
    )
)
def test_a_message_that_does_not_fit_is_refused_and_nothing_else(data):
    """Arbitrary data is either a valid message or a validation error."""
    for kind in (messages.Hello, messages.Record, messages.Heartbeat, messages.Begin, messages.Stop):
        try:
            messages.read(data, kind)
        except msgspec.ValidationError:
            continue


def test_messages_survive_the_wire():
    """What is written is what is read, bytes included."""
    record = messages.Record(0, 7, b"\x00\xff")

    assert messages.read(messages.write(record), messages.Record) == record
