"""What a run's numbers suggest: where the limits were left, and what errors, rates and checks point at.

A hint is no verdict and no reason for one; each carries the numbers that it is derived from.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from analyzer.patterns import patterns
from analyzer.wording import clock_text
from loadproof.plan.model import RATE_PERIOD_S
from loadproof.units import format_count, format_duration, format_rate, format_ratio
from loadproof.verdict.result import RuleVerdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from analyzer.model import Report, Second
    from loadproof.verdict.result import RuleResult

LASTING: Final = 3
"""Seconds in a row beyond a limit that end "within limits": a single slow second is no breaking point."""
BUSY: Final = 0.8
"""Share of its processors above which a side is called the bottleneck."""
_STATUS: Final = re.compile(r"HTTP (\d{3})")
_QUANTILES: Final = {"p50": "p50_us", "p95": "p95_us", "p99": "p99_us"}


def hints(report: Report) -> tuple[str, ...]:
    """One sentence each, most telling first; none where the numbers suggest nothing."""
    return tuple(_all(report))


def _all(report: Report) -> Iterator[str]:
    failed = {rule.statistic for rule in report.rules if rule.verdict is RuleVerdict.FAIL}
    climbs = len({phase.users_to for phase in report.plan.load}) > 1 or any(
        phase.users_from != phase.users_to and not phase.warmup for phase in report.plan.load
    )
    if climbs or failed & {*_QUANTILES, "error_ratio"}:
        yield from _last_within(report)
    yield from _hash(report)
    if failed & {"rate", "peak_rate"}:
        yield from _throughput(report)
    else:
        yield from _generator_bound(report)
    yield from _errors(report)
    yield from patterns(report)


def _last_within(report: Report) -> Iterator[str]:
    rules = [rule for rule in report.rules if _is_per_second(rule)]
    seconds = [second for second in report.timeline if second.ok + second.failed + _dropped(second)]
    broken = [next((rule for rule in rules if not _keeps(rule, second)), None) for second in seconds]
    at = next(
        (
            index
            for index in range(len(seconds))
            if len(broken[index : index + LASTING]) == LASTING and all(broken[index : index + LASTING])
        ),
        None,
    )
    if at is None or not rules:
        return
    first = broken[at]
    assert first is not None
    if at == 0:
        yield f"No second was within every limit: {first.rule} was broken from the first requests on."
        return
    last = seconds[at - 1]
    users = "" if last.users is None else f" with {format_count(round(last.users))} users"
    yield (
        f"The last second within every limit was {clock_text(last.second * 1_000_000)}{users} at "
        f"{format_rate(last.ok)} ok; then {first.rule} was broken for {LASTING} seconds in a row."
    )


def _is_per_second(rule: RuleResult) -> bool:
    """Rules on all requests whose value each second has of its own."""
    capped = rule.operator in {"<=", "<"} and not rule.selector and isinstance(rule.limit, float)
    return capped and rule.statistic in {*_QUANTILES, "error_ratio"}


def _keeps(rule: RuleResult, second: Second) -> bool:
    assert isinstance(rule.limit, float)
    if rule.statistic == "error_ratio":
        errors = second.failed + _dropped(second)
        return errors / (second.ok + errors) <= rule.limit
    value = getattr(second, _QUANTILES[rule.statistic])
    return value is None or value <= rule.limit


def _dropped(second: Second) -> int:
    """Starts that never became requests; 0 in a closed plan."""
    return second.starts_dropped or 0


def _hash(report: Report) -> Iterator[str]:
    wrong = sum(check.failed for check in report.checks if check.name == "hash_consistency")
    refused = _count(report, {412})
    if wrong or refused:
        yield (
            f"Constitutional hash: {format_count(wrong)} answer{'s'[: wrong != 1]} named another one and "
            f"{format_count(refused)} requests were refused for ours (HTTP 412): set CONSTITUTIONAL_HASH alike for "
            "suite and target, and look for a server of an older release behind the gateway."
        )


def _throughput(report: Report) -> Iterator[str]:
    """Which side had no processor time left, by the numbers of both."""
    means = {resource.name: resource.mean for resource in report.resources}
    generator, target = report.generator.cpu_ratio_max, means.get("target.cpu")
    told = (
        f"the busiest worker's core {format_ratio(generator)}, the target's processors {format_ratio(target)}"
    )
    if generator is not None and generator >= BUSY:
        yield f"Too few requests per second, and the generator was at its limit ({told}): use more workers."
    elif target is not None and target >= BUSY:
        yield f"Too few requests per second, and the target was at its limit ({told}): give it more resources."
    else:
        yield (
            f"Too few requests per second, though processors had time to spare ({told}): "
            f"{_few_starts(report) if report.plan.open else _few_users(report)}."
        )


def _generator_bound(report: Report) -> Iterator[str]:
    """Latencies of a generator without time to spare are partly its own."""
    cpu, lag = report.generator.cpu_ratio_max, report.generator.receive_lag_p99_us
    if cpu is not None and cpu >= BUSY:
        yield (
            f"The generator had little to spare: the busiest worker used {format_ratio(cpu)} of a core, with a receive "
            f"lag of {format_duration(lag)} (P99); a part of the latencies may be its own, so use more workers."
        )


def _few_users(report: Report) -> str:
    return (
        f"{format_count(report.plan.max_users)} users may be too few for this rate, or the time goes to locks, "
        "the database or the network"
    )


def _few_starts(report: Report) -> str:
    """The rate of an open plan is that of its starts, unless they wait for users that are all busy."""
    wait_us, without = report.generator.user_wait_p99_us, report.arrivals.no_user
    if wait_us or without:
        return (
            f"the pool of {format_count(report.plan.max_users)} users was too small, as starts waited for one (P99 "
            f"{format_duration(wait_us)}) and {format_count(without)} found none: plan more users, or look for what "
            "holds the requests up, as locks, the database or the network"
        )
    rate = report.plan.max_arrivals / RATE_PERIOD_S
    return (
        f"starts did not wait for users (P99 {format_duration(wait_us)}), so compare the rule with the plan's "
        f"arrivals ({format_rate(rate)} at most) and with the errors"
    )


def _errors(report: Report) -> Iterator[str]:
    failures = report.totals.failures
    if not failures:
        return
    kinds = (
        ({401, 403}, "were refused (HTTP 401 or 403): look at the users' tokens and how long they last"),
        ({429}, "met a rate limit (HTTP 429): raise it for the test, or plan less load"),
        (set(range(500, 600)), "failed in the target (HTTP 5xx): its log has the reason"),
    )
    for statuses, meaning in kinds:
        count = _count(report, statuses)
        if count:
            yield f"{format_count(count)} requests {meaning}."
    lost = sum(
        error.count
        for error in report.errors
        if error.name and not _STATUS.search(error.message) and "Connection" in error.message
    )
    if lost:
        yield (
            f"{format_count(lost)} requests lost or never got their connection: look at the target's accept queue, "
            "its open files, and what stands between."
        )
    if report.totals.timeouts:
        yield f"{format_count(report.totals.timeouts)} requests had no answer in time: the target, or its way, hung."


def _count(report: Report, statuses: Iterable[int]) -> int:
    wanted = set(statuses)
    return sum(
        error.count
        for error in report.errors
        if (found := _STATUS.search(error.message)) and int(found[1]) in wanted
    )
