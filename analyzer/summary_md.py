"""summary.md: what a pull request needs, from the verdict and its reasons to the counts and totals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.escape import markdown_code, markdown_text
from analyzer.wording import (
    VERDICT_MEANS,
    after_text,
    ahead_text,
    books_text,
    by_weight,
    change_text,
    clock_text,
    confidence_text,
    count_rows,
    endpoint_text,
    growth_text,
    limit_text,
    loads_text,
    lost_text,
    second_text,
    value_text,
)
from loadproof.units import ABSENT, format_bytes, format_count, format_duration, format_rate, format_ratio
from loadproof.verdict.drift import DriftWord
from loadproof.verdict.search import Word

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from analyzer.model import Report, Totals
    from loadproof.verdict.compared import Compared

_PROBE_ENDS: Final = {Word.HELD: "held", Word.BROKE: "broke", Word.NOTHING: "says nothing"}
_GROUP_ROWS: Final = 25
_TEXT_LIMIT: Final = 300


def render(report: Report) -> bytes:
    parts = [
        _head(report),
        _reasons(report),
        _rules(report),
        _search(report),
        _comparison(report),
        _faults(report),
        _counts(report),
        _totals(report),
        *_groups(report),
        _drift(report),
        _durations(report),
    ]
    parts += [_checks(report), _errors(report), _notes(report), _origin(report)]
    return ("\n\n".join(part for part in parts if part) + "\n").encode()


def _head(report: Report) -> str:
    title = markdown_text(report.title, 120) or markdown_code(report.name)
    return f"## {report.verdict.value}: {title}\n\n{VERDICT_MEANS[report.verdict]}"


def _reasons(report: Report) -> str:
    lines = [
        f"- **{reason.verdict.value}** {markdown_text(reason.text, _TEXT_LIMIT)}"
        for reason in by_weight(report.reasons)
    ]
    lines += [f"- *Do first:* {markdown_text(advice, _TEXT_LIMIT)}" for advice in report.advice[:1]]
    lines += [f"- *Hint:* {markdown_text(hint, _TEXT_LIMIT)}" for hint in report.hints]
    return "\n".join(lines)


def _rules(report: Report) -> str:
    if not report.rules:
        return "### Rules\n\nThe plan has no rules."
    rows = [
        (
            rule.verdict.value,
            markdown_code(rule.rule, 90)
            + (" (implied)" if rule.implied else "")
            + (" (optional)" if rule.optional else ""),
            value_text(rule.unit, rule.value),
            f"{markdown_text(rule.operator)} {limit_text(rule)}",
            markdown_text(rule.goal, 40) if rule.goal else ABSENT,
            format_ratio(rule.margin),
            format_count(rule.samples),
            confidence_text(rule),
        )
        for rule in report.rules
    ]
    heads = ("", "rule", "value", "limit", "goal", "margin", "samples", "95 % interval")
    return "### Rules\n\n" + _table(heads, rows, numbers_from=2)


def _faults(report: Report) -> str:
    if not report.faults:
        return ""
    rows = [
        (
            markdown_code(fault.name, 63),
            clock_text(fault.begin_us),
            ABSENT if fault.end_us is None else clock_text(fault.end_us),
            after_text(fault.detection_us),
            format_ratio(fault.ok / fault.requests if fault.requests else None),
            f"never in {format_duration(fault.watched_us)}"
            if fault.recovered is False
            else after_text(fault.recovery_us),
            format_ratio(fault.overshoot),
            format_ratio(fault.residue),
            format_ratio(fault.budget_burnt),
        )
        for fault in report.faults[:_GROUP_ROWS]
    ]
    heads = (
        "fault",
        "from",
        "to",
        "showed after",
        "worked",
        "recovered after",
        "overshoot",
        "residue",
        "budget burnt",
    )
    left = len(report.faults) - _GROUP_ROWS
    more = f"\n\nand {left} more in `results.json`" if left > 0 else ""
    return "### Faults\n\n" + _table(heads, rows, numbers_from=1) + more


def _search(report: Report) -> str:
    found = report.search
    if found is None:
        return ""
    rows = [
        (
            format_count(load),
            _PROBE_ENDS[probe.word],
            format_rate(probe.rate_per_s),
            value_text("us", probe.p95_us),
            format_ratio(probe.error_ratio),
            markdown_text(probe.why, 160),
        )
        for probe, load in zip(found.probes, found.loads, strict=True)
    ]
    heads = (loads_text(found), "ended", "ok rate", "P95", "errors", "why")
    table = _table(heads, rows, numbers_from=len(heads))
    return (
        f"### Search\n\n{markdown_text(found.text, 2 * _TEXT_LIMIT)}\n\n"
        f"<details><summary>{len(rows)} probes</summary>\n\n{table}\n\n</details>"
    )


def _comparison(report: Report) -> str:
    found = report.comparison
    if found is None:
        return ""
    runs = ", ".join(markdown_code(run, 80) for run in found.baselines)
    lines = [f"### Beside {runs}: {found.word}", markdown_text(found.text, 2 * _TEXT_LIMIT)]
    lines += [f"- {markdown_text(unlike, _TEXT_LIMIT)}" for unlike in found.unlike]
    rows = [_compared_cells("", row) for row in found.rules]
    rows += [
        _compared_cells(endpoint.name, row)
        for endpoint in found.endpoints[:_GROUP_ROWS]
        for row in endpoint.rows
    ]
    if rows:
        heads = ("", "where", "what", "baseline", "this run", "change", "95 % interval", "noise")
        left = len(found.endpoints) - _GROUP_ROWS
        more = f"\n\nand {left} more endpoints in `results.json`" if left > 0 else ""
        table = _table(heads, rows, numbers_from=3)
        lines.append(f"<details><summary>Every comparison</summary>\n\n{table}{more}\n\n</details>")
    return "\n\n".join(lines)


def _compared_cells(where: str, row: Compared) -> tuple[str, ...]:
    return (
        row.word.value,
        markdown_code(where, 60) if where else "",
        markdown_code(row.what, 90),
        value_text(row.unit, row.baseline),
        value_text(row.unit, row.value),
        change_text(row.unit, row.change),
        ABSENT if row.interval is None else " to ".join(change_text(row.unit, end) for end in row.interval),
        f"± {change_text(row.unit, row.noise).lstrip('+')}",
    )


def _counts(report: Report) -> str:
    rows = [(markdown_text(label, 300), value) for label, value in count_rows(report)]
    table = _table(("who counted", "requests"), rows, numbers_from=1)
    return (
        f"### Requests counted four times\n\n{table}\n\n{' '.join((books_text(report), *lost_text(report)))}"
    )


def _totals(report: Report) -> str:
    phases = ", ".join(markdown_code(name, 40) for name in report.judged_phases)
    totals = report.totals
    rows = [
        ("requests", format_count(totals.requests)),
        ("failures", f"{format_count(totals.failures)} ({format_count(totals.timeouts)} timeouts)"),
        ("unfinished", format_count(totals.unfinished)),
        ("rate", format_rate(totals.rate_per_s)),
        ("peak rate over 10 s", format_rate(totals.peak_rate_per_s)),
        ("error ratio", format_ratio(totals.error_ratio)),
        ("received", format_bytes(totals.bytes_received)),
        ("sent", format_bytes(totals.bytes_sent)),
    ]
    if totals.latency is not None:
        of = totals.latency
        rows += [
            ("mean", format_duration(of.mean_us)),
            ("P50", format_duration(of.p50_us)),
            ("P95", format_duration(of.p95_us)),
            ("P99", format_duration(of.p99_us)),
            ("P99.9", format_duration(of.p99_9_us)),
            ("max", format_duration(of.max_us)),
        ]
    about = (
        f"The judged phases: {phases}. Latencies are those of ok requests."
        if phases
        else "No phase is judged."
    )
    return f"### Totals\n\n{about}\n\n" + _table(("", "value"), rows, numbers_from=1)


def _groups(report: Report) -> Iterable[str]:
    tables = (
        ("By phase", report.by_phase),
        ("By region", report.by_region),
        ("By scenario", report.by_scenario),
        ("By endpoint", report.by_name),
    )
    heads = ("", "requests", "failures", "ok rate", "P50", "P95", "P99", "max")
    for title, groups in tables:
        if groups:
            rows = [
                (
                    markdown_code(group.name, 80) + (" (warm-up)" if group.warmup else ""),
                    *_cells(group.totals),
                )
                for group in groups
            ]
            more = (
                f"\n\nand {len(rows) - _GROUP_ROWS} more in `results.json`" if len(rows) > _GROUP_ROWS else ""
            )
            table = _table(heads, rows[:_GROUP_ROWS], numbers_from=1)
            yield f"<details><summary>{title}</summary>\n\n{table}{more}\n\n</details>"


def _cells(totals: Totals) -> tuple[str, ...]:
    of = totals.latency
    latencies = (None, None, None, None) if of is None else (of.p50_us, of.p95_us, of.p99_us, of.max_us)
    return (
        format_count(totals.requests),
        format_count(totals.failures),
        format_rate(totals.rate_per_s),
        *(format_duration(latency) for latency in latencies),
    )


def _drift(report: Report) -> str:
    if not report.drift:
        return ""
    rows = []
    for row in report.drift[:_GROUP_ROWS]:
        hourly, interval = growth_text(row.unit, row.per_hour)
        requests, _ = growth_text(row.unit, row.per_requests)
        ahead = markdown_text(ahead_text(row), 120)
        rows.append((row.word.value, markdown_code(row.name, 80), hourly, interval, requests, ahead))
    left = len(report.drift) - _GROUP_ROWS
    more = f"\n\nand {left} more in `results.json`" if left > 0 else ""
    heads = ("", "what", "per hour", "95 % interval", "per 1,000 requests", "comes to")
    grows = [row.name for row in report.drift if row.word is DriftWord.GROWS]
    said = f": {len(grows)} of {len(report.drift)} grow" if grows else ""
    table = _table(heads, rows, numbers_from=2)
    return f"<details><summary>Drift{said}</summary>\n\n{table}{more}\n\n</details>"


def _durations(report: Report) -> str:
    if not report.durations:
        return ""
    rows = [
        (
            row.timed.value.replace("_", " "),
            markdown_code(row.name, 80),
            format_count(row.count),
            *(format_duration(us) for us in (of.p50_us, of.p95_us, of.p99_us, of.max_us)),
        )
        for row in report.durations[:_GROUP_ROWS]
        for of in (row.latency,)
    ]
    left = len(report.durations) - _GROUP_ROWS
    more = f"\n\nand {left} more in `results.json`" if left > 0 else ""
    table = _table(("", "where", "count", "P50", "P95", "P99", "max"), rows, numbers_from=2)
    return f"<details><summary>Connections and WebSockets</summary>\n\n{table}{more}\n\n</details>"


def _checks(report: Report) -> str:
    if not report.checks:
        return ""
    rows = [
        (
            markdown_code(check.name, 80),
            format_ratio(check.ratio),
            format_count(check.passed),
            format_count(check.failed),
            format_count(check.skipped),
        )
        for check in report.checks[:_GROUP_ROWS]
    ]
    return "### Checks\n\n" + _table(
        ("check", "passed of executed", "passed", "failed", "skipped"), rows, numbers_from=1
    )


def _errors(report: Report) -> str:
    if not report.errors:
        return ""
    rows = [
        (
            format_count(error.count),
            markdown_code(endpoint_text(error.method, error.name), 60) if error.name else "a task",
            markdown_code(error.message, 120),
            second_text(error.first_s),
            second_text(error.last_s),
        )
        for error in report.errors[:10]
    ]
    more = f"\n\nand {len(report.errors) - 10} more in `results.json`" if len(report.errors) > 10 else ""
    return (
        "### Errors\n\n"
        + _table(("count", "where", "what", "first seen", "last seen"), rows, numbers_from=3)
        + more
    )


def _notes(report: Report) -> str:
    return "\n".join(f"- Note: {markdown_text(note, _TEXT_LIMIT)}" for note in report.notes)


def _origin(report: Report) -> str:
    command = report.manifest.get("command")
    words = " ".join(str(word) for word in command) if isinstance(command, list) else ""
    lines = [f"Run {markdown_code(report.run)} at {markdown_code(report.plan.target)}"]
    length = report.manifest.get("run_length_us")
    if isinstance(length, int):
        lines[0] += f", {clock_text(length)} long"
    if words:
        lines.append(f"Again: {markdown_code(words, 400)}")
    return "  \n".join(lines)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, numbers_from: int) -> str:
    """A GFM table; columns from `numbers_from` on are aligned to the right."""
    marks = ["---:" if column >= numbers_from else "---" for column in range(len(heads))]
    lines = [heads, marks, *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
