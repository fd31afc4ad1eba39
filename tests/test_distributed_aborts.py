"""Abort rules on the master: judged on what workers have reported so far, and seldom enough."""

import pytest
from measuring import histogram_of, series_of

from distributed import trouble as trouble_module
from distributed.placement import Seat
from distributed.trouble import Trouble
from loadproof.measure.interval import Interval, Outcome, SeriesKey
from loadproof.plan.reader import read_plan

KEYS = {
    outcome: SeriesKey("Reader", "GET", "/policies/:id", outcome, "steady")
    for outcome in (Outcome.OK, Outcome.FAILED)
}
PLAN = """\
name: live
suite: governance
target: http://127.0.0.1:9
load: [{{phase: steady, duration: 1h, users: 4}}]
regions: [{{name: east, workers: 2}}]
rules: [p95 <= 2ms, {{rule: "{rule}", abort: true, delay: {delay}}}]
prometheus: http://127.0.0.1:9
"""
LIMITS_US = (2_000,)
EAST = (Seat("east-01", "east"), Seat("east-02", "east"))


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(trouble_module.time, "monotonic", lambda: now[0])
    return now


def trouble_of(folder, rule, delay="1s"):
    source = folder / "live.yaml"
    source.write_text(PLAN.format(rule=rule, delay=delay))
    return Trouble(read_plan(source, environ={}))


def one_second(second, ok, failed):
    parts = {Outcome.OK: ok, Outcome.FAILED: failed}
    return Interval(
        second,
        second * 1_000_000,
        1_000_000,
        users={"Reader": 2},
        user_us={"Reader": 2_000_000},
        started=ok + failed,
        series={
            KEYS[outcome]: series_of([1_000] * count, LIMITS_US) for outcome, count in parts.items() if count
        },
        pacer_lag=histogram_of([40]),
        stamped=ok + failed,
    )


def fired_after(trouble, clock, tell, seconds=30):
    """The second after which a rule fired; `tell` gives each worker's (ok, failed) of a second, None for no report."""
    for second in range(seconds):
        clock[0] = second + 1.0
        for seat, told in zip(EAST, tell(second), strict=True):
            if told is not None:
                trouble.add(seat, one_second(second, *told))
        if (found := trouble.fired((second + 1) * 1_000_000)) is not None:
            return second + 1, found
    return None, None


def test_a_rule_fires_with_the_evidence_of_all_workers(tmp_path, clock):
    """Two workers of which one fails everything are half of all: over 40 %, not over 60 %."""

    def tell(_second):
        return (10, 0), (0, 10)

    at, found = fired_after(trouble_of(tmp_path, "error_ratio <= 40% for 5s"), clock, tell)

    assert at == 6, "the first window that begins at the delay"
    assert found.rule == "error_ratio <= 40% for 5s"
    assert "errors were 50 of 100" in found.reason
    assert fired_after(trouble_of(tmp_path, "error_ratio <= 60% for 5s"), clock, tell) == (None, None)


def test_nothing_fires_before_its_delay(tmp_path, clock):
    """Ten seconds of nothing but errors, and a delay of twenty."""
    trouble = trouble_of(tmp_path, "error_ratio <= 40%", delay="20s")

    assert fired_after(trouble, clock, lambda _: ((0, 5), (0, 5)))[0] == 20


def test_who_has_not_reported_counts_as_ok(tmp_path, clock):
    """A worker that is cut off has the other half of the load: at best all of it went well."""

    def tell(second):
        return (0, 10), (10, 0) if second < 3 else None

    assert fired_after(trouble_of(tmp_path, "error_ratio <= 60%"), clock, tell)[0] is None
    assert fired_after(trouble_of(tmp_path, "error_ratio <= 40%"), clock, tell)[0] is not None


def test_a_worker_that_is_late_is_waited_for(tmp_path, clock):
    """What one reported two seconds before the other is looked at when both have."""

    def tell(second):
        return (0, 10) if second >= 10 else (10, 0), (10, 0)

    def late(second):
        return tell(second)[0], None

    trouble = trouble_of(tmp_path, "max <= 2ms")
    assert fired_after(trouble, clock, late, 3) == (None, None)
    trouble = trouble_of(tmp_path, "count{outcome=failed} <= 0")
    assert fired_after(trouble, clock, tell)[0] == 11


def test_samples_fire_too(tmp_path, clock):
    """A value of Prometheus above its limit ends the run once workers have reported that far."""
    trouble = trouble_of(tmp_path, "promql(depth) <= 10")
    fired = None
    for second in range(20):
        clock[0] = second + 1.0
        for seat in EAST:
            trouble.add(seat, one_second(second, 5, 0))
        trouble.sample(second * 1_000_000, "promql(depth)", 11.0 if second == 12 else 3.0)
        trouble.sample(second * 1_000_000, "target.rss", 1e9)
        fired = fired or trouble.fired((second + 1) * 1_000_000)

    assert fired is not None
    assert fired.reason == "its highest value is 11, which breaks <= 10"


def test_looks_leave_the_master_its_time(tmp_path, clock, monkeypatch):
    """After a look that took a second there is none for as many seconds as keep looking to 2 % of the time."""
    looks = []

    def look(*_):
        looks.append(clock[0])
        clock[0] += 1
        return []

    monkeypatch.setattr(trouble_module, "broken_aborts", look)
    trouble = trouble_of(tmp_path, "error_ratio <= 40%")
    trouble.add(EAST[0], one_second(0, 1, 0))
    while clock[0] < 500:
        clock[0] += 0.1
        trouble.fired(0)

    assert 2 <= len(looks) <= 500 * 0.02 + 1


def of_fault(folder, rule):
    """One that looks at such a rule in a run with a fault from second 15 to 20."""
    source = folder / "live.yaml"
    fault = "faults: [{kind: command, name: outage, at: 15s, for: 5s, command: 'true', revert: 'true'}]\n"
    source.write_text(PLAN.format(rule=rule, delay="1s") + fault)
    return Trouble(read_plan(source, environ={}))


def broken_until(well_s):
    """What two workers tell of a target that fails all from second 15 on until then, each request in the fault's window."""

    def tell(second):
        return ((0, 10), (0, 10)) if 15 <= second < well_s else ((10, 0), (10, 0))

    return tell


@pytest.fixture
def marked(monkeypatch):
    """Requests that end in the fault's seconds lay in its window."""
    plain = one_second

    def with_fault(second, ok, failed):
        interval = plain(second, ok, failed)
        if 15 <= second < 20:
            interval.series = {
                key._replace(faults=("outage",)): series for key, series in interval.series.items()
            }
        return interval

    monkeypatch.setitem(globals(), "one_second", with_fault)


@pytest.mark.usefixtures("marked")
@pytest.mark.parametrize(
    ("rule", "well_s", "fired_s"),
    [
        ("recovery_time{fault=outage} <= 6s", 25, None),
        ("recovery_time{fault=outage} <= 6s", 40, 27),
        ("recovery_time <= 6s", 40, 27),
        ("recovery_time{fault=outage} <= 6s", 26, None),
        ("functionality{fault=outage} >= 50%", 20, 21),
        ("functionality{fault=outage} <= 50%", 20, None),
        ("error_ratio{fault=outage} <= 50%", 20, 16),
        ("error_ratio{fault=none} <= 10%", 20, None),
        ("error_ratio{fault=none} <= 10%", 40, 22),
        ("detection_time{fault=outage} <= 1s", 20, None),
        ("residue <= 5%", 40, None),
        ("budget_burnt <= 5%", 40, None),
    ],
)
def test_rules_of_a_fault_end_a_run_when_nothing_can_keep_them(tmp_path, clock, rule, well_s, fired_s):
    """A recovery is late when its time has gone, not before, and waited for when it has begun in time."""
    trouble = of_fault(tmp_path, rule)

    assert fired_after(trouble, clock, broken_until(well_s), 45)[0] == fired_s
