"""What dashboards for Locust ask for, of the same intervals: by endpoint, in milliseconds, without a line of sums."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from loadproof.measure.histogram import highest_equivalent
from loadproof.measure.interval import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loadproof.measure.interval import Interval
    from monitoring.families import Families
    from monitoring.labels import Labels

WINDOW: Final = 10
"""Seconds that the current figures look back."""
SETTLED: Final = 2
"""Seconds before now that workers may still be telling of."""
KEPT: Final = 3 * WINDOW


class _Rounded(dict[int, int]):
    """Bucket of ours -> milliseconds as Locust rounds them: to two significant digits, and at least to whole ones."""

    def __missing__(self, index: int) -> int:
        ms = round(highest_equivalent(index) / 1_000)
        self[index] = ms if ms < 100 else round(ms, 2 - len(str(ms)))
        return self[index]


_ROUNDED: Final = _Rounded()


@dataclass
class _Endpoint:
    requests: int = 0
    failures: int = 0
    total_us: int = 0
    bytes_received: int = 0
    min_us: int | None = None
    max_us: int | None = None
    times: Counter[int] = field(default_factory=Counter)


@dataclass
class _Second:
    requests: Counter[tuple[str, ...]] = field(default_factory=Counter)
    failures: Counter[tuple[str, ...]] = field(default_factory=Counter)
    times: Counter[int] = field(default_factory=Counter)


class LocustTotals:
    """Requests that we ended ourselves are none of Locust's, and left out."""

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        self._endpoints: dict[tuple[str, ...], _Endpoint] = {}
        self._seconds: dict[int, _Second] = {}
        self._newest = 0
        self._errors: Counter[tuple[str, ...]] = Counter()

    def add(self, interval: Interval) -> None:
        second = self._second(interval.second)
        for key, series in interval.series.items():
            histogram = series.histogram
            if key.outcome is Outcome.UNFINISHED or histogram.min is None or histogram.max is None:
                continue
            name = self._labels.bounded("endpoint", key.method, key.name)
            endpoint = self._endpoints.setdefault(name, _Endpoint())
            endpoint.requests += histogram.count
            endpoint.total_us += histogram.total
            endpoint.bytes_received += series.bytes_received
            least = histogram.min if endpoint.min_us is None else min(endpoint.min_us, histogram.min)
            most = histogram.max if endpoint.max_us is None else max(endpoint.max_us, histogram.max)
            endpoint.min_us, endpoint.max_us = least, most
            is_failure = key.outcome is not Outcome.OK
            endpoint.failures += histogram.count if is_failure else 0
            times: dict[int, int] = {}
            for index, count in histogram.counts.items():
                rounded = _ROUNDED[index]
                times[rounded] = times.get(rounded, 0) + count
            endpoint.times.update(times)
            if second is not None:
                second.requests[name] += histogram.count
                second.failures[name] += histogram.count if is_failure else 0
                second.times.update(times)
        for error, occurrences in interval.errors.items():
            identity = self._labels.bounded("error", error.method, error.name, error.message)
            self._errors[identity] += occurrences

    def collect(self, families: Families, at_us: int) -> None:
        """`at_us` is the run clock now."""
        now = at_us // 1_000_000
        upto = max(0, now - SETTLED + 1)
        recent = [second for at, second in self._seconds.items() if upto - WINDOW <= at < upto]
        length = min(WINDOW, upto)
        requests: Counter[tuple[str, ...]] = Counter()
        failures: Counter[tuple[str, ...]] = Counter()
        times: Counter[int] = Counter()
        for second in recent:
            requests.update(second.requests)
            failures.update(second.failures)
            times.update(second.times)
        for percent in (50, 95):
            families.add(
                f"locust_requests_current_response_time_percentile_{percent}",
                _quantile(times, Fraction(percent, 100)),
            )
        answered = sum(endpoint.requests for endpoint in self._endpoints.values())
        failed = sum(endpoint.failures for endpoint in self._endpoints.values())
        families.add("locust_requests_fail_ratio", failed / answered if answered else 0.0)
        for name, endpoint in self._endpoints.items():
            _collect_endpoint(families, name, endpoint)
            if length:
                families.add("locust_requests_current_rps", requests[name] / length, *name)
                families.add("locust_requests_current_fail_per_sec", failures[name] / length, *name)
        for labels, occurrences in self._errors.items():
            families.add("locust_errors", occurrences, *labels)

    def _second(self, number: int) -> _Second | None:
        """None for one that no current figure asks for any more."""
        if number <= self._newest - KEPT:
            return None
        self._newest = max(self._newest, number)
        if number not in self._seconds:
            self._seconds[number] = _Second()
            for old in [known for known in self._seconds if known <= self._newest - KEPT]:
                del self._seconds[old]
        return self._seconds[number]


def _collect_endpoint(families: Families, name: tuple[str, ...], endpoint: _Endpoint) -> None:
    def add(figure: str, value: float | None) -> None:
        families.add(f"locust_requests_{figure}", value, *name)

    requests = endpoint.requests
    add("num_requests", requests)
    add("num_failures", endpoint.failures)
    add("avg_response_time", endpoint.total_us / requests / 1_000)
    add("min_response_time", None if endpoint.min_us is None else endpoint.min_us / 1_000)
    add("max_response_time", None if endpoint.max_us is None else endpoint.max_us / 1_000)
    add("median_response_time", _quantile(endpoint.times, Fraction(1, 2)))
    add("avg_content_length", endpoint.bytes_received / requests)


def _quantile(times: Mapping[int, int], q: Fraction) -> int | None:
    """The smallest time whose cumulative count reaches ceil(q * count); None of nothing."""
    rank = max(1, -(-sum(times.values()) * q.numerator // q.denominator))
    seen = 0
    for time in sorted(times):
        seen += times[time]
        if seen >= rank:
            return time
    return None
