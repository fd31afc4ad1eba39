"""Is the run all right? Ten seconds for the first line, the rules and the load below."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitoring.dashboards.board import REPORT
from monitoring.dashboards.panels import (
    BLUE,
    GREEN,
    LIMIT,
    ORANGE,
    OUTCOMES,
    RED,
    VERDICTS,
    Column,
    Query,
    figure,
    graph,
    rows,
    verdicts,
    words,
)
from monitoring.dashboards.queries import (
    CHOSEN,
    REQUESTS,
    latency,
    latest,
    limits,
    now,
    per_second,
    worst,
)

if TYPE_CHECKING:
    from monitoring.dashboards.panels import Panel

TITLE = "loadproof: overview"
DESCRIPTION = "Verdict so far, load, latencies, errors and rules of one run."

RULE_STATES = {name: VERDICTS[name] for name in ("FAIL", "NO_DATA", "WARN", "PASS")}
PLANNED_S = now("loadproof_run_planned_seconds", fold="max")
RUN_S = now("loadproof_run_time_seconds", fold="max")
FAILED = per_second(f'{REQUESTS}_count{{{CHOSEN},outcome!="ok"}}')
ENDED = per_second(f"{REQUESTS}_count{{{CHOSEN}}}")
NOTHING_FAILED = f"{ENDED} * 0"
"""Where no request has failed there is no series of failures yet."""
FAILED_SHARE = f"({FAILED} or {NOTHING_FAILED}) / {ENDED}"


def panels() -> list[Panel]:
    return [
        *_first_line(),
        *_load(),
        rules(),
        *_users(),
        words(f"The report: `{REPORT}` beside the master, when the run has ended."),
    ]


def _first_line() -> list[Panel]:
    return [
        figure(
            "Verdict so far",
            "The worst that is known: a rule that fails, a journal that will not end, a rule without data yet. The "
            "run's verdict is given at its end, from the journals.",
            "none",
            Query(worst("loadproof_verdict_so_far", "verdict", VERDICTS)),
            mappings=verdicts(),
        ),
        figure(
            "Phase",
            "The phase that the plan is in; none before the load and after it.",
            "none",
            Query(f"{latest('loadproof_phase')} == 1", "{{phase}}"),
            names=True,
        ),
        figure(
            "Time left",
            "Of the plan's load; draining comes after it.",
            "dthms",
            Query(f"clamp_min({PLANNED_S} - {RUN_S}, 0)"),
            decimals=0,
        ),
        figure(
            "Users",
            "Active users, of the workers that are up.",
            "short",
            Query(now('loadproof_users{region=~"$region",scenario=~"$scenario"}')),
            decimals=0,
            sparkline=True,
        ),
        figure(
            "OK requests/s",
            "What the plan's `rate` counts: requests that ended well.",
            "reqps",
            Query(per_second(f'{REQUESTS}_count{{{CHOSEN},outcome="ok"}}')),
            sparkline=True,
        ),
        figure(
            "P95, ok requests",
            "Of the last seconds. Failures and timeouts are not in it; the rules count timeouts as slow.",
            "s",
            Query(latency("0.95")),
            sparkline=True,
        ),
        figure(
            "Failed requests",
            "Share of the requests that ended in the last seconds: failed, timed out or unfinished.",
            "percentunit",
            Query(FAILED_SHARE),
            colours={None: GREEN, 1e-9: ORANGE},
            sparkline=True,
        ),
        figure(
            "Rules broken",
            "How many rules would FAIL if the run ended now.",
            "short",
            Query(now('loadproof_rule_state{state="FAIL"}')),
            colours={None: GREEN, 1: RED},
            decimals=0,
        ),
    ]


def _load() -> list[Panel]:
    return [
        graph(
            "Requests a second, by outcome",
            "Requests that ended. The limit is that of the plan's `rate` rule, which asks for ok requests.",
            "reqps",
            Query(per_second(f"{REQUESTS}_count{{{CHOSEN}}}", "outcome"), "{{outcome}}"),
            Query(limits("rate"), f"{LIMIT} {{{{rule}}}}"),
            colours=OUTCOMES,
        ),
        graph(
            "Latency of ok requests",
            "P50, P95 and P99 of the last seconds, with the limits of rules on these that have no selector.",
            "s",
            *(
                Query(latency(quantile), name)
                for name, quantile in (("P50", "0.5"), ("P95", "0.95"), ("P99", "0.99"))
            ),
            Query(limits("p50|p95|p99"), f"{LIMIT} {{{{rule}}}}"),
            log=True,
        ),
    ]


def rules(which: str = "", title: str = "Rules", description: str = "") -> Panel:
    """Each rule as of the last look: state, value, limit and margin, in the rule's own unit."""

    def of(family: str, *matchers: str) -> str:
        vector = latest(f"{family}{{{','.join(matchers)}}}" if matchers else family)
        if which:
            info = latest(f"loadproof_rule_info{{{which}}}")
            vector = f"({vector} and on (job, instance, rule) {info})"
        return f"max by (rule) {vector}"

    def in_state(state: str) -> str:
        matcher = f'state="{state}"'
        return of("loadproof_rule_state", matcher)

    numbers = " or ".join(f"{in_state(state)} * {number} > 0" for state, number in RULE_STATES.items())
    return rows(
        title,
        description
        or "Each rule as of the last look at it. Values and limits are in seconds, ratios or per second, as the rule is.",
        "rule",
        Column("state", numbers, "none", verdicts(*RULE_STATES)),
        Column("value so far", of("loadproof_rule_value")),
        Column("limit", of("loadproof_rule_limit")),
        Column("inside the limit by", of("loadproof_rule_margin_ratio"), "percentunit"),
    )


def _users() -> list[Panel]:
    return [
        graph(
            "Users",
            "Active users beside those that the plan asks for at this time, of all regions.",
            "short",
            Query(now("loadproof_users"), "active"),
            Query(now("loadproof_users_planned", fold="max"), "planned"),
            width=8,
            colours={"active": BLUE, "planned": ORANGE},
        ),
        graph(
            "Failed requests",
            "Share of the requests that ended: failed, timed out or unfinished.",
            "percentunit",
            Query(FAILED_SHARE, "failed"),
            Query(limits("error_ratio"), f"{LIMIT} {{{{rule}}}}"),
            width=8,
            colours={"failed": ORANGE},
        ),
        graph(
            "In flight",
            "Requests begun and not ended; on the right the age of the oldest, which grows when the target hangs.",
            "short",
            Query(now('loadproof_requests_in_flight{region=~"$region"}'), "in flight"),
            Query(now('loadproof_oldest_request_seconds{region=~"$region"}', fold="max"), "oldest"),
            width=8,
            right={"oldest": "s"},
        ),
    ]
