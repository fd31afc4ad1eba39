"""Intervals added up for good: the counters and histograms of the exporter, which only grow."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from loadproof.measure.interval import MetricSummary
from monitoring.buckets import LAGS_US, LATENCIES_US, Bounds, Lags, Latencies

if TYPE_CHECKING:
    from loadproof.measure.histogram import Histogram
    from loadproof.measure.interval import Interval
    from monitoring.families import Families
    from monitoring.labels import Labels


class Totals:
    """Of one run; `limits_us` are those that its intervals count against."""

    def __init__(self, limits_us: tuple[int, ...], lag_limit_us: int, labels: Labels) -> None:
        self._labels = labels
        self._latency_bounds = Bounds(LATENCIES_US, limits_us)
        self._lag_bounds = Bounds(LAGS_US, (lag_limit_us,))
        self._latencies: dict[tuple[str, ...], Latencies] = {}
        self._lags: dict[tuple[str, str], Lags] = {}
        self._metrics: dict[tuple[str, str], MetricSummary] = {}
        self._counters: dict[str, Counter[tuple[str, ...]]] = {
            "loadproof_requests_started_total": Counter(),
            "loadproof_received_bytes_total": Counter(),
            "loadproof_sent_bytes_total": Counter(),
            "loadproof_arrivals_total": Counter(),
            "loadproof_exchanges_total": Counter(),
            "loadproof_checks_total": Counter(),
            "loadproof_task_errors_total": Counter(),
        }

    def add(self, region: str, interval: Interval) -> None:
        """It stays as it is; ValueError, and nothing is added, if it counts against other limits."""
        limits = len(self._latency_bounds.of_limits)
        if any(len(series.over) != limits for series in interval.series.values()):
            raise ValueError(f"second {interval.second} does not count against {limits} limits")
        self._add_requests(region, interval)
        bounded, counters = self._labels.bounded, self._counters
        counters["loadproof_requests_started_total"][region,] += interval.started
        for key, arrivals in interval.arrivals.items():
            fates = counters["loadproof_arrivals_total"]
            (scenario,) = bounded("scenario", key.scenario)
            fates[region, scenario, "taken"] += arrivals.taken
            fates[region, scenario, "no_user"] += arrivals.no_user
            fates[region, scenario, "late"] += arrivals.late
        for exchanges in interval.exchanges.values():
            results = counters["loadproof_exchanges_total"]
            results[region, "answered"] += exchanges.answered
            results[region, "unanswered"] += exchanges.unanswered
            results[region, "unconnected"] += exchanges.unconnected
        for checked, counts in interval.checks.items():
            results = counters["loadproof_checks_total"]
            (scenario,), (check,) = bounded("scenario", checked.scenario), bounded("check", checked.check)
            results[region, scenario, check, "passed"] += counts.passed
            results[region, scenario, check, "failed"] += counts.failed
            results[region, scenario, check, "skipped"] += counts.skipped
        for measured, summary in interval.metrics.items():
            (scenario,), (metric,) = (
                bounded("scenario", measured.scenario),
                bounded("metric", measured.metric),
            )
            known = self._metrics.setdefault((scenario, metric), MetricSummary(0, 0.0, 0.0, 0.0))
            known.count += summary.count
            known.total += summary.total
        counters["loadproof_task_errors_total"][region,] += sum(interval.task_errors.values())
        self._add_lag("loadproof_pacer_lag_seconds", region, interval.pacer_lag)
        self._add_lag("loadproof_receive_lag_seconds", region, interval.receive_lag)
        self._add_lag("loadproof_user_wait_seconds", region, interval.user_wait)

    def collect(self, families: Families) -> None:
        for labels, latencies in self._latencies.items():
            families.add_histogram(
                "loadproof_request_duration_seconds",
                self._latency_bounds.texts,
                latencies.cumulative(),
                latencies.total_us / 1e6,
                *labels,
            )
        for (name, region), lags in self._lags.items():
            families.add_histogram(
                name, self._lag_bounds.texts, lags.cumulative(), lags.total_us / 1e6, region
            )
        for name, counter in self._counters.items():
            for labels, count in counter.items():
                families.add(name, count, *labels)
        for labels, summary in self._metrics.items():
            families.add("loadproof_scenario_values_total", summary.count, *labels)
            families.add("loadproof_scenario_values_added", summary.total, *labels)
        for label, count in self._labels.overflow.items():
            families.add("loadproof_label_overflow_total", count, label)

    def _add_requests(self, region: str, interval: Interval) -> None:
        bounded = self._labels.bounded
        received, sent = (
            self._counters[name] for name in ("loadproof_received_bytes_total", "loadproof_sent_bytes_total")
        )
        for key, series in interval.series.items():
            (scenario,) = bounded("scenario", key.scenario)
            method, name = bounded("endpoint", key.method, key.name)
            labels = (region, scenario, name, method, key.outcome.value)
            latencies = self._latencies.get(labels)
            if latencies is None:
                latencies = self._latencies[labels] = Latencies(self._latency_bounds)
            latencies.add(series)
            received[region,] += series.bytes_received
            sent[region,] += series.bytes_sent

    def _add_lag(self, name: str, region: str, histogram: Histogram) -> None:
        if histogram.count:
            lags = self._lags.get((name, region))
            if lags is None:
                lags = self._lags[name, region] = Lags(self._lag_bounds)
            lags.add(histogram)
