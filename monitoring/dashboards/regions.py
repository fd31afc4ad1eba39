"""Which region is it? The same figures, region beside region."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitoring.dashboards.panels import LIMIT, Column, Query, graph, heat, rows
from monitoring.dashboards.queries import (
    CHOSEN,
    OF_REGION,
    REQUESTS,
    latency,
    latest,
    limits,
    now,
    per_second,
)

if TYPE_CHECKING:
    from monitoring.dashboards.panels import Panel

TITLE = "loadproof: regions"
DESCRIPTION = "Load, latency, errors and the network of each region of a run."


def panels() -> list[Panel]:
    return [_so_far(), *_figures(), *_network()]


def _so_far() -> Panel:
    def total(selector: str) -> str:
        return f"sum by (region) {latest(f'{REQUESTS}_count{{{selector}}}')}"

    buckets = latest(f'{REQUESTS}_bucket{{{CHOSEN},outcome="ok"}}')
    failed = total(f'{CHOSEN},outcome!="ok"')
    return rows(
        "Regions since the start",
        "Workers, requests, the share of them that failed, and the chosen percentile of the ok ones, of the whole run so far.",
        "region",
        Column("workers planned", f"sum by (region) {latest(f'loadproof_workers_planned{{{OF_REGION}}}')}"),
        Column("workers up", f"sum by (region) {latest(f'loadproof_worker_up{{{OF_REGION}}}')}"),
        Column("requests", total(CHOSEN)),
        Column("failed", f"({failed} or {total(CHOSEN)} * 0) / {total(CHOSEN)}", "percentunit"),
        Column(
            "${quantile:text} of ok", f"histogram_quantile($quantile, sum by (region, le) {buckets})", "s"
        ),
        height=6,
    )


def _figures() -> list[Panel]:
    by_region = "{{region}}"
    ended = per_second(f"{REQUESTS}_count{{{CHOSEN}}}", "region")
    failed = per_second(f'{REQUESTS}_count{{{CHOSEN},outcome!="ok"}}', "region")
    return [
        graph(
            "OK requests a second",
            "Requests that ended well, by the region that sent them.",
            "reqps",
            Query(per_second(f'{REQUESTS}_count{{{CHOSEN},outcome="ok"}}', "region"), by_region),
        ),
        graph(
            "${quantile:text} of ok requests",
            "The chosen percentile of the last seconds by region, and the limit of the plan's rule on it.",
            "s",
            Query(latency("$quantile", "region"), by_region),
            Query(limits("${quantile:text}"), f"{LIMIT} {{{{rule}}}}"),
            log=True,
        ),
        graph(
            "Failed requests",
            "Share of the requests that ended in the last seconds: failed, timed out or unfinished.",
            "percentunit",
            Query(f"({failed} or {ended} * 0) / {ended}", by_region),
            Query(limits("error_ratio"), f"{LIMIT} {{{{rule}}}}"),
        ),
        graph(
            "Users",
            "Active users of the workers that are up.",
            "short",
            Query(now(f'loadproof_users{{{OF_REGION},scenario=~"$scenario"}}', "region"), by_region),
        ),
        graph(
            "In flight",
            "Requests begun and not ended.",
            "short",
            Query(now(f"loadproof_requests_in_flight{{{OF_REGION}}}", "region"), by_region),
        ),
        graph(
            "Age of the oldest request in flight",
            "Grows second by second when the way to the target, or the target, hangs.",
            "s",
            Query(now(f"loadproof_oldest_request_seconds{{{OF_REGION}}}", "region", "max"), by_region),
        ),
    ]


def _network() -> list[Panel]:
    return [
        graph(
            "Exchanges on the wire",
            "Hops and retries too. Unanswered ones were sent and had no answer; unconnected ones reached nobody.",
            "reqps",
            Query(
                per_second(f"loadproof_exchanges_total{{{OF_REGION}}}", "region, result"),
                "{{region}} {{result}}",
            ),
        ),
        graph(
            "Bytes received and sent",
            "Of answers and requests.",
            "Bps",
            Query(
                per_second(f"loadproof_received_bytes_total{{{OF_REGION}}}", "region"), "{{region}} received"
            ),
            Query(per_second(f"loadproof_sent_bytes_total{{{OF_REGION}}}", "region"), "{{region}} sent"),
        ),
        heat(
            "Latencies of ok requests",
            "How many of the chosen regions' requests a second lay in which bucket. Limits and goals of the plan are bounds.",
            "s",
            per_second(f'{REQUESTS}_bucket{{{CHOSEN},outcome="ok"}}', "le"),
            width=24,
        ),
    ]
