"""The pacer calls back in order, never early, what was not cancelled, whatever a callback does."""

import io
import itertools
import os
from pathlib import Path
from time import monotonic_ns

import gevent
import pytest
from gevent.event import Event
from gevent.hub import get_hub
from greenlet import getcurrent
from hypothesis import given, settings
from hypothesis import strategies as st

from loadproof.client.pacer import WAKES_APART_NS, Pacer

MS = 1_000_000


@pytest.fixture
def pacer():
    pacer = Pacer()
    yield pacer
    pacer.close()


def wait_for(event):
    assert event.wait(timeout=30), "the pacer did not call back"


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(-5 * MS, 15 * MS), min_size=1, max_size=40))
def test_each_is_called_once_in_order_and_never_early(offsets):
    """Whatever was asked for in whatever order comes once, by its instant, and not before."""
    pacer = Pacer()
    done = Event()
    calls = []
    now = monotonic_ns()

    def back(due_ns, noticed_ns):
        calls.append((due_ns, noticed_ns))
        if len(calls) == len(offsets):
            done.set()

    for offset in offsets:
        pacer.at(now + offset, back)
    wait_for(done)
    pacer.close()

    assert [due for due, _ in calls] == sorted(now + offset for offset in offsets)
    assert all(noticed >= due for due, noticed in calls)


def test_calls_of_one_instant_come_in_the_order_in_which_they_were_asked_for(pacer):
    """Nothing but the instant and the order of asking decides."""
    done = Event()
    order = []
    due = monotonic_ns() + MS
    for number in range(20):
        pacer.at(due, lambda _due, _now, number=number: order.append(number))
    pacer.at(due, lambda _due, _now: done.set())
    wait_for(done)

    assert order == list(range(20))


def test_what_is_asked_for_later_may_come_sooner(pacer):
    """A nearer instant re-arms the timer that waits for a far one."""
    done = Event()
    far = pacer.at(monotonic_ns() + 3_600_000 * MS, lambda _due, _now: None)
    pacer.at(monotonic_ns() + MS, lambda _due, _now: done.set())
    wait_for(done)

    assert far.back is not None


def test_what_is_cancelled_is_not_called(pacer):
    """Neither before its instant, nor by another callback of the same wake."""
    done = Event()
    called = []
    due = monotonic_ns() + MS
    first = pacer.at(due, lambda _due, _now: called.append("first"))
    pacer.at(due, lambda _due, _now: second.cancel())
    second = pacer.at(due, lambda _due, _now: called.append("second"))
    pacer.at(due + MS, lambda _due, _now: done.set())
    first.cancel()
    wait_for(done)

    assert called == []


def test_a_callback_may_ask_for_the_next(pacer):
    """A chain of instants keeps to its own plan: no lag of one link moves the next."""
    done = Event()
    begin = monotonic_ns()
    seen = []

    def link(due_ns, _noticed_ns):
        seen.append(due_ns - begin)
        if len(seen) == 50:
            done.set()
        else:
            pacer.at(due_ns + MS // 10, link)

    pacer.at(begin, link)
    wait_for(done)

    assert seen == [number * MS // 10 for number in range(50)]


def test_what_is_due_close_together_is_noticed_together(pacer):
    """5,000 instants a second take no more wakes than one every quarter of a millisecond."""
    done = Event()
    noticed = []
    begin = monotonic_ns() + 5 * MS
    woken = []
    for number in range(200):
        pacer.at(
            begin + number * MS // 5, lambda _due, now: (noticed.append(now), woken.append(pacer._woken_ns))
        )
    pacer.at(begin + 40 * MS, lambda _due, _now: done.set())
    wait_for(done)
    wakes = sorted(set(woken))

    assert len(noticed) == 200
    assert all(later - earlier >= WAKES_APART_NS for earlier, later in itertools.pairwise(wakes))


def test_an_answer_gets_its_turn_between_starts_that_are_all_late(pacer):
    """A backlog that grows by itself does not keep the hub from other descriptors."""
    reader, writer = os.pipe()
    heard = Event()
    watcher = get_hub().loop.io(reader, 1)
    watcher.start(heard.set)
    going = True

    def again(_due_ns, _noticed_ns):
        if going:
            pacer.at(monotonic_ns() - MS, again)

    pacer.at(0, again)
    os.write(writer, b"x")
    wait_for(heard)
    going = False
    watcher.stop()
    watcher.close()
    os.close(reader)
    os.close(writer)


def test_a_callback_that_fails_stops_no_other(pacer, monkeypatch):
    """Its exception is printed by the hub; those after it, of the same wake and later, are called."""
    monkeypatch.setattr(get_hub(), "exception_stream", io.StringIO())
    done = Event()
    due = monotonic_ns() + MS

    def fail(_due_ns, _noticed_ns):
        raise RuntimeError("a callback's own mistake")

    pacer.at(due, fail)
    pacer.at(due, lambda _due, _now: done.set())
    wait_for(done)

    assert "a callback's own mistake" in get_hub().exception_stream.getvalue()


def test_a_callback_switches_to_a_waiting_greenlet_at_once(pacer):
    """What the greenlet does until it waits again comes before the next callback."""
    order = []

    def waits():
        pacer.at(due, lambda _due, _now: me.switch("now"))
        pacer.at(due, lambda _due, _now: order.append("next"))
        me = getcurrent()
        order.append(get_hub().switch())
        gevent.sleep(0)
        order.append("later")

    due = monotonic_ns() + MS
    greenlet = gevent.spawn(waits)
    greenlet.join(timeout=30)

    assert order == ["now", "next", "later"]


def test_a_closed_pacer_leaves_no_descriptor():
    """None is open after closing that was not before."""
    before = descriptors()
    pacer = Pacer()
    pacer.at(monotonic_ns(), lambda _due, _now: None)
    opened = descriptors() - before
    pacer.close()

    assert opened
    # What the collector closes meanwhile was another test's.
    assert not opened & descriptors()


def descriptors():
    return {(each.name, each.readlink()) for each in Path("/proc/self/fd").iterdir() if each.exists()}
