"""The exporter of a run: what it adds up, what it bounds, and how it answers."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from dataclasses import replace

import numpy
import pytest
from exporting import PLANNED, UP, exporter_of, look, samples, scrape, total, value
from hypothesis import given, settings
from hypothesis import strategies as st
from judging import run_of
from locust.stats import RequestStats
from measuring import LIMITS_US, histogram_of, intervals, series_of, small_interval
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families

from distributed import locust_statistics
from loadproof.measure.interval import ErrorKey, Interval, Outcome, SeriesKey
from loadproof.verdict.result import RuleVerdict
from monitoring.application import Application
from monitoring.labels import MOST, OTHER
from monitoring.look import RunState
from monitoring.metrics import BY_NAME, TABLE, Kind
from monitoring.verdict_so_far import WORST_FIRST, verdict_so_far

OPENMETRICS = "application/openmetrics-text;version=1.0.0"
EACH = [(worker, second) for worker in PLANNED for second in range(30)]
SMALL = [(worker, small_interval(second)) for worker, second in EACH]
workers = st.sampled_from(sorted(PLANNED))


def described(sample):
    """The name in the table that a sample's belongs to."""
    for suffix in ("_bucket", "_count", "_sum"):
        stem = sample.removesuffix(suffix)
        if stem in BY_NAME and BY_NAME[stem].kind is Kind.HISTOGRAM:
            return BY_NAME[stem]
    return BY_NAME[sample]


def grows(name):
    """Whether a sample of this name may only grow."""
    return described(name).kind in {Kind.COUNTER, Kind.HISTOGRAM}


@given(st.lists(st.tuples(workers, intervals(LIMITS_US)), max_size=4))
@settings(max_examples=12, deadline=None)
def test_everything_stands_in_the_table(seconds):
    """Whatever workers send: every sample has the name and the labels of the table, and both parsers read it."""
    exporter = exporter_of(*seconds)
    text = scrape(Application(exporter), OPENMETRICS)[2].decode()
    read = {
        (sample.name, frozenset(sample.labels.items()))
        for family in openmetrics_families(text)
        for sample in family.samples
    }

    assert read == set(samples(exporter))
    for name, labels in read:
        assert {label for label, _ in labels} - {"le"} == set(described(name).labels), name


@given(st.lists(st.tuples(workers, intervals(LIMITS_US)), min_size=1, max_size=4), st.randoms())
@settings(max_examples=12, deadline=None)
def test_counters_are_sums(seconds, random):
    """What only grows is the sum over the intervals, in whatever order they come, and no interval is changed."""
    before = [repr(interval) for _, interval in seconds]
    shuffled = list(seconds)
    random.shuffle(shuffled)
    found, other = samples(exporter_of(*seconds)), samples(exporter_of(*shuffled))
    less = samples(exporter_of(*seconds[:-1]))

    assert [repr(interval) for _, interval in seconds] == before
    assert total(found, "loadproof_requests_started_total") == sum(one.started for _, one in seconds)
    assert total(found, "loadproof_intervals_total") == len(seconds)
    for outcome in Outcome:
        assert total(found, "loadproof_request_duration_seconds_count", outcome=outcome.value) == sum(
            series.histogram.count
            for _, interval in seconds
            for key, series in interval.series.items()
            if key.outcome is outcome
        )
    for key, number in found.items():
        if grows(key[0]):
            assert number == pytest.approx(other[key])
            assert number >= less.get(key, 0) or number == pytest.approx(less[key])


def test_it_says_what_happened():
    """Requests, checks, users, lag and CPU of thirty known seconds of three workers."""
    found = samples(exporter_of(*SMALL))
    latency = {"scenario": "Reader", "method": "GET", "name": "/policies/:id", "outcome": "ok"}
    eu = {"region": "eu-west-1"}
    checks = {**eu, "scenario": "Reader", "check": "compliance"}

    assert value(found, "loadproof_request_duration_seconds_count", **eu, **latency) == 180
    assert value(found, "loadproof_request_duration_seconds_bucket", **eu, **latency, le="0.001") == 60
    assert value(found, "loadproof_request_duration_seconds_bucket", **eu, **latency, le="2.0") == 120
    assert value(found, "loadproof_request_duration_seconds_sum", **eu, **latency) == pytest.approx(
        60 * 2.5024
    )
    assert total(found, "loadproof_request_duration_seconds_count", outcome="timeout") == 90
    assert value(found, "loadproof_checks_total", **checks, result="passed") == 2 * sum(range(30))
    assert value(found, "loadproof_checks_total", **checks, result="failed") == 60
    assert value(found, "loadproof_users", **eu, scenario="Reader") == 6
    assert value(found, "loadproof_users_planned") == 9
    assert value(found, "loadproof_pacer_lag_seconds_count", **eu) == 180
    assert value(found, "loadproof_pacer_lag_seconds_bucket", **eu, le="0.0001") == 120
    assert value(found, "loadproof_receive_lag_seconds_count", **eu) is None
    assert value(found, "loadproof_worker_pacer_lag_p99_seconds", **eu, worker="eu-west-1-01") == 0.0003
    assert value(found, "loadproof_worker_cpu_ratio", **eu, worker="eu-west-1-01") == 0.12
    assert value(found, "loadproof_worker_cpu_seconds_total", **eu, worker="eu-west-1-01") == pytest.approx(
        3.6
    )
    assert value(found, "loadproof_phase", phase="steady") == 1
    assert value(found, "loadproof_phase", phase="ramp") == 0


def test_faults_and_guards_are_told_of():
    """Each of the plan's from the start, with 1 for a fault that is on and for a level that was reached."""
    seen = look(faults={"far"}, guards={("target.memory", "warn"), ("generator.memory", "blind")})
    found = samples(exporter_of(seen=seen))
    levels = {
        (guard, level): value(found, "loadproof_guard", guard=guard, level=level)
        for guard in ("generator.memory", "target.memory")
        for level in ("warn", "stop")
    }

    assert value(found, "loadproof_fault", fault="frozen", kind="pause") == 0
    assert value(found, "loadproof_fault", fault="far", kind="latency") == 1
    assert [level for level, reached in levels.items() if reached] == [("target.memory", "warn")]
    assert value(found, "loadproof_guard", guard="duration", level="stop") == 0
    assert value(found, "loadproof_run_state", state="running") == 1
    assert value(found, "loadproof_generator_lag_limit_seconds") == 0.005
    assert value(
        found,
        "loadproof_run_info",
        run="judged-1",
        plan="judged",
        suite="governance",
        target="embedded",
        version="0.1.0",
    )


def test_a_worker_that_is_away_has_no_users():
    """Its load is with others: it is not up, and counts neither among users nor in flight; its counters stay."""
    away = {worker: state for worker, state in UP.items() if worker != "us-east-1-01"}
    memory = dict.fromkeys(PLANNED, 70_000_000)
    found = samples(exporter_of(*SMALL, seen=look(at_s=50, up=away, memory=memory)))
    labels = {"region": "us-east-1", "worker": "us-east-1-01"}

    assert value(found, "loadproof_worker_up", **labels) == 0
    assert total(found, "loadproof_users", region="us-east-1") == 0
    assert total(found, "loadproof_users") == 6
    assert value(found, "loadproof_worker_silence_seconds", **labels) == 20
    assert value(found, "loadproof_worker_memory_bytes", **labels) is None
    assert total(found, "loadproof_worker_memory_bytes") == 140_000_000
    assert value(found, "loadproof_intervals_total", **labels) == 30
    assert value(found, "loadproof_workers_planned", region="us-east-1") == 1
    assert value(found, "locust_workers_missing_count") == 1
    assert value(found, "locust_worker_detail", id="us-east-1-01", state="missing") == 0


@given(st.lists(st.integers(0, 40), min_size=1, max_size=40, unique=True))
@settings(max_examples=30, deadline=None)
def test_missing_seconds_are_counted_until_they_come(order):
    """Between the newest second and the first that a worker reported, those that have not come."""
    found = samples(exporter_of(*(("us-east-1-01", Interval(at, at * 1_000_000, 1_000_000)) for at in order)))
    missing = set(range(order[0], max(order))) - set(order)

    assert value(found, "loadproof_intervals_missing", region="us-east-1", worker="us-east-1-01") == len(
        missing
    )


def test_late_seconds_do_not_bring_the_past_back():
    """A second that comes late adds to the counters, and says nothing of the moment."""
    late = replace(small_interval(3), users={"Reader": 99}, in_flight=7)
    found = samples(exporter_of(("us-east-1-01", small_interval(9)), ("us-east-1-01", late)))

    assert total(found, "loadproof_users") == 3
    assert total(found, "loadproof_requests_in_flight") == 0
    assert total(found, "loadproof_requests_started_total") == 8


def test_labels_are_bounded():
    """Names beyond the bound are counted as other, none is lost, and a counter says how often."""
    many = MOST["endpoint"] + 40
    interval = Interval(0, 0, 1_000_000)
    for number in range(many):
        interval.series[SeriesKey("Reader", "GET", f"/{number}", Outcome.OK, "steady")] = series_of([1_000])
    for number in range(MOST["error"] + 5):
        interval.errors[ErrorKey("Reader", "GET", "/", f"error {number}")] = 1
    found = samples(exporter_of(("us-east-1-01", interval)))
    names = {dict(labels)["name"] for name, labels in found if name == "locust_requests_num_requests"}

    assert len(names) == MOST["endpoint"] + 1
    assert total(found, "loadproof_request_duration_seconds_count") == many
    assert total(found, "loadproof_request_duration_seconds_count", name=OTHER, method=OTHER) == 40
    assert value(found, "locust_requests_num_requests", method=OTHER, name=OTHER) == 40
    assert value(found, "loadproof_label_overflow_total", label="endpoint") == 80
    assert value(found, "locust_errors", method=OTHER, name=OTHER, error=OTHER) == 5


def test_an_interval_that_does_not_fit_is_not_added():
    """One that counts against other limits, or of a worker that was not planned, changes nothing."""
    exporter = exporter_of(*SMALL)
    before = samples(exporter)
    key = SeriesKey("Reader", "GET", "/", Outcome.OK, "steady")
    with pytest.raises(ValueError, match="second 31 does not count against 3 limits"):
        exporter.add("us-east-1-01", Interval(31, 0, 1, series={key: series_of([5], (1_000,))}))
    with pytest.raises(KeyError):
        exporter.add("us-east-1-99", small_interval(31))

    assert samples(exporter) == before


def test_locusts_numbers_are_locusts():
    """By endpoint the same as Locust's own statistics say, and the whole when they are added up."""
    statistics = RequestStats()
    # Of an even number of values Locust's median is the upper one of the middle, ours the lower: here both are one.
    seconds = [(worker, small_interval(at, (900, 1_500, 1_600, 2_500_000))) for worker, at in EACH]
    for _, interval in seconds:
        locust_statistics.fold(statistics, interval)
    found = samples(exporter_of(*seconds, seen=look(at_s=30)))
    entry = statistics.get("/policies/:id", "GET")
    of = {"method": "GET", "name": "/policies/:id"}
    figures = {
        "num_requests": entry.num_requests,
        "num_failures": entry.num_failures,
        "avg_response_time": entry.avg_response_time,
        "min_response_time": entry.min_response_time,
        "max_response_time": entry.max_response_time,
        "median_response_time": entry.median_response_time,
        "avg_content_length": entry.avg_content_length,
    }

    for figure, expected in figures.items():
        assert value(found, f"locust_requests_{figure}", **of) == pytest.approx(expected), figure
        assert total(found, f"locust_requests_{figure}") == pytest.approx(expected), figure
    # Three workers with five requests a second each, one of which failed.
    assert total(found, "locust_requests_current_rps") == 15
    assert total(found, "locust_requests_current_fail_per_sec") == 3
    assert value(found, "locust_requests_fail_ratio") == statistics.total.fail_ratio == 0.2
    assert value(found, "locust_users") == 9
    assert value(found, "locust_running") == 1
    assert value(found, "locust_workers_running_count") == value(found, "locust_workers_count") == 3


@given(st.lists(st.integers(1_000, 9_000_000), min_size=1, max_size=60))
@settings(max_examples=30, deadline=None)
def test_current_percentiles_are_right(latencies):
    """P50 and P95 of the last seconds as numpy finds them, to Locust's two digits."""
    key = SeriesKey("Reader", "GET", "/", Outcome.OK, "steady")
    interval = Interval(5, 5_000_000, 1_000_000, series={key: series_of(latencies)})
    found = samples(exporter_of(("us-east-1-01", interval), seen=look(at_s=8)))

    for percent in (50, 95):
        exact = numpy.quantile(latencies, percent / 100, method="inverted_cdf") / 1_000
        name = f"locust_requests_current_response_time_percentile_{percent}"
        assert value(found, name) == pytest.approx(exact, rel=0.052, abs=0.51)


def test_current_figures_end_with_the_load():
    """When nothing has come for long, current rates are 0, and there is no percentile."""
    found = samples(exporter_of(*SMALL, seen=look(at_s=90, state=RunState.ENDED)))

    assert total(found, "locust_requests_current_rps") == 0
    assert value(found, "locust_requests_current_response_time_percentile_95") is None
    assert value(found, "locust_running") == 0
    assert value(found, "loadproof_run_state", state="ended") == 1


def test_rules_are_told_in_base_units():
    """Value, limit, goal, margin and state of each rule, as the judge has them."""
    run = run_of(
        "p95 <= 100ms, goal < 40ms",
        "check(compliance) >= 95%, goal 96%..100%",
        "error_ratio{phase=steady} <= 1%",
        latencies=(50_000,) * 20,
    ).check(passed=99, failed=1)
    rules = run.judge().rules
    found = samples(exporter_of(seen=look(rules=rules)))
    p95 = next(one.rule for one in rules if one.statistic == "p95")
    check = next(one.rule for one in rules if one.statistic.startswith("check"))

    assert value(found, "loadproof_rule_value", rule=p95) == pytest.approx(0.05, rel=0.001)
    assert value(found, "loadproof_rule_limit", rule=p95) == pytest.approx(0.1)
    assert value(found, "loadproof_rule_goal", rule=p95, end="most") == pytest.approx(0.04)
    assert value(found, "loadproof_rule_goal_met", rule=p95) == 0
    assert value(found, "loadproof_rule_margin_ratio", rule=p95) == pytest.approx(0.5, rel=0.01)
    assert value(found, "loadproof_rule_state", rule=p95, state="WARN") == 1
    assert value(found, "loadproof_rule_state", rule=p95, state="PASS") == 0
    assert value(found, "loadproof_rule_value", rule=check) == 0.99
    assert value(found, "loadproof_rule_goal", rule=check, end="least") == 0.96
    assert value(found, "loadproof_rule_goal_met", rule=check) == 1
    assert value(
        found,
        "loadproof_rule_info",
        rule=check,
        statistic="check",
        argument="compliance",
        selector="",
        operator=">=",
        unit="ratio",
    )
    counted = Counter(name for name, _ in found if name.startswith("loadproof_rule_state"))
    assert counted["loadproof_rule_state"] == 4 * len(rules)


rule_verdicts = st.sampled_from(RuleVerdict)


@given(st.lists(st.tuples(rule_verdicts, st.booleans()), max_size=4), st.integers(0, 3), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_the_verdict_so_far_is_the_worst_that_is_known(rules, torn, tolerated):
    """A broken rule before a journal that has no end, that before a rule without data, unless that is optional."""
    [given_rule] = run_of("error_ratio <= 1%").judge().rules[:1]
    results = tuple(replace(given_rule, verdict=verdict, optional=optional) for verdict, optional in rules)
    told = verdict_so_far(results, torn, tolerated)
    required = {verdict for verdict, optional in rules if not optional}
    said = {verdict for verdict, _ in rules}
    if RuleVerdict.FAIL in said:
        expected = "FAIL"
    elif torn > tolerated:
        expected = "INVALID"
    elif RuleVerdict.NO_DATA in required:
        expected = "NO_DATA"
    elif torn or RuleVerdict.WARN in said:
        expected = "WARN"
    else:
        expected = "PASS" if RuleVerdict.PASS in said else None

    assert told == expected


def test_one_verdict_is_told_at_a_time():
    """1 for it and 0 for the others; nothing before the rules were looked at."""
    rules = run_of("error_ratio <= 1%").judge().rules
    found = samples(exporter_of(seen=look(rules=rules, torn=1)))

    assert {
        dict(labels)["verdict"]: number for (name, labels), number in found.items() if "so_far" in name
    } == {verdict: float(verdict == "INVALID") for verdict in WORST_FIRST}
    assert not any("so_far" in name for name, _ in samples(exporter_of()))


def test_rules_that_read_the_same_are_one_series():
    """Prometheus refuses a scrape that says one series twice; the worse of the two is shown."""
    rule = run_of("error_ratio <= 1%").judge().rules[0]
    failed = replace(rule, verdict=type(rule.verdict).FAIL, abort=True)
    found = samples(exporter_of(seen=look(rules=(rule, failed))))
    text = scrape(Application(exporter_of(seen=look(rules=(failed, rule)))))[2].decode()

    assert value(found, "loadproof_rule_state", rule=rule.rule, state="FAIL") == 1
    assert text.count('loadproof_rule_state{rule="error_ratio <= 1%",state="FAIL"} 1.0') == 1


def test_promtool_finds_only_locusts_names_odd():
    """`promtool check metrics` has nothing to say of ours; what it says of Locust's names is their history."""
    body = scrape(Application(exporter_of(*SMALL, seen=look(rules=run_of("p95 <= 1s").judge().rules))))[2]
    done = subprocess.run(["promtool", "check", "metrics"], input=body, capture_output=True, check=False)
    said = done.stderr.decode().splitlines()

    assert {line.split()[0] for line in said} == {
        "locust_requests_current_fail_per_sec",
        "locust_workers_count",
        "locust_workers_running_count",
        "locust_workers_hatching_count",
        "locust_workers_missing_count",
    }


def test_names_are_in_base_units():
    """Counters end in `_total`, and only they; every duration of ours is in seconds."""
    for metric in TABLE:
        assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
        assert metric.name.endswith("_info") == (metric.kind is Kind.INFO)
        assert not metric.name.endswith(("_ms", "_us", "_milliseconds", "_microseconds"))
        assert metric.help.endswith(".")


def test_only_who_has_the_token_is_answered():
    """Without it, or with a wrong one, a scrape is refused, counts for nothing and says nothing of the run."""
    application = Application(exporter_of(*SMALL), token="t0ken")
    for said in (None, "", "t0ken", "Bearer", "Bearer t0ke", "Bearer t0kenx", "Basic t0ken", "Bearer tökén"):
        status, headers, body = scrape(application, authorization=said)
        assert status == "401 Unauthorized"
        assert headers["WWW-Authenticate"] == "Bearer"
        assert b"judged" not in body

    assert application.scrapes == 0
    assert scrape(application, authorization="Bearer t0ken")[0] == "200 OK"
    assert application.scrapes == 1


def test_workers_hosts_are_discovered():
    """Each worker that is up at the port that is asked for, with its region and name; that is no scrape."""
    addresses = {"us-east-1-01": "10.0.0.7", "eu-west-1-01": "fd00::2", "nobody-01": "10.9.9.9"}
    application = Application(exporter_of(*SMALL, seen=look(addresses=addresses)), token="t0ken")

    def asked(query):
        status, headers, body = scrape(
            application, path="/workers", query=query, authorization="Bearer t0ken"
        )
        return status, headers["Content-Type"], body

    status, kind, body = asked("port=9101")
    assert (status, kind) == ("200 OK", "application/json")
    assert json.loads(body) == [
        {"targets": ["[fd00::2]:9101"], "labels": {"region": "eu-west-1", "worker": "eu-west-1-01"}},
        {"targets": ["10.0.0.7:9101"], "labels": {"region": "us-east-1", "worker": "us-east-1-01"}},
    ]
    assert json.loads(asked("")[2])[1]["targets"] == ["10.0.0.7:9100"]
    for wrong in ("port=", "port=0", "port=65536", "port=-1", "port=http", "port=%D9%A3"):
        assert asked(wrong)[0] == "400 Bad Request", wrong
    assert scrape(application, path="/workers")[0] == "401 Unauthorized"
    assert application.scrapes == 0


def test_nobody_is_discovered_before_somebody_is_there():
    """An empty list, which is what Prometheus reads as no targets."""
    assert scrape(Application(exporter_of()), path="/workers")[2] == b"[]"


def test_only_a_get_of_metrics_is_a_scrape():
    """Everything else is told where to look; the answer's length is said."""
    application = Application(exporter_of(*SMALL))

    assert scrape(application, path="/")[0] == "404 Not Found"
    status, headers, _ = scrape(application, method="POST")
    assert (status, headers["Allow"]) == ("405 Method Not Allowed", "GET")
    assert application.scrapes == 0
    status, headers, body = scrape(application, OPENMETRICS)
    assert headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert int(headers["Content-Length"]) == len(body)
    assert body.endswith(b"# EOF\n")


def test_lags_up_to_the_generators_limit_are_buckets():
    """The limit that makes a generator saturated is a bound of the lags' buckets."""
    interval = Interval(0, 0, 1_000_000, receive_lag=histogram_of([4_000, 6_000]))
    found = samples(exporter_of(("us-east-1-01", interval)))

    assert value(found, "loadproof_receive_lag_seconds_bucket", region="us-east-1", le="0.005") == 1
