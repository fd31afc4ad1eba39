"""What is folded from journals equals what plain sums and numpy say of the raw requests."""

from collections import Counter
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_runs import RUN_REGIONS, make_interval, make_requests, make_run, run_plan
from msgspec import msgpack
from reporting import passing

from analyzer.chart import WIDE
from analyzer.charts import users
from analyzer.fold import Fold
from analyzer.folder import open_run
from analyzer.heat import COLUMNS, HeatFold, bucket_from_us, bucket_of
from analyzer.model import ArrivalTotals
from analyzer.quantiles import latency, quantiles
from analyzer.report import read_run
from analyzer.seconds import Source
from analyzer.tables import Tables
from loadproof.measure.codec import INTERVAL
from loadproof.measure.histogram import Histogram
from loadproof.measure.interval import ArrivalKey, Arrivals, DurationKey, Interval, Outcome, Timed
from loadproof.measure.journal import read_records
from loadproof.measure.record import MAGIC, frame
from loadproof.verdict.case import Case
from loadproof.verdict.facts import RunFacts
from loadproof.verdict.selection import Selection

STEADY = frozenset({"steady"})


@pytest.fixture(scope="module")
def requests():
    return make_requests(fail_from=25)


@pytest.fixture(scope="module")
def folded(tmp_path_factory, requests):
    folder = open_run(make_run(tmp_path_factory.mktemp("runs") / "run", requests))
    fold = Fold(folder.plan, folder.limits_us)
    fold.read(folder.sources())
    return fold, Tables(Case(folder.plan, fold.evidence, folder.facts()))


def oracle(samples, q):
    return int(np.quantile(np.array(samples), q, method="inverted_cdf"))


def assert_close(shown_us, exact_us):
    """A shown quantile is its bucket's highest value: never below the exact one, under 0.1 % above."""
    assert exact_us <= shown_us <= exact_us * (1 + 1 / 1024)


@given(st.lists(st.integers(0, 10**8), min_size=1, max_size=200))
def test_quantiles_in_one_pass_are_the_histograms_own(samples):
    """Asking for several quantiles at once gives what the histogram gives one by one."""
    histogram = Histogram()
    for us in samples:
        histogram.record(us)
    asked = [Fraction(0), Fraction(1, 2), Fraction(95, 100), Fraction(999, 1000), Fraction(1)]

    assert list(quantiles(histogram, *asked)) == [histogram.quantile(q) for q in asked]


def test_an_empty_histogram_has_no_latency():
    """Nothing measured is None, never 0."""
    assert latency(Histogram()) is None


def test_totals_are_those_of_the_raw_requests(folded, requests):
    """Counts and ratios equal plain sums, quantiles equal numpy's within a bucket."""
    totals = folded[1].totals(Selection(STEADY))
    steady = [one for one in requests if one.phase == "steady"]
    ok = [one.us for one in steady if one.outcome is Outcome.OK]

    assert (totals.requests, totals.ok, totals.failures) == (len(steady), len(ok), len(steady) - len(ok))
    assert totals.rate_per_s == len(ok) / 30
    assert totals.error_ratio == (len(steady) - len(ok)) / len(steady)
    assert totals.latency.mean_us == pytest.approx(np.mean(ok))
    assert totals.latency.max_us == max(ok)
    for name, q in (("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99), ("p99_9", 0.999)):
        assert_close(getattr(totals.latency, f"{name}_us"), oracle(ok, q))


def test_the_peak_rate_is_the_best_ten_seconds(folded, requests):
    """The peak is the highest sum of ok requests over ten seconds inside the phase."""
    ok = Counter(one.second for one in requests if one.outcome is Outcome.OK)
    best = max(sum(ok[second] for second in range(first, first + 10)) for first in range(10, 31))

    assert folded[1].totals(Selection(STEADY)).peak_rate_per_s == best / 10


def test_groups_add_up_to_the_totals(folded, requests):
    """Each table by scenario, region and endpoint holds every judged request exactly once."""
    tables = folded[1]
    for groups in (tables.by_scenario(STEADY), tables.by_region(STEADY), tables.by_name(STEADY)):
        assert len(groups) == 2
        assert sum(group.totals.requests for group in groups) == tables.totals(Selection(STEADY)).requests
    assert {group.name: group.totals.requests for group in tables.by_name(STEADY)} == Counter(
        f"{one.method} {one.name}" for one in requests if one.phase == "steady"
    )
    assert {group.name: group.totals.requests for group in tables.by_phase()} == Counter(
        one.phase for one in requests
    )


def test_every_series_is_a_row(folded, requests):
    """Rows of the whole run are the distinct series, with exact counts and numpy's quantiles."""
    raw = {}
    for one in requests:
        raw.setdefault((one.region, one.scenario, one.method, one.name, one.outcome, one.phase), []).append(
            one.us
        )
    rows = folded[1].series()

    assert [(r.region, r.scenario, r.method, r.name, r.outcome, r.phase) for r in rows] == sorted(raw)
    for row, key in zip(rows, sorted(raw), strict=True):
        assert row.requests == len(raw[key])
        assert_close(row.latency.p95_us, oracle(raw[key], 0.95))


def test_every_second_is_in_the_timeline(folded, requests):
    """Each second has its own counts and quantiles over both workers, and the plan's users."""
    timeline = folded[0].timeline

    assert [row.second for row in timeline] == list(range(41))
    for row in timeline[:40]:
        ok = [one.us for one in requests if one.second == row.second and one.outcome is Outcome.OK]
        assert row.ok == len(ok)
        assert row.failed == sum(one.second == row.second for one in requests) - len(ok)
        assert_close(row.p99_us, oracle(ok, 0.99))
        assert row.users == pytest.approx(row.users_planned, abs=1e-5)
    assert (timeline[40].ok, timeline[40].p50_us, timeline[40].users_planned) == (0, None, 0)


def test_metrics_rows_are_the_seconds_of_each_series(folded, requests):
    """metrics.csv has a row for each second and series with requests, and its counts add up."""
    rows = list(folded[0].rows.finish())
    raw = Counter(
        (o.second, o.region, o.scenario, o.method, o.name, o.outcome.value, o.phase) for o in requests
    )
    found = {(r.second, r.region, r.scenario, r.method, r.name, r.outcome, r.phase): r.requests for r in rows}

    assert found == raw
    assert len(rows) == len(found)
    assert list(found) == sorted(found)


def test_checks_and_errors_are_counted_over_the_whole_run(folded, requests):
    """Checks and errors include the warm-up, the most frequent error first."""
    failed = Counter(one.name for one in requests if one.outcome is Outcome.FAILED)
    check = folded[1].checks()[0]

    assert (check.passed, check.skipped) == (len(requests) - failed.total(), failed.total())
    errors = folded[1].errors(folded[0].error_seconds)
    assert [(error.name, error.count) for error in errors] == failed.most_common()
    for error in errors:
        seconds = [o.second for o in requests if o.outcome is Outcome.FAILED and o.name == error.name]
        assert (error.first_s, error.last_s) == (min(seconds), max(seconds))


@given(st.integers(0, 10**9))
def test_a_heat_maps_bucket_holds_its_value(us):
    """Each latency lies in the bucket that says so, a quarter of an octave wide; below 4 µs is the lowest."""
    bucket = bucket_of(us)
    low, high = bucket_from_us(bucket), bucket_from_us(bucket + 1)

    assert low <= max(us, 4) < high
    assert high <= low * 1.25


def test_the_latency_map_has_every_ok_request_once(folded, requests):
    """Columns of the heat map are seconds here, and each counts the second's own ok latencies."""
    latency_map = folded[0].heat.finish()

    assert latency_map.step == 1
    for second, buckets in latency_map.columns:
        own = [o.us for o in requests if o.second == second and o.outcome is Outcome.OK]
        # A histogram keeps values above 2 ms to 0.1 %, so one next to an edge may be counted beyond it.
        assert sum(count for _, count in buckets) == len(own)
        assert [bucket for bucket, _ in buckets] == sorted({bucket for bucket, _ in buckets})
        assert dict(buckets)[bucket_of(max(own))] > 0


def test_a_long_run_has_a_heat_map_of_bounded_width():
    """Whatever the length, the planned seconds share at most `COLUMNS` columns."""
    for seconds in (1, COLUMNS, COLUMNS + 1, 100_000):
        heat = HeatFold(seconds)
        for second in {0, seconds // 2, seconds - 1}:
            one = Histogram()
            one.record(1_000)
            heat.add(second, one)
        numbers = [number for number, _ in heat.finish().columns]
        assert max(numbers) < COLUMNS
        assert max(numbers) == (seconds - 1) // heat.step


def read(intervals_by_worker):
    fold = Fold(run_plan(), ())
    fold.read([Source(worker, "r", iter(intervals)) for worker, intervals in intervals_by_worker.items()])
    return fold


def test_a_second_that_no_journal_tells_of_is_absent():
    """A gap in all journals is a row without users, never a row of zeros that someone measured."""
    fold = read({"a": [make_interval(second, [], 1.0, ()) for second in (0, 1, 5)]})

    assert [row.second for row in fold.timeline] == [0, 1, 2, 3, 4, 5]
    assert [row.users is None for row in fold.timeline] == [False, False, True, True, True, False]


@given(
    st.lists(
        st.lists(st.tuples(*[st.lists(st.integers(0, 10**7), max_size=30)] * 3), min_size=2, max_size=2),
        min_size=1,
        max_size=4,
    )
)
def test_the_lags_of_a_second_are_those_of_all_workers_together(seconds):
    """Each second's P99 is numpy's over the samples of every worker; without a sample it is None, not 0."""
    names = ("pacer_lag", "receive_lag", "user_wait")
    intervals = {"a": [], "b": []}
    for second, workers in enumerate(seconds):
        for (worker, own), lags in zip(intervals.items(), workers, strict=True):
            own.append(Interval(second=second, start_us=second * 1_000_000, length_us=1_000_000))
            for name, samples in zip(names, lags, strict=True):
                for us in samples:
                    getattr(intervals[worker][-1], name).record(us)

    for row, workers in zip(read(intervals).timeline, seconds, strict=True):
        for column, name in enumerate(names):
            found, samples = getattr(row, f"{name}_p99_us"), [us for lags in workers for us in lags[column]]
            assert (found is None) == (not samples)
            if samples:
                assert_close(found, oracle(samples, 0.99))


def test_a_second_that_no_journal_tells_of_has_no_lag():
    """Where every journal has a gap, lags are absent too."""
    rows = read({"a": [make_interval(second, [], 1.0, ()) for second in (0, 2)]}).timeline

    assert [row.pacer_lag_p99_us for row in rows] == [119, None, 119]
    assert [row.receive_lag_p99_us for row in rows] == [69, None, 69]


def test_no_journal_gives_an_empty_timeline():
    """Without any interval there is nothing to show, and nothing breaks."""
    assert read({}).timeline == []
    assert read({"a": []}).timeline == []


def test_journals_are_read_one_second_at_a_time():
    """While a second is folded, no journal was read further than one interval ahead."""
    asked = dict.fromkeys(RUN_REGIONS, 0)
    ahead = []

    def intervals(region):
        for second in range(50):
            asked[region] = second
            ahead.append(max(asked.values()) - min(asked.values()))
            yield Interval(second=second, start_us=second * 1_000_000, length_us=1_000_000)

    read({region: intervals(region) for region in RUN_REGIONS})

    assert max(ahead) <= 1


def test_an_endpoint_named_with_and_without_its_method_hides_nothing():
    """`GET /x` and `/x` under GET read alike; as two names both keep their requests."""
    requests = [
        replace(one, name=name) for one, name in zip(make_requests()[-2:], ("/x", "POST /x"), strict=True)
    ]
    requests = [replace(one, method="POST") for one in requests]
    fold = read({"a": [make_interval(39, requests, 1.0, ())]})
    groups = Tables(Case(run_plan(), fold.evidence, RunFacts("r", (), ()))).by_name(STEADY)

    assert {group.name: group.totals.requests for group in groups} == {"POST /x": 1, "POST POST /x": 1}


def test_a_last_second_that_is_a_sliver_is_not_drawn():
    """The end of the last interval a few milliseconds into a second is no collapse of the load."""
    sliver = replace(make_interval(2, [], 1.0, ()), length_us=18_000)
    fold = read({"a": [make_interval(0, [], 1.0, ()), make_interval(1, [], 1.0, ()), sliver]})
    report = replace(passing(), timeline=tuple(fold.timeline))
    line = next(layer for layer in users(report, WIDE)["layer"] if layer["mark"]["type"] == "line")

    assert len(fold.timeline) == 3
    assert {value["t"] for value in line["data"]["values"]} == {0.5, 1.5}


def test_arrivals_waits_and_durations_add_up_over_workers_scenarios_and_phases():
    """What the tables show of them is of the whole run: by kind and name alone, whoever was timed."""

    def intervals(base):
        for second in range(2):
            interval = Interval(second=second, start_us=second * 1_000_000, length_us=1_000_000)
            for scenario in "AB":
                interval.arrivals[ArrivalKey(scenario, f"phase {second}")] = Arrivals(base, 2, 3)
                connects = interval.durations[DurationKey(scenario, Timed.CONNECT, "host:1", "ramp")] = (
                    Histogram()
                )
                connects.record(base + second)
            interval.user_wait.record(base)
            yield interval

    fold = Fold(run_plan(), ())
    fold.read([Source("a", "r", intervals(100)), Source("b", "r", intervals(200))])
    connects = fold.durations[Timed.CONNECT, "host:1"]

    arrivals = Tables(Case(run_plan(), fold.evidence, RunFacts("run", (), ()))).arrivals()
    assert arrivals == ArrivalTotals(4 * 100 + 4 * 200, 8 * 2, 8 * 3)
    assert arrivals.dropped == 8 * 5
    assert (list(fold.durations), connects.count, connects.min, connects.max) == (
        [(Timed.CONNECT, "host:1")],
        8,
        100,
        201,
    )
    assert [health.user_wait.total for health in fold.health.values()] == [200, 400]


def folds_of(path):
    """The folder read one by one, and in bulk."""
    folds = []
    for how in (Fold.read, Fold.read_in_bulk):
        folder = open_run(path)
        fold = Fold(folder.plan, folder.limits_us)
        how(fold, folder.sources())
        folds.append((folder.facts(), fold))
    return folds


def test_reading_in_bulk_is_reading_one_by_one(tmp_path, requests):
    """Evidence, timeline, rows, heat map and workers are the same, whichever way the journals are read."""
    (facts, one), (bulk_facts, bulk) = folds_of(make_run(tmp_path / "run", requests))

    assert bulk_facts == facts
    assert bulk.timeline == one.timeline
    assert list(bulk.rows.finish()) == list(one.rows.finish())
    assert bulk.heat.finish() == one.heat.finish()
    assert bulk.health == one.health
    assert bulk.durations == one.durations
    assert bulk.error_seconds == one.error_seconds
    for name in ("totals", "checks", "workers", "lags", "user_us", "flow", "exchanges", "errors"):
        assert getattr(bulk.evidence, name) == getattr(one.evidence, name), name
    for key, seconds in one.evidence.seconds.items():
        assert list(bulk.evidence.seconds[key].items()) == list(seconds.items())


def test_a_histogram_that_contradicts_itself_ends_its_journal(tmp_path, requests):
    """A record with a sound checksum and an impossible histogram: the report has all before it, and says where."""
    run = make_run(tmp_path / "run", requests)
    path = run / "journals" / f"{RUN_REGIONS[0]}-01-1.journal"
    records = list(read_records(path))
    fields = msgpack.decode(records[20][9:])
    histogram = bytearray(fields[10][0][5])
    histogram[-1] += 1
    fields[10][0][5] = bytes(histogram)
    records[20] = frame(INTERVAL + msgpack.encode(fields))
    path.write_bytes(MAGIC + b"".join(records))
    folder, fold = read_run(run)
    epochs = {epoch.worker: epoch for epoch in folder.facts().epochs}
    damaged = epochs[f"{RUN_REGIONS[0]}-01"]

    assert (damaged.intervals, damaged.complete) == (19, False)
    assert "in record 20: a histogram counted" in damaged.damage
    assert epochs[f"{RUN_REGIONS[1]}-01"].complete
    read = [one for one in requests if one.second < 19 or one.region != RUN_REGIONS[0]]
    assert sum(tally.histogram.count for tally in fold.evidence.totals.values()) == len(read)
