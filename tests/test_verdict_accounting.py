"""The two books, and the evidence that they are kept from."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from judging import SECOND, Run, plan_of, run_of
from measuring import intervals

from loadproof.errors import JournalError
from loadproof.measure.interval import (
    Endpoint,
    ErrorKey,
    Exchanges,
    Interval,
    Outcome,
)
from loadproof.measure.interval import (
    Evidence as CheckSample,
)
from loadproof.plan.model import Region
from loadproof.verdict.accounting import EndpointBook, gap_text, keep_books
from loadproof.verdict.case import Case
from loadproof.verdict.evidence import DISTINCT_ERRORS, OTHER, SAMPLES_PER_CHECK, Evidence, spread
from loadproof.verdict.tallies import Seconds

FAST = 50_000
LIMIT = "p95 <= 100ms"
NAME = "GET /policies/:id"


def books(run):
    evidence = run.evidence()
    return keep_books(Case(run.plan, evidence, run.run_facts()))


def test_both_books_of_a_clean_run():
    """Requests and exchanges, by endpoint and in total, intervals and workers: all counted, nothing open."""
    run = run_of(LIMIT).steadily([FAST], outcome=Outcome.FAILED).steadily([FAST], outcome=Outcome.TIMEOUT)
    run.facts |= {"target_counts": {NAME: 1_290}, "locust_counted": 1_320}
    found = books(run)

    assert (found.started, found.ok, found.failed, found.unfinished) == (1_320, 1_200, 120, 0)
    assert (found.answered, found.unanswered, found.target_counted) == (1_260, 60, 1_290)
    assert found.endpoints == (EndpointBook(NAME, 1_260, 60, 1_290),)
    assert found.by_endpoint
    assert (found.intervals_expected, found.intervals_present) == (60, 60)
    assert (found.workers_planned, found.workers_seen, found.workers_lost) == (1, 1, 0)
    assert found.gaps == ()
    assert found.differences == ()


@pytest.mark.parametrize(
    ("counted", "closes"), [(1_259, False), (1_260, True), (1_290, True), (1_320, True), (1_321, False)]
)
def test_the_target_counts_at_least_the_answered_and_at_most_all(counted, closes):
    """answered <= counted <= answered + unanswered."""
    run = run_of(LIMIT).steadily([FAST], outcome=Outcome.FAILED).steadily([FAST], outcome=Outcome.TIMEOUT)
    run.facts["target_counts"] = {NAME: counted}
    differences = books(run).differences

    assert (differences == ()) is closes
    if not closes:
        assert (
            f"the target counted {counted:,} requests on {NAME}, where 1,260 to 1,320 were sent"
            in differences
        )


@pytest.mark.parametrize("counted", [1_199, 1_201])
def test_the_counts_are_equal_when_all_was_answered(counted):
    """With nothing unanswered a single request more or less is a difference."""
    run = run_of(LIMIT)
    run.facts["target_counts"] = {NAME: counted}

    assert books(run).differences == (
        f"the target counted {counted:,} requests on {NAME}, where 1,200 were sent",
    )


def test_endpoints_are_compared_one_by_one():
    """Two errors that cancel out in total are found where both sides name the same endpoints."""
    run = run_of(LIMIT).steadily([FAST], name="GET /other")
    run.facts["target_counts"] = {NAME: 1_199, "GET /other": 61}

    assert len(books(run).differences) == 2


def test_other_names_are_compared_in_total_and_said_to_be():
    """A target that names its endpoints otherwise is held to the sum."""
    run = run_of(LIMIT)
    run.facts["target_counts"] = {"GET /policies/{id}": 1_100, "GET /health": 100}
    found = books(run)
    run.facts["target_counts"] = {"GET /policies/{id}": 1_100}

    assert not found.by_endpoint
    assert found.endpoints == (EndpointBook(NAME, 1_200, 0, None),)
    assert found.differences == ()
    assert "all endpoints together, since the target names them otherwise" in books(run).differences[0]


def test_a_target_that_saw_nothing_is_a_difference():
    """An empty count is a count: every request went somewhere else."""
    run = run_of(LIMIT)
    run.facts["target_counts"] = {}

    assert len(books(run).differences) == 1


def test_names_match_with_and_without_their_method():
    """`GET /x` under method GET and `/x` under method GET are one endpoint."""

    def rename(worker, second, interval):
        exchanges = interval.exchanges.pop(Endpoint("GET", NAME))
        half = exchanges.answered // 2
        interval.exchanges[Endpoint("GET", "/policies/:id")] = Exchanges(half, 0)
        interval.exchanges[Endpoint("GET", NAME)] = Exchanges(exchanges.answered - half, 0)

    run = run_of(LIMIT).change(rename)
    run.facts["target_counts"] = {NAME: 1_200}

    assert books(run).endpoints == (EndpointBook(NAME, 1_200, 0, 1_200),)
    assert books(run).differences == ()


def test_a_torn_epoch_is_a_gap_and_its_open_requests_no_difference():
    """What the torn worker had begun is unknown; the target may have counted more than the journals tell."""
    run = run_of(LIMIT)
    run.cut = {"eu-west-1-01": 50}
    run.facts |= {"target_counts": {NAME: 1_150}, "lost": {"eu-west-1-01": "killed"}, "locust_counted": 1_150}
    run.change(
        lambda worker, second, interval: setattr(interval, "started", interval.started + (second == 49))
    )
    found = books(run)

    assert found.differences == ()
    assert (found.workers_lost, found.intervals_expected, found.intervals_present) == (1, 60, 50)
    assert [(gap.worker, gap.from_us, gap.why, gap.in_flight) for gap in found.gaps] == [
        ("eu-west-1-01", 50 * SECOND, "killed", 1)
    ]
    assert "what became of 1 request in flight and what it did afterwards is unknown" in gap_text(
        found.gaps[0]
    )


def test_a_torn_epoch_does_not_excuse_answers_that_the_target_never_saw():
    """More answers than the target counted are a difference in any case."""
    run = run_of(LIMIT)
    run.cut = {"eu-west-1-01": 50}
    run.facts["target_counts"] = {NAME: 999}

    assert len(books(run).differences) == 1


def test_locusts_own_statistics_must_agree():
    """Ok and failed requests are Locust's; unfinished ones are not."""
    run = run_of(LIMIT).answer([FAST], [59], outcome=Outcome.UNFINISHED)
    run.facts["locust_counted"] = 1_200
    good = books(run)
    run.facts["locust_counted"] = 1_201

    assert good.differences == ()
    assert books(run).differences == ("Locust's statistics hold 1,201 requests, the journals 1,200",)


def test_every_worker_closes_its_own_book():
    """One worker's surplus does not hide another's loss."""
    regions = (Region(name="eu-west-1"), Region(name="us-east-1"))
    workers = (("eu-west-1-01", "eu-west-1"), ("us-east-1-01", "us-east-1"))
    run = Run(plan_of(LIMIT, regions=regions), workers=workers).steadily([FAST])

    def shift(worker, second, interval):
        interval.started += (1 if worker.startswith("eu") else -1) * (second == 5)

    assert books(run.change(shift)).differences == (
        "eu-west-1-01 started 61 requests and tells the end of 60",
        "us-east-1-01 started 59 requests and tells the end of 60",
    )


def test_a_late_interval_covers_the_seconds_that_it_swallowed():
    """Intervals present are counted in seconds of run time."""
    run = run_of(LIMIT)

    def swallow(worker, second, interval):
        if second == 10:
            interval.length_us = 3 * SECOND

    evidence = Evidence(run.plan, run.limits_us)
    run.evidence()
    for interval in run.intervals["eu-west-1-01"]:
        swallow("", interval.second, interval)
        if interval.second not in {11, 12}:
            evidence.add("eu-west-1-01", "eu-west-1", interval)

    assert keep_books(Case(run.plan, evidence, run.run_facts())).intervals_present == 60


@given(st.integers(0, 10**8), st.integers(0, 10**7), st.integers(0, 10**12))
def test_what_is_spread_over_seconds_sums_to_the_whole(start_us, length_us, amount):
    """An interval's user time is split over its seconds by time, to the last microsecond."""
    parts = spread(start_us, length_us, amount)

    assert sum(part for _, part in parts) == amount
    for second, part in parts:
        overlap = min((second + 1) * SECOND, start_us + length_us) - max(second * SECOND, start_us)
        if length_us:
            assert abs(part - amount * overlap / length_us) <= 1 + amount * 1e-12


@given(st.lists(st.tuples(st.integers(0, 50), st.tuples(st.integers(0, 9), st.integers(0, 9))), max_size=20))
def test_a_table_of_seconds_adds_in_any_order(rows):
    """Rows add up per second, whichever comes first, and come back in order of time."""
    table = Seconds(2)
    expected = {}
    for second, row in rows:
        table.add(second, row)
        have = expected.get(second, (0, 0))
        expected[second] = (have[0] + row[0], have[1] + row[1])

    assert [(second, tuple(row)) for second, row in table.items()] == sorted(
        (second, row) for second, row in expected.items() if any(row)
    )


@given(st.lists(intervals(limits_us=()), max_size=4), st.randoms(use_true_random=False))
def test_evidence_does_not_depend_on_the_order_of_intervals(parts, random):
    """Any intervals whatever, folded in two orders, give the same totals."""
    # Times are those of a run; the strategy's go up to a year and would spread user time over every second.
    for interval in parts:
        interval.second %= 100
        interval.start_us %= 10**8
        interval.length_us %= 10**7
        interval.evidence = []
    plan = plan_of()
    one, other = Evidence(plan, ()), Evidence(plan, ())
    for interval in parts:
        one.add("eu-west-1-01", "eu-west-1", interval)
    random.shuffle(parts)
    for interval in parts:
        other.add("eu-west-1-01", "eu-west-1", interval)
    for worker in (*one.workers.values(), *other.workers.values()):
        worker.seconds.sort(key=repr)

    assert {key: list(table.items()) for key, table in one.seconds.items()} == {
        key: list(table.items()) for key, table in other.seconds.items()
    }
    for name in ("totals", "checks", "metrics", "user_us", "flow", "workers", "lags", "exchanges", "errors"):
        assert getattr(one, name) == getattr(other, name)


def test_evidence_leaves_the_interval_as_it_is():
    """Folding shares nothing with what it was given."""
    run = run_of(LIMIT).check().metric(1.0)
    first, second = run.evidence(), run.evidence()

    assert first.totals == second.totals
    assert first.flow == second.flow


def test_intervals_of_another_plan_are_refused():
    """Counts against other limits must never be mixed in."""
    run = run_of("p95 <= 100ms", "p99 <= 200ms")
    run.evidence()
    evidence = Evidence(run.plan, (100_000,))

    with pytest.raises(JournalError, match="belongs to another plan"):
        evidence.add("eu-west-1-01", "eu-west-1", run.intervals["eu-west-1-01"][0])


def test_what_a_target_can_invent_is_bounded():
    """Distinct error texts and samples of failed checks are kept up to a number, and all are counted."""
    evidence = Evidence(plan_of(), ())
    for number in range(DISTINCT_ERRORS + 50):
        interval = Interval(number, number * SECOND, SECOND)
        interval.errors[ErrorKey("Reader", "GET", "/x", f"error {number}")] = 1
        interval.task_errors[f"task {number}"] = 1
        interval.evidence.append(CheckSample("Reader", "compliance", number, "why"))
        evidence.add("eu-west-1-01", "eu-west-1", interval)

    assert sum(evidence.errors.values()) == sum(evidence.task_errors.values()) == DISTINCT_ERRORS + 50
    assert evidence.errors[ErrorKey("Reader", "GET", "/x", OTHER)] == evidence.task_errors[OTHER] == 50
    assert len(evidence.samples["compliance"]) == SAMPLES_PER_CHECK
