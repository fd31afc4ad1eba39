"""The tabs that loadproof adds to Locust's web UI: one run's regions, rules, phases and accounting, as they stand."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from distributed.live import LiveTotals
from distributed.placement import seats
from distributed.web.tables import (
    RULE_COLUMNS,
    accounting,
    final_rule,
    in_unit,
    live_rule,
    marked,
    rule_row,
    state_cell,
    table,
)
from loadproof.plan.edits import users_edits
from loadproof.plan.model import RATE_PERIOD_S
from loadproof.plan.profile import phase_at, phase_spans, users_at
from loadproof.units import format_count, format_duration, format_rate, format_ratio

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from distributed.master import Master
    from distributed.placement import Seat
    from distributed.trouble import Trouble
    from distributed.web.tables import Cell
    from loadproof.measure.interval import Interval
    from loadproof.plan.model import Phase, Plan

REGION_COLUMNS: Final = ("Region", "Workers", "Users", "Rate, ok", "P95", "P99", "Failed", "Failed, all")
JUDGED_REGION_COLUMNS: Final = ("Region", "Rate, ok", "P95", "P99", "Failed", "Failed, all")
PHASE_COLUMNS: Final = ("Phase", "From", "To", "Load", "Judged", "State")
FAULT_COLUMNS: Final = ("Fault", "Kind", "From", "To", "State")
COUNTED_LATER: Final = "asked after the end, where the target counts"


class Tabs:
    """Of one run: told every interval, and asked by every page that is open."""

    def __init__(self, plan: Plan, trouble: Trouble) -> None:
        self.plan = plan
        self._trouble = trouble
        self._master: Master | None = None
        self._regions = {region.name: LiveTotals() for region in plan.regions}
        self._all = LiveTotals()
        self._in_flight: dict[str, int] = {}
        """Worker -> as of its last interval."""
        self._started = self._ok = self._failed = self._unfinished = self._dropped = 0
        self._intervals = self._seconds = 0
        self._results: Mapping[str, Any] | None = None

    def follow(self, master: Master) -> None:
        """Tell of this master's run from now on."""
        self._master = master

    def add(self, seat: Seat, interval: Interval) -> None:
        """One second of a worker of the plan."""
        self._regions[seat.region].add(seat.worker, interval)
        self._all.add(seat.worker, interval)
        ended = interval.ended()
        self._started += interval.started
        self._ok += ended.ok
        self._failed += ended.failed
        self._unfinished += ended.unfinished
        self._dropped += sum(one.no_user + one.late for one in interval.arrivals.values())
        self._in_flight[seat.worker] = interval.in_flight
        self._intervals += 1
        self._seconds = max(self._seconds, interval.second + 1)

    def judged(self, folder: Path) -> str | None:
        """Go by the results in the folder from now on; the verdict, or None where there are none."""
        try:
            results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
            verdict = str(results["verdict"])
        except (OSError, ValueError, KeyError):
            return None
        self._results = results
        return verdict

    @property
    def now_us(self) -> int | None:
        """Run time; None before it begins."""
        clock = None if self._master is None else self._master.load.clock
        return None if clock is None or clock.now_us() < 0 else clock.now_us()

    def where(self) -> str:
        """How far the run is, in one line."""
        now = self.now_us
        return self._where(now, None if now is None else phase_at(self.plan.load, now))

    def document(self) -> dict[str, Any]:
        """Every tab's tables, as the page draws them."""
        return {
            "regions": self._region_tables(),
            "rules": self._rule_tables(),
            "phases": self._phase_tables(),
            "accounting": self._accounting_tables(),
        }

    def _region_tables(self) -> list[dict[str, Any]]:
        if self._results is not None:
            groups = self._results["by_region"]
            rows = [_judged_region(name, groups[name]) for name in groups]
            return [table("Regions", JUDGED_REGION_COLUMNS, rows, "Of the whole run but its warm-up.")]
        at_work = [] if self._master is None else self._master.roster.at_work()
        for seat in set(seats(self.plan.regions)) - set(at_work):
            # Who is gone has neither users nor requests in flight, whatever it said last.
            self._regions[seat.region].forget(seat.worker)
            self._all.forget(seat.worker)
            self._in_flight.pop(seat.worker, None)
        rows = [
            _region(
                region.name,
                self._regions[region.name],
                sum(seat.region == region.name for seat in at_work),
                region.workers,
            )
            for region in self.plan.regions
        ]
        if len(rows) > 1:
            planned = sum(region.workers for region in self.plan.regions)
            rows.append(_region("all", self._all, len(at_work), planned))
        note = "Rate and latencies of ok requests over the last 10 s; failures since the start."
        return [table("Regions", REGION_COLUMNS, rows, note)]

    def _rule_tables(self) -> list[dict[str, Any]]:
        if self._results is not None:
            final = [final_rule(rule) for rule in self._results["rules"]]
            reasons = [[state_cell(one["verdict"]), one["text"]] for one in self._results["reasons"]]
            told = [table(f"Why the run is {self._results['verdict']}", (), reasons)] if reasons else []
            return [*told, table("Rules", _past(), final, "As judged in the report.")]
        results = self._trouble.results
        note = "As if the run ended now; judged anew every few seconds."
        if results:
            return [table("Rules", RULE_COLUMNS, [live_rule(one) for one in results], note)]
        waiting = [
            rule_row(rule.text, "NO_DATA", None, "", None, "count", None, None, None, "nothing to judge yet")
            for rule in self.plan.rules
        ]
        return [table("Rules", RULE_COLUMNS, waiting, note)]

    def _phase_tables(self) -> list[dict[str, Any]]:
        now = self.now_us
        current = None if now is None else phase_at(self.plan.load, now)
        rows = []
        for phase, start, end in phase_spans(self.plan.load):
            state = marked("to come", "none")
            if now is not None and now >= end:
                state = marked("over", "none")
            elif phase is current and self._results is None:
                state = marked("now", "pass")
            judged = "no, warm-up" if phase.warmup else "yes"
            rows.append([phase.name, _instant(start), _instant(end), _load(phase), judged, state])
        timeline = {
            "timeline": [
                {"name": phase.name, "share": phase.duration_us / self.plan.duration_us}
                for phase in self.plan.load
            ],
            "at": None if now is None else min(1.0, now / self.plan.duration_us),
            "title": self._where(now, current),
        }
        edits = [
            [f"from {format_duration(edit.at_us)} to the end", f"{format_count(edit.load)} users"]
            for edit in users_edits(self.plan.load)
        ]
        what = "Users edited by hand" if self.plan.search is None else "Users as the search has set them"
        edited = [table(what, (), edits)] if edits else []
        return [timeline, table("Phases", PHASE_COLUMNS, rows), *edited, self._faults(now)]

    def _faults(self, now: int | None) -> dict[str, Any]:
        rows: list[list[Cell]] = []
        for fault in self.plan.faults:
            state = marked("to come", "none")
            if now is not None and now >= fault.until_us:
                state = marked("over", "none")
            elif now is not None and now >= fault.at_us and self._results is None:
                state = marked("now", "fail")
            rows.append([fault.name, fault.kind, _instant(fault.at_us), _instant(fault.until_us), state])
        return table("Faults", FAULT_COLUMNS if rows else (), rows, "This plan injects no faults.")

    def _where(self, now: int | None, current: Phase | None) -> str:
        if now is None:
            return f"{format_duration(self.plan.duration_us)} to run, not begun"
        if current is None:
            return f"The plan is over after {format_duration(self.plan.duration_us)}"
        left = format_duration(self.plan.duration_us - now)
        planned = format_count(users_at(self.plan.load, now))
        return f"{current.name}: {format_duration(now)} run, {left} left, {planned} users planned now"

    def _accounting_tables(self) -> list[dict[str, Any]]:
        if self._results is not None:
            books = self._results["accounting"]
            return accounting(
                started=books["started"],
                ok=books["ok"],
                failed=books["failed"],
                unfinished=books["unfinished"],
                dropped=books["dropped_arrivals"],
                in_flight=None,
                expected=books["intervals_expected"],
                present=books["intervals_present"],
                counted=books["target_counted"],
                counted_note=books["target_counted_note"] or "of the requests that carried this run's header",
                differences=books["differences"],
            )
        planned = sum(region.workers for region in self.plan.regions)
        return accounting(
            started=self._started,
            ok=self._ok,
            failed=self._failed,
            unfinished=self._unfinished,
            dropped=self._dropped,
            in_flight=sum(self._in_flight.values()),
            expected=planned * self._seconds,
            present=self._intervals,
            counted=None,
            counted_note=COUNTED_LATER,
        )


def _region(name: str, live: LiveTotals, up: int, planned: int) -> list[Cell]:
    figures = live.figures(max(1, up))
    ratio = live.failures / live.requests if live.requests else None
    workers = f"{up} of {planned}"
    return [
        name,
        workers if up == planned else marked(workers, "fail"),
        format_count(live.users),
        format_rate(figures.rate_per_s),
        format_duration(figures.p95_us),
        format_duration(figures.p99_us),
        marked(format_ratio(ratio), "fail") if live.failures else format_ratio(ratio),
        f"{format_count(live.failures)} of {format_count(live.requests)}",
    ]


def _judged_region(name: str, totals: Mapping[str, Any]) -> list[Cell]:
    """A region of `results.json`."""
    latency = totals["latency_ms"]
    return [
        name,
        format_rate(totals["rate_per_s"]),
        in_unit(latency["p95"], "ms"),
        in_unit(latency["p99"], "ms"),
        format_ratio(totals["error_ratio"]),
        f"{format_count(totals['failures'])} of {format_count(totals['requests'])}",
    ]


def _instant(at_us: int) -> str:
    return format_duration(at_us) if at_us else "0 s"


def _load(phase: Phase) -> str:
    users = format_count(phase.users_to)
    if phase.users_from != phase.users_to:
        users = f"{format_count(phase.users_from)} to {users}"
    if phase.arrivals_from is None or phase.arrivals_to is None:
        return f"{users} users"
    rates = [format_rate(number / RATE_PERIOD_S) for number in (phase.arrivals_from, phase.arrivals_to)]
    return f"{' to '.join(dict.fromkeys(rates))} arrivals, {users} users"


def _past() -> list[str]:
    return ["Value" if column == "Value so far" else column for column in RULE_COLUMNS]
