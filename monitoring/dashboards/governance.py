"""Are the answers right? Checks under load, and what the target says of its own work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitoring.dashboards.overview import rules
from monitoring.dashboards.panels import GREEN, LIMIT, ORANGE, RED, Column, Query, figure, graph, rows
from monitoring.dashboards.queries import latest, now, of_run, per_second, recorded_mean

if TYPE_CHECKING:
    from monitoring.dashboards.panels import Panel

TITLE = "loadproof: governance correctness"
DESCRIPTION = "Checks of a run, and the target's own figures: proofs, cache, store, answers."

OF_CHECKS = 'region=~"$region",scenario=~"$scenario"'
RAN = "passed|failed"


def panels() -> list[Panel]:
    return [*_first_line(), _so_far(), *_over_time(), _rules(), *_target()]


def _checks(result: str, by: str) -> str:
    return per_second(f'loadproof_checks_total{{{OF_CHECKS},result=~"{result}"}}', by)


def _total(result: str, by: str) -> str:
    series = f'loadproof_checks_total{{{OF_CHECKS},result=~"{result}"}}'
    return f"sum by ({by}) {latest(series)}"


def _first_line() -> list[Panel]:
    def violations(checks: str) -> str:
        series = f'loadproof_checks_total{{{OF_CHECKS},result="failed",check=~"{checks}"}}'
        return now(series)

    return [
        figure(
            "Compliance so far",
            "Share of the scored answers that passed the `compliance` check, since the start.",
            "percentunit",
            Query(
                now(f'loadproof_checks_total{{{OF_CHECKS},check="compliance",result="passed"}}')
                + " / "
                + now(f'loadproof_checks_total{{{OF_CHECKS},check="compliance",result=~"{RAN}"}}')
            ),
            width=4,
            sparkline=True,
        ),
        *(
            figure(
                title,
                f"{description} Violations since the start: one is too many.",
                "short",
                Query(violations(check)),
                width=4,
                colours={None: GREEN, 1: RED},
                decimals=0,
            )
            for title, check, description in (
                (
                    "Wrong hashes",
                    "hash_consistency",
                    "Answers that name another constitution than they must.",
                ),
                ("Leaks between tenants", "isolation", "Answers with what belongs to another tenant."),
                ("Wrong proofs", "proof", "Obligations whose result is not what it must be."),
                (
                    "Broken audit chain",
                    "audit_chain",
                    "Links, hashes or signatures of the audit trail that do not fit.",
                ),
            )
        ),
        figure(
            "Checks skipped",
            "Share of the checks that were not made, as their request had failed. Above 1 % the run is WARN at best.",
            "percentunit",
            Query(
                now(f'loadproof_checks_total{{{OF_CHECKS},result="skipped"}}')
                + " / "
                + now(f"loadproof_checks_total{{{OF_CHECKS}}}")
            ),
            width=4,
            colours={None: GREEN, 0.01: ORANGE},
            sparkline=True,
        ),
    ]


def _so_far() -> Panel:
    return rows(
        "Checks since the start",
        "Each check over the chosen regions and scenarios.",
        "check",
        Column("passed", _total("passed", "check")),
        Column("failed", _total("failed", "check")),
        Column("skipped", _total("skipped", "check")),
        Column("share passed", f"{_total('passed', 'check')} / {_total(RAN, 'check')}", "percentunit"),
    )


def _over_time() -> list[Panel]:
    infos = of_run('loadproof_rule_info{statistic="check",selector=""}')
    of_rule = f"loadproof_rule_limit * on (job, instance, rule) group_left (argument) ({infos})"
    limit = f'max by (check) (label_replace({of_rule}, "check", "$1", "argument", "(.+)"))'
    return [
        graph(
            "Share of checks passed",
            "Of the checks made in the last seconds. The limits are those of the plan's rules, which judge the whole run.",
            "percentunit",
            Query(f"{_checks('passed', 'check')} / {_checks(RAN, 'check')}", "{{check}}"),
            Query(limit, f"{LIMIT} {{{{check}}}}"),
            most=1,
            from_zero=False,
        ),
        graph(
            "Checks failed a second",
            "By check, over the chosen regions.",
            "ops",
            Query(_checks("failed", "check"), "{{check}}"),
        ),
        graph(
            "Checks made a second",
            "By what came of them.",
            "ops",
            Query(per_second(f"loadproof_checks_total{{{OF_CHECKS}}}", "result"), "{{result}}"),
            colours={"passed": GREEN, "failed": RED, "skipped": ORANGE},
        ),
        graph(
            "Numbers that scenarios record",
            "Mean since the start of each number, such as the compliance score, in the unit it is recorded in.",
            "short",
            Query(recorded_mean("metric"), "{{metric}}"),
        ),
    ]


def _rules() -> Panel:
    return rules('statistic="check"', "Rules on checks", "Each rule on a check as of the last look at it.")


def _target() -> list[Panel]:
    return [
        graph(
            "Proofs a second",
            "What the target's solver worked on, by how it ended.",
            "ops",
            Query(
                "sum by (result) (rate(target_proof_duration_seconds_count[$__rate_interval]))", "{{result}}"
            ),
        ),
        graph(
            "CPU time of a proof",
            "The chosen percentile, by how it ended, as the target measures it.",
            "s",
            Query(
                "histogram_quantile($quantile, sum by (result, le) "
                "(rate(target_proof_duration_seconds_bucket[$__rate_interval])))",
                "{{result}}",
            ),
            log=True,
        ),
        graph(
            "Answers of the target a second",
            "By status, as the target counts them; other clients of the target are in it.",
            "reqps",
            Query("sum by (status) (rate(target_requests_total[$__rate_interval]))", "{{status}}"),
        ),
        graph(
            "Looks into the target's caches",
            "A second, by cache and whether it was there.",
            "ops",
            Query(
                "sum by (cache, outcome) (rate(target_cache_lookups_total[$__rate_interval]))",
                "{{cache}} {{outcome}}",
            ),
        ),
    ]
