"""The two books of a run: requests as the scenarios made them, and exchanges as they went over the wire."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from loadproof.measure.interval import Exchanges
from loadproof.units import format_count, format_duration
from loadproof.verdict.evidence import SECOND_US

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadproof.measure.interval import Endpoint
    from loadproof.verdict.case import Case
    from loadproof.verdict.tallies import Worker


@dataclass(frozen=True)
class EndpointBook:
    """One endpoint, `POST /policies/:id`, on both sides of the wire."""

    endpoint: str
    answered: int
    unanswered: int
    counted: int | None
    """By the target; None where it does not count or names its endpoints otherwise."""


@dataclass(frozen=True)
class Gap:
    """A torn epoch: nothing is known of it after `from_us`."""

    worker: str
    region: str
    epoch: int
    from_us: int
    why: str
    in_flight: int = 0
    """Requests that the torn epochs of this worker together had begun and never told the end of."""


@dataclass(frozen=True)
class Books:
    """Counts over the whole run, warm-up and drain included."""

    started: int
    ok: int
    failed: int
    """With timeouts."""
    unfinished: int
    untracked: int
    answered: int
    unanswered: int
    target_counted: int | None
    by_endpoint: bool
    """Whether both sides name the same endpoints, so that each was compared; else only the totals were."""
    endpoints: tuple[EndpointBook, ...]
    locust_counted: int | None
    intervals_expected: int
    """One a second of the run for every planned worker, as far as the run got."""
    intervals_present: int
    workers_planned: int
    workers_seen: int
    workers_lost: int
    gaps: tuple[Gap, ...]
    differences: tuple[str, ...]
    """What does not add up, a sentence each; torn epochs are gaps, not differences."""
    unconnected: int = 0
    """Attempts that never had a connection, so that nothing of them went over the wire."""


def keep_books(case: Case) -> Books:
    """Add up both books and compare them with each other and with who else counted."""
    evidence, facts = case.evidence, case.facts
    workers = evidence.workers.values()
    counted = facts.target_counts
    endpoints = tuple(_endpoints(evidence.exchanges, counted))
    expected = -(-case.timeline.end_us // SECOND_US)
    planned = dict(facts.planned)
    seen = {*evidence.workers, *(epoch.worker for epoch in facts.epochs)}
    gaps = tuple(
        Gap(
            epoch.worker,
            epoch.region,
            epoch.epoch,
            epoch.last_us or 0,
            facts.lost.get(epoch.worker) or epoch.damage or "its journal has no end",
            _begun(evidence.workers.get(epoch.worker)),
        )
        for epoch in facts.epochs
        if not epoch.complete
    )
    return Books(
        started=sum(worker.started for worker in workers),
        ok=sum(worker.ok for worker in workers),
        failed=sum(worker.failed for worker in workers),
        unfinished=sum(worker.unfinished for worker in workers),
        untracked=evidence.untracked,
        answered=sum(exchanges.answered for exchanges in evidence.exchanges.values()),
        unanswered=sum(exchanges.unanswered for exchanges in evidence.exchanges.values()),
        target_counted=None if counted is None else sum(counted.values()),
        by_endpoint=all(book.counted is not None for book in endpoints) and counted is not None,
        endpoints=endpoints,
        locust_counted=facts.locust_counted,
        intervals_expected=expected * len(planned),
        intervals_present=sum(_present(case, worker, expected) for worker in planned),
        workers_planned=len(planned),
        workers_seen=len(seen & set(planned)),
        workers_lost=len({gap.worker for gap in gaps}),
        gaps=gaps,
        differences=tuple(_differences(case, endpoints)),
        unconnected=sum(exchanges.unconnected for exchanges in evidence.exchanges.values()),
    )


def _differences(case: Case, endpoints: tuple[EndpointBook, ...]) -> Iterator[str]:
    evidence, facts = case.evidence, case.facts
    torn = {epoch.worker for epoch in facts.epochs if not epoch.complete}
    intervals: dict[str, int] = {}
    for epoch in facts.epochs:
        intervals[epoch.worker] = intervals.get(epoch.worker, 0) + epoch.intervals
    for name in sorted({*evidence.workers, *intervals}):
        worker = evidence.workers.get(name)
        read = 0 if worker is None else len(worker.seconds)
        held = intervals.get(name, 0)
        if read != held:
            yield (
                f"the journals of {name} hold {format_count(held)} intervals, {format_count(read)} of them "
                "were judged"
            )
        if worker is not None and name not in torn and worker.started != worker.ended:
            yield (
                f"{name} started {format_count(worker.started)} requests and tells the end of "
                f"{format_count(worker.ended)}"
            )
    yield from _wire_differences(case, endpoints, is_torn=bool(torn))
    listed = sum(worker.ok + worker.failed for worker in evidence.workers.values())
    if facts.locust_counted is not None and not torn and facts.locust_counted != listed:
        yield (
            f"Locust's statistics hold {format_count(facts.locust_counted)} requests, the journals "
            f"{format_count(listed)}"
        )


def _wire_differences(case: Case, endpoints: tuple[EndpointBook, ...], *, is_torn: bool) -> Iterator[str]:
    """Answered <= counted <= answered + unanswered; with a torn epoch more may have been sent than is known."""
    counts = case.facts.target_counts
    if counts is None:
        return
    books = endpoints
    if any(book.counted is None for book in endpoints):
        answered = sum(book.answered for book in endpoints)
        unanswered = sum(book.unanswered for book in endpoints)
        what = "all endpoints together, since the target names them otherwise"
        books = (EndpointBook(what, answered, unanswered, sum(counts.values())),)
    for book in books:
        assert book.counted is not None
        least, most = book.answered, book.answered + book.unanswered
        if book.counted < least or (book.counted > most and not is_torn):
            expected = (
                format_count(least) if least == most else f"{format_count(least)} to {format_count(most)}"
            )
            yield (
                f"the target counted {format_count(book.counted)} requests on {book.endpoint}, where "
                f"{expected} were sent"
            )


def _endpoints(exchanges: dict[Endpoint, Exchanges], counted: dict[str, int] | None) -> list[EndpointBook]:
    ours: dict[str, Exchanges] = {}
    for endpoint, part in exchanges.items():
        # A user without a connection makes requests that never reach the wire.
        if part.answered or part.unanswered:
            ours.setdefault(_label(endpoint), Exchanges()).__iadd__(part)
    theirs = {name: count for name, count in (counted or {}).items() if count}
    is_same = counted is not None and ours.keys() == theirs.keys()
    return [
        EndpointBook(name, part.answered, part.unanswered, theirs[name] if is_same else None)
        for name, part in sorted(ours.items())
    ]


def _label(endpoint: Endpoint) -> str:
    """`POST /policies/:id`, whether the name was given with its method or without."""
    has_method = endpoint.name.startswith(f"{endpoint.method} ")
    return endpoint.name if has_method else f"{endpoint.method} {endpoint.name}"


def _present(case: Case, worker: str, expected: int) -> int:
    """Seconds of the run that a worker's intervals cover; one that closed late covers those it swallowed."""
    known = case.evidence.workers.get(worker)
    covered: set[int] = set()
    for second in known.seconds if known is not None else ():
        end_us = second.start_us + max(1, second.length_us)
        covered.update(range(second.second, max(second.second + 1, end_us // SECOND_US)))
    return sum(second < expected for second in covered)


def _begun(worker: Worker | None) -> int:
    """Requests without an end; an interval counts one as started that ends in a later one."""
    return 0 if worker is None else max(0, worker.started - worker.ended)


def gap_text(gap: Gap) -> str:
    begun = ""
    if gap.in_flight:
        begun = (
            f"what became of {format_count(gap.in_flight)} request{'s'[: gap.in_flight != 1]} in flight and "
        )
    return (
        f"{gap.worker} (epoch {gap.epoch}) is torn: its journal ends after {format_duration(gap.from_us)} of "
        f"the run without its closing record ({gap.why}), so {begun}what it did afterwards is unknown"
    )
