"""The recorder: every request is counted once, in the second and phase where it belongs."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadproof.measure.interval import CheckKey, Endpoint, ErrorKey, Outcome, SeriesKey
from loadproof.measure.recorder import ERRORS_PER_INTERVAL, EVIDENCE_PER_INTERVAL, Recorder


class Clock:
    def __init__(self):
        self.now = 0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def recorder(clock):
    return Recorder((1_000, 5_000), clock, [("ramp", 2_000_000), ("steady", 9_000_000)])


def test_a_request_is_one_in_its_series(recorder, clock):
    """A finished request bumps its series, its exact counts over each limit, and the books."""
    ticket = recorder.begin("A", "GET", "/x")
    clock.now = 1_000_000
    recorder.finish(ticket, Outcome.OK, 1_001, bytes_received=7)
    interval = recorder.close_interval()

    series = interval.series[SeriesKey("A", "GET", "/x", Outcome.OK, "ramp")]
    assert (series.histogram.count, series.over, series.bytes_received) == (1, [1, 0], 7)
    assert interval.exchanges[Endpoint("GET", "/x")].answered == 1
    assert (interval.started, interval.in_flight, recorder.totals.ok) == (1, 0, 1)


ENDS = [("ramp", 2_000_000), ("steady", 9_000_000)]
FAULTS = [("b", 1_000_000, 3_000_000), ("a", 2_500_000, 4_000_000), ("c", 4_000_000, 4_500_000)]
INSTANTS = st.integers(0, 9_000_000) | st.sampled_from(
    sorted(
        {at + step for _, *window in FAULTS for at in window for step in (-1, 0, 1)} | {1_999_999, 2_000_000}
    )
)


@given(requests=st.lists(st.tuples(INSTANTS, INSTANTS).map(sorted), max_size=30))
def test_a_request_belongs_to_every_fault_that_it_overlaps(requests):
    """However it was recorded, and whatever was counted before it: windows are half open, requests closed."""
    expected = Counter()
    by_ticket, by_tally = (
        Recorder((), clock := Clock(), ENDS, faults=FAULTS),
        Recorder((), Clock(), ENDS, faults=FAULTS),
    )
    tally = None
    for begun, ended in requests:
        phase = "ramp" if begun < 2_000_000 else "steady"
        expected[phase, tuple(name for name, since, until in FAULTS if begun < until and ended >= since)] += 1
        clock.now = begun
        ticket = by_ticket.begin("A", "GET", "/")
        by_ticket.finish(ticket, Outcome.OK, ended - begun)
        # As the client does: the last tally serves for as long as it says so.
        if tally is None or begun * 1_000 < tally.since_ns or ended * 1_000 >= tally.until_ns:
            tally = by_tally.tally("A", "GET", "/", begun, ended)
        tally.record_whole(ended - begun, 0, 0, 0, 0)

    for recorder in (by_ticket, by_tally):
        counted = Counter()
        for key, series in recorder.close_interval().series.items():
            counted[key.phase, key.faults] += series.histogram.count
        assert counted == expected


def test_a_latency_at_the_limit_is_not_over_it(recorder):
    """`over` counts what is strictly above a limit."""
    for latency in (1_000, 5_000, 5_001):
        recorder.finish(recorder.begin("A", "GET", "/"), Outcome.OK, latency)

    [series] = recorder.close_interval().series.values()
    assert series.over == [2, 1]


def test_a_request_belongs_to_the_phase_of_its_start(recorder, clock):
    """A request that began in the ramp is the ramp's, whenever it ends."""
    ticket = recorder.begin("A", "GET", "/")
    clock.now = 2_500_000
    recorder.finish(ticket, Outcome.OK, 2_500_000)

    [key] = recorder.close_interval().series
    assert key.phase == "ramp"


def test_a_request_ends_once(recorder):
    """A second end of the same request, by a dying greenlet say, changes nothing."""
    ticket = recorder.begin("A", "GET", "/")
    recorder.finish(ticket, Outcome.OK, 10)
    recorder.abandon(ticket)
    recorder.finish(ticket, Outcome.FAILED, 10)

    assert (recorder.totals.ok, recorder.totals.failed, recorder.totals.unfinished) == (1, 0, 0)


def test_what_we_end_ourselves_is_unfinished_with_its_age(recorder, clock):
    """An abandoned request has its age for a latency and one unanswered exchange."""
    recorder.begin("A", "GET", "/")
    clock.now = 700_000
    recorder.abandon_all()
    interval = recorder.close_interval()

    [(key, series)] = interval.series.items()
    assert (key.outcome, series.histogram.max) == (Outcome.UNFINISHED, 700_000)
    assert interval.exchanges[Endpoint("GET", "/")].unanswered == 1
    assert interval.first_done_us is None


def test_the_oldest_request_in_flight_is_known(recorder, clock):
    """An interval says how many requests hang and how old the oldest is."""
    recorder.begin("A", "GET", "/")
    clock.now = 400_000
    recorder.begin("A", "GET", "/")
    clock.now = 1_000_000
    interval = recorder.close_interval()

    assert (interval.in_flight, interval.oldest_us) == (2, 1_000_000)


def test_nothing_in_flight_has_no_age(recorder, clock):
    """The age of nothing is None, not 0."""
    clock.now = 1_000_000

    assert recorder.close_interval().oldest_us is None


def test_a_swallowed_second_is_skipped(recorder, clock):
    """An interval closed 2.3 s late is one long interval, and the next index is the next whole second."""
    clock.now = 3_300_000
    late = recorder.close_interval()
    clock.now = 4_000_000
    following = recorder.close_interval()

    assert (late.second, late.length_us) == (0, 3_300_000)
    assert (following.second, following.start_us, following.length_us) == (3, 3_300_000, 700_000)


def test_active_time_is_the_integral_of_users(recorder, clock):
    """One user for a whole second and one for its last quarter are 1.25 user-seconds."""
    recorder.user_started("A")
    clock.now = 750_000
    recorder.user_started("A")
    clock.now = 1_000_000
    interval = recorder.close_interval()

    assert interval.user_us == {"A": 1_250_000}
    assert interval.users == {"A": 2}


def test_checks_are_counted_apart(recorder):
    """Passed, failed and skipped checks have counts of their own, and failures leave evidence."""
    for passed in (True, False, None):
        recorder.check("A", "hash", passed, "saw deadbeef")
    interval = recorder.close_interval()

    counts = interval.checks[CheckKey("A", "hash", "ramp")]
    assert (counts.passed, counts.failed, counts.skipped) == (1, 1, 1)
    assert [found.detail for found in interval.evidence] == ["saw deadbeef"]


def test_evidence_and_error_texts_are_capped(recorder):
    """A target that fails in a million ways cannot fill the journal; the counts stay whole."""
    for number in range(ERRORS_PER_INTERVAL + 50):
        recorder.check("A", "hash", False, f"number {number}")
        recorder.finish(recorder.begin("A", "GET", "/"), Outcome.FAILED, 1, error=f"error {number}")
    interval = recorder.close_interval()

    assert len(interval.evidence) == EVIDENCE_PER_INTERVAL
    assert len(interval.errors) == ERRORS_PER_INTERVAL + 1
    assert interval.errors[ErrorKey("A", "GET", "/", "other")] == 50
    assert sum(interval.errors.values()) == ERRORS_PER_INTERVAL + 50


@given(st.lists(st.sampled_from(["begin", "ok", "fail", "abandon", "close"]), max_size=200))
def test_the_first_book_always_closes(steps):
    """After any history, started = ok + failed + unfinished + in flight, in totals and summed over intervals."""
    clock = Clock()
    recorder = Recorder((), clock, [("p", 0)])
    tickets, intervals = [], []
    for step in steps:
        clock.now += 100_000
        if step == "begin":
            tickets.append(recorder.begin("A", "GET", "/"))
        elif step == "close":
            intervals.append(recorder.close_interval())
        elif tickets:
            ticket = tickets.pop()
            if step == "abandon":
                recorder.abandon(ticket)
            else:
                recorder.finish(ticket, Outcome.OK if step == "ok" else Outcome.FAILED, 5)
    intervals.append(recorder.close_interval())
    totals = recorder.totals

    assert totals.started == totals.ok + totals.failed + totals.unfinished + recorder.in_flight
    assert sum(interval.started for interval in intervals) == totals.started
    ended = sum(series.histogram.count for interval in intervals for series in interval.series.values())
    assert ended == totals.ok + totals.failed + totals.unfinished


def test_raw_urls_as_names_cannot_fill_the_journal(recorder):
    """Beyond 2,000 endpoints a request is named `other`; none is lost, and a long name is cut."""
    for number in range(2_010):
        recorder.finish(recorder.begin("A", "GET", f"/item/{number}" + "x" * 600), Outcome.OK, 1)
    interval = recorder.close_interval()

    assert len(interval.series) == 2_001
    assert max(len(key.name) for key in interval.series) == 500
    assert sum(series.histogram.count for series in interval.series.values()) == 2_010
