"""Hints: each is derived from the report's numbers and carries them; a clean run has none."""

from dataclasses import replace

import pytest
from reporting import failing, passing, timeline, totals

from analyzer.hints import hints
from analyzer.model import ArrivalTotals, ErrorTotals, Group, ResourceTotals
from loadproof.plan.model import Phase
from loadproof.verdict.result import RuleVerdict


def with_error(message, count=7):
    report = passing()
    return replace(
        report,
        totals=replace(report.totals, failures=count),
        errors=(ErrorTotals("A", "GET", "/x", message, count),),
    )


def too_slow(generator, target):
    """A report whose rate rule failed, with these shares of processor time."""
    report = passing()
    [rate] = [rule for rule in report.rules if rule.statistic == "rate"]
    return replace(
        report,
        rules=(replace(rate, verdict=RuleVerdict.FAIL),),
        generator=replace(report.generator, cpu_ratio_max=generator),
        resources=(ResourceTotals("target.cpu", 40, target, target, target),),
    )


def test_a_clean_run_suggests_nothing():
    """Nothing failed, nothing climbed: no hint."""
    assert hints(passing()) == ()


def test_the_last_second_within_every_limit_is_named_with_its_load():
    """The target of this run breaks at second 25: the last good one is 0:24, with its users and rate."""
    report = failing()
    last = report.timeline[24]

    assert f"was 0:24 with 100 users at {last.ok:,}/s ok" in report.hints[0]
    assert "then p95" in report.hints[0] or "then error_ratio" in report.hints[0]


def test_a_single_slow_second_is_no_end():
    """Less than three broken seconds in a row do not end what is within limits."""
    report = failing()
    seconds = list(timeline())
    bad = timeline(fail_from=0)
    seconds[20], seconds[21] = bad[20], bad[21]

    assert not any("within every limit" in hint for hint in hints(replace(report, timeline=tuple(seconds))))


def test_a_climb_that_holds_needs_no_hint():
    """A plan that climbs and never breaks has no last second to name."""
    report = passing()
    load = (Phase(name="climb", duration_us=40_000_000, users_from=0, users_to=100),)

    assert hints(replace(report, plan=report.plan.model_copy(update={"load": load}))) == ()


@pytest.mark.parametrize(
    ("message", "word"),
    [
        ("HTTP 401", "tokens"),
        ("HTTP 403", "tokens"),
        ("HTTP 429", "rate limit"),
        ("HTTP 502", "its log"),
        ("HTTP 412", "CONSTITUTIONAL_HASH"),
        ("ConnectionRefusedError: Connection refused", "accept queue"),
    ],
)
def test_errors_point_somewhere(message, word):
    """Each kind of error has its own place to look, with how many there were."""
    [hint] = hints(with_error(message))

    assert word in hint
    assert "7 requests" in hint


@pytest.mark.parametrize(
    ("generator", "target", "word"),
    [(0.95, 0.2, "more workers"), (0.3, 0.97, "more resources"), (0.3, 0.2, "locks")],
)
def test_a_missed_rate_names_the_bottleneck_by_numbers(generator, target, word):
    """Generator at its limit, target at its limit, or neither: told with both shares."""
    [hint] = hints(too_slow(generator, target))

    assert word in hint
    assert f"{round(generator * 100)} %" in hint
    assert f"{round(target * 100)} %" in hint


def opened(report, *, wait_us=0, no_user=0):
    """The report as one of an open plan of 40 starts a second, and how its starts waited."""
    load = tuple(
        phase.model_copy(
            update={"users_from": 50, "users_to": 50, "arrivals_from": 40_000_000, "arrivals_to": 40_000_000}
        )
        for phase in report.plan.load
    )
    return replace(
        report,
        plan=report.plan.model_copy(update={"load": load}),
        generator=replace(report.generator, user_wait_p99_us=wait_us),
        arrivals=ArrivalTotals(1_600 - no_user, no_user, 0),
    )


def test_users_may_be_too_few_only_where_they_make_the_rate():
    """A closed plan is told of its users; an open one whose starts did not wait is told of its arrivals."""
    [closed] = hints(too_slow(0.3, 0.2))
    [idle] = hints(opened(too_slow(0.3, 0.2)))

    assert "100 users may be too few" in closed
    assert "the plan's arrivals (40/s at most)" in idle
    assert "too few for" not in idle
    assert "pool" not in idle


@pytest.mark.parametrize(("wait_us", "no_user"), [(1_200_000, 0), (0, 17), (1_200_000, 17)])
def test_the_pool_was_too_small_where_starts_waited(wait_us, no_user):
    """A wait for a user, or a start that found none, points at the pool, with both numbers."""
    [hint] = hints(opened(too_slow(0.3, 0.2), wait_us=wait_us, no_user=no_user))

    assert "the pool of 50 users was too small" in hint
    assert f"{no_user} found none" in hint
    assert ("P99 1.2 s" if wait_us else "P99 0 µs") in hint


@pytest.mark.parametrize(("generator", "target", "word"), [(0.95, 0.2, "workers"), (0.3, 0.97, "resources")])
def test_an_open_plans_bottleneck_is_named_before_its_pool(generator, target, word):
    """Where a side was at its limit, starts waited for that and not for want of users."""
    [hint] = hints(opened(too_slow(generator, target), wait_us=1_200_000, no_user=3))

    assert f"more {word}" in hint
    assert "pool" not in hint


def test_a_second_breaks_the_error_ratio_by_drops_too():
    """Dropped starts count as errors of their second, whether other requests ended in it or not."""
    report = opened(failing())
    [rule] = [rule for rule in report.rules if rule.statistic == "error_ratio"]
    dropping = [
        replace(row, starts_dropped=0 if row.second < 30 else 9, ok=row.ok if row.second < 35 else 0)
        for row in timeline()
    ]

    [hint, *_] = hints(replace(report, rules=(rule,), timeline=tuple(dropping)))

    assert "was 0:29" in hint
    assert "then error_ratio" in hint
    silent = [replace(row, ok=0) if row.second >= 30 else row for row in dropping]
    assert hints(replace(report, rules=(rule,), timeline=tuple(silent)))[0] == hint


def test_a_generator_without_time_to_spare_is_named_though_every_rule_holds():
    """Latencies measured by a busy generator are doubtful, whatever the rules say."""
    report = passing()
    [hint] = hints(replace(report, generator=replace(report.generator, cpu_ratio_max=0.97)))

    assert "97 % of a core" in hint


def test_one_slow_region_is_named_with_both_numbers():
    """A region at twice the others' P95 is; one a fifth above them is not."""
    report = passing()
    fast, slow, near = (totals(1_000, p50_us=us) for us in (10_000, 20_000, 12_000))
    regions = (Group("a", fast), Group("b", slow), Group("c", fast))

    [hint] = hints(replace(report, by_region=regions))
    assert hint.startswith("Region b is slow: its P95 is 60 ms")
    assert "30 ms" in hint
    assert hints(replace(report, by_region=(Group("a", fast), Group("b", near)))) == ()
    few = (Group("a", fast), Group("b", totals(99, p50_us=90_000)))
    assert hints(replace(report, by_region=few)) == ()


def test_an_endpoint_that_takes_most_of_the_time_is_named():
    """Half of the answering time with a tenth of the requests is told; a share that its requests explain is not."""
    report = passing()
    names = (
        Group("GET /a", totals(450)),
        Group("GET /b", totals(450)),
        Group("POST /slow", totals(100, p50_us=300_000)),
    )

    [hint] = hints(replace(report, by_name=names))
    assert hint.startswith("POST /slow takes 73.53 % of all answering time with 10 % of the requests")
    even = (Group("GET /a", totals(800)), Group("GET /b", totals(100)), Group("GET /c", totals(100)))
    assert hints(replace(report, by_name=even)) == ()


def test_where_errors_begin_is_told_with_phase_and_users():
    """The first error's second, phase and load; not where they were there from the beginning."""
    report = with_error("HTTP 500")
    late = replace(report, errors=(replace(report.errors[0], first_s=25, last_s=39),))

    assert any(
        hint.startswith("Errors begin at 0:25 in phase steady at 100 users; before that there was none.")
        for hint in hints(late)
    )
    early = replace(report, errors=(replace(report.errors[0], first_s=1, last_s=39),))
    assert not any("Errors begin" in hint for hint in hints(early))


def test_the_load_from_which_more_users_bring_nothing_is_told():
    """A target that answers 400/s at most shows its knee where users still grow and P50 with them."""
    report = passing()
    rows = []
    for row in timeline(ramp=60, steady=10, users=100):
        done = min(row.users * 10, 400)
        wait = 10_000 if row.users <= 40 else int(10_000 * row.users / 40)
        rows.append(replace(row, ok=int(done), p50_us=wait))
    [hint] = hints(replace(report, timeline=tuple(rows)))
    grows = [replace(row, ok=int(row.users * 10), p50_us=10_000) for row in rows]

    assert "no more answers from about 4" in hint
    assert "at 100, while P50 goes from" in hint
    assert hints(replace(report, timeline=tuple(grows))) == ()
