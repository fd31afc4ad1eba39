"""What a run looks like right now: the same as all its intervals together say, however often it is looked at."""

import random

import measuring
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from measuring import histogram_of, series_of

from distributed import trouble as trouble_module
from distributed.live import WINDOW, LiveTotals
from distributed.merged_seconds import MergedSeconds
from distributed.placement import Seat
from distributed.trouble import Trouble
from loadproof.errors import JournalError
from loadproof.measure.codec import encode
from loadproof.measure.interval import Interval, Outcome, SeriesKey
from loadproof.measure.merge import add_into
from loadproof.plan.reader import read_plan
from loadproof.verdict.evidence import Evidence
from loadproof.verdict.facts import Epoch, RunFacts, Stop
from loadproof.verdict.grammar import parse_rule
from loadproof.verdict.judge import judge, judge_rules

OK = SeriesKey("Reader", "GET", "/policies/:id", Outcome.OK, "steady")
PLAN = """\
name: live
suite: governance
target: http://127.0.0.1:9
load: [{phase: steady, duration: 1h, users: 4}]
regions: [{name: east, workers: 2}]
rules: [p95 <= 2ms, error_ratio <= 1%, p99 <= 1s for 10s]
"""
LIMITS_US = (2_000, 1_000_000)
SEATS = (Seat("east-01", "east"), Seat("east-02", "east"))


def one_second(second, latencies_us):
    return Interval(
        second,
        second * 1_000_000,
        1_000_000,
        users={"Reader": 2},
        user_us={"Reader": 2_000_000},
        started=len(latencies_us),
        series={OK: series_of(latencies_us, LIMITS_US)},
        pacer_lag=histogram_of([40]),
        stamped=len(latencies_us),
    )


def plan_in(folder):
    source = folder / "live.yaml"
    source.write_text(PLAN)
    return read_plan(source, environ={})


def test_figures_follow_every_report():
    """A look after each report gives what a first look at the same reports gives, late and surplus ones included."""
    rng = random.Random(2)
    reports = [(worker, second) for second in range(2 * WINDOW) for worker in ("a", "b", "c")]
    order = sorted(reports, key=lambda report: report[1] + rng.random() * 3)
    looked, told = LiveTotals(), []
    for worker, second in order:
        interval = one_second(second, [rng.randint(1, 9_000) for _ in range(4)])
        told.append((worker, interval))
        looked.add(worker, interval)
        figures = looked.figures(2)
        fresh = LiveTotals()
        for each in told:
            fresh.add(*each)
        assert figures == fresh.figures(2)
    assert figures.rate_per_s == 12.0


def test_what_is_looked_back_at_does_not_grow():
    """An hour of seconds leaves no more of them in memory than a minute does."""
    live = LiveTotals()
    for second in range(3_600):
        live.add("a", one_second(second, [1_000]))

    assert len(live._seconds) <= 3 * WINDOW + 1
    assert live.requests == 3_600


def test_rules_are_judged_alike_with_and_without_the_books(tmp_path):
    """A look at the rules alone gives the results of the whole judgement, which also asks for the workers' fitness."""
    plan = plan_in(tmp_path)
    evidence = Evidence(plan, LIMITS_US)
    rng = random.Random(3)
    for second in range(60):
        for seat in SEATS:
            evidence.add(
                seat.worker, seat.region, one_second(second, [rng.randint(1, 9_000) for _ in range(40)])
            )
    rules = [parse_rule(rule.text) for rule in plan.rules]
    facts = RunFacts(
        run="live",
        planned=tuple((seat.worker, seat.region) for seat in SEATS),
        epochs=tuple(Epoch(seat.worker, seat.region, 0, 60, complete=True) for seat in SEATS),
        stop=Stop("hand", "", 60_000_000),
    )
    whole = judge(plan, rules, evidence, facts).rules
    for worker in evidence.workers.values():
        worker.seconds.clear()

    assert judge_rules(plan, rules, evidence, facts) == whole
    assert {str(result.verdict) for result in whole} >= {"FAIL", "PASS"}


def test_trouble_is_named_and_keeps_no_worker_seconds(tmp_path, monkeypatch):
    """A broken rule shows once it may be looked at, and an interval from outside the run disturbs nothing."""
    now = [0.0]
    monkeypatch.setattr(trouble_module.time, "monotonic", lambda: now[0])
    trouble = Trouble(plan_in(tmp_path))
    for second in (*range(60), 10**6):
        for seat in SEATS:
            trouble.add(seat, one_second(second, [1_000] * 10 + [9_000] * 10))
    before = trouble.lines()
    now[0] += trouble_module.EVERY_S
    (line,) = trouble.lines()

    assert before == ()
    assert line.startswith("p95 <= 2ms: ")
    assert all(not worker.seconds for worker in trouble._evidence.workers.values())


def test_looks_at_the_rules_leave_the_master_its_time(tmp_path, monkeypatch):
    """After a look that took a second there is none for as many seconds as keep looking to 2 % of the time."""
    now = [0.0]
    looks = []

    def look(_self, _reported_us):
        looks.append(now[0])
        now[0] += 1
        return ()

    monkeypatch.setattr(trouble_module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(Trouble, "_judge", look)
    trouble = Trouble(plan_in(tmp_path))
    trouble.add(SEATS[0], one_second(0, [1_000]))
    while now[0] < 500:
        now[0] += 0.1
        trouble.lines()

    assert 2 <= len(looks) <= 500 * 0.02 + 1


@settings(max_examples=30)
@given(
    told=st.lists(st.tuples(st.sampled_from(SEATS), measuring.intervals(LIMITS_US)), max_size=4),
    cut=st.integers(0, 4),
)
def test_merged_seconds_hold_what_was_told(told, cut):
    """Whenever they are taken, series, errors and lags sum to those of the intervals, which stay as they were."""
    before = [(seat, encode(interval)) for seat, interval in told]
    waiting = MergedSeconds()
    taken = []
    for number, (seat, interval) in enumerate(told):
        waiting.add(seat, interval)
        if number == cut:
            taken += waiting.take()
    taken += waiting.take()
    merged = [each for one in taken for each in one.intervals()]

    assert sums_of(merged) == sums_of(told)
    assert waiting.waiting == 0
    assert [(seat, encode(interval)) for seat, interval in told] == before


def sums_of(told):
    series, errors, lags, others = {}, {}, {}, []
    for seat, interval in told:
        place = (seat.region, interval.second)
        add_into(series, {(*place, *key): one for key, one in interval.series.items()})
        add_into(errors, interval.errors)
        add_into(lags, {(*place, 0): interval.pacer_lag, (*place, 1): interval.receive_lag})
        others.append((seat.worker, interval.second, interval.started, interval.users, interval.checks))
    return series, errors, lags, sorted(others, key=repr)


@pytest.mark.parametrize("rule", ["", "rate{region=west} >= 100/s, ", "p95{region=east} <= 2ms, "])
def test_what_is_judged_does_not_depend_on_merging(tmp_path, rule):
    """Evidence from merged seconds, and regions if no rule asks for one, gives each rule's very result."""
    source = tmp_path / "regions.yaml"
    quoted = f'"{rule[:-2]}", ' if rule else ""
    regions = "[{name: east, workers: 2}, {name: west}]"
    text = PLAN.replace("[{name: east, workers: 2}]", regions).replace("rules: [", f"rules: [{quoted}")
    source.write_text(text)
    plan = read_plan(source, environ={})
    apart, together = Evidence(plan, LIMITS_US), Trouble(plan)
    rng = random.Random(5)
    seats = (*SEATS, Seat("west-01", "west"))
    for second in range(90):
        for seat in seats:
            interval = one_second(second, [rng.randint(1, 9_000) for _ in range(9)])
            apart.add(seat.worker, seat.region, interval)
            together.add(seat, interval)
    together._judge(90_000_000)
    rules = [parse_rule(rule.text) for rule in plan.rules]
    facts = together._facts(90_000_000)

    assert judge_rules(plan, rules, together._evidence, facts) == judge_rules(plan, rules, apart, facts)
    assert len(together._evidence.flow) == (2 if rule else 1)


def test_series_that_no_rule_tells_apart_are_one(tmp_path):
    """A rule that names an endpoint sees that endpoint; of all others the memory holds one row a second."""
    source = tmp_path / "named.yaml"
    source.write_text(PLAN.replace("rules: [", 'rules: ["p95{name=/7} <= 2ms", '))
    trouble = Trouble(read_plan(source, environ={}))
    for second in range(60):
        interval = one_second(second, [1_000] * 10)
        (key,) = interval.series
        for number in range(50):
            slow = 9_000 if number == 7 else 1_000
            interval.series[key._replace(name=f"/{number}")] = series_of([slow] * 10, LIMITS_US)
        trouble.add(SEATS[0], interval)
    lines = trouble._judge(60_000_000)

    assert len(trouble._evidence.totals) == 2
    assert [line for line in lines if line.startswith("p95{name=/7} <= 2ms: ")]
    assert not [line for line in lines if line.startswith("p95 <= 2ms: ")]


def test_what_lies_outside_the_run_takes_nothing_with_it(tmp_path):
    """A worker whose second ends in a hundred years does not hide what the others saw in it."""
    trouble = Trouble(plan_in(tmp_path))
    odd = one_second(0, [1_000])
    odd.length_us = 10**15
    trouble.add(SEATS[0], odd)
    trouble.add(SEATS[1], one_second(0, [9_000] * 10))
    trouble._judge(1_000_000)

    assert sum(tally.histogram.count for tally in trouble._evidence.totals.values()) == 11
    assert trouble._evidence.outside == {SEATS[0].worker: 1}


def test_an_interval_with_other_limits_is_refused_whole(tmp_path):
    """It is named, and nothing of it is added up."""
    trouble = Trouble(plan_in(tmp_path))
    odd = one_second(0, [1_000])
    odd.series[OK].over.append(0)
    with pytest.raises(JournalError, match="does not count against 2 limits"):
        trouble.add(SEATS[0], odd)

    assert trouble._merged.take() == []
