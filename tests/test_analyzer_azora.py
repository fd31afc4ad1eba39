"""Azora's summary: benchmarks with their status, compliance, patterns of failure and the trend."""

import re
from dataclasses import replace

import pytest
from reporting import REPORTS, failing, passing, timeline

from analyzer.formats.azora_summary import benchmarks, normal_survival, render
from analyzer.model import Event
from loadproof.measure.interval import Outcome

DOWN = (
    Event(25_000_000, "", "fault_begins", "database-down", ""),
    Event(30_000_000, "", "fault_ends", "database-down", ""),
)


def table(report, heading):
    """The cells of the first table below a heading, without its head."""
    part = render(report).decode().partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in part.splitlines() if line.startswith("|")]
    return rows[0], rows[2:]


def with_memory(report, size):
    rss = replace(report.resources[0], name="target.rss", max=size)
    return replace(report, resources=(rss,))


def test_the_benchmark_table_has_its_four_rows():
    """A20: metric, target and current status; what nothing measured is NO DATA."""
    heads, rows = table(replace(passing(), resources=()), "Benchmarks")

    assert heads == ["Metric", "Target", "Current Status"]
    assert [row[:2] for row in rows] == [
        ["Concurrent Users", "1,000"],
        ["Response Time", "< 500 ms"],
        ["Survival Rate", "> 95 %"],
        ["Memory Usage", "< 2 GB"],
    ]
    assert rows[0][2] == "100, NOT MET"
    assert rows[1][2].endswith(", met")
    assert rows[3][2] == "NO DATA"


@pytest.mark.parametrize(("size", "met"), [(1_999_999_999, True), (2_000_000_000, False)])
def test_memory_is_that_of_the_larger_side(size, met):
    """At the target itself it is not met: the source system says less than."""
    assert [one.met for one in benchmarks(with_memory(passing(), size))][3] is met


def test_survival_is_that_of_the_requests_that_no_fault_touched():
    """A16: what failed in a fault's window is left out."""
    report = passing()
    first, *others = report.series
    lost = replace(first, faults=("database-down",), outcome=Outcome.FAILED, requests=10**6)
    ok = sum(row.requests for row in others if row.outcome is Outcome.OK)

    assert normal_survival(replace(report, series=(lost, *others))) == pytest.approx(
        ok / sum(row.requests for row in others)
    )
    assert normal_survival(replace(report, series=())) is None


def test_compliance_has_its_four_parts():
    """A30: independence and survival by window, benchmarks, and what was validated; without faults there is no data."""
    rows = [row if row.second < 33 else timeline()[row.second] for row in timeline(fail_from=25)]
    broken = replace(failing(), events=DOWN, timeline=tuple(rows))
    _, found = table(broken, "Compliance Verification")
    _, calm = table(passing(), "Compliance Verification")

    assert [row[0] for row in found] == [
        "Infrastructure independence under load",
        "Survival during failure",
        "Performance benchmarks",
        "Continuous validation",
    ]
    assert found[1][1:] == ["`database-down` recovered in 3 s", "met"]
    assert found[3][2] == "NOT MET"
    assert [row[2] for row in calm][:2] == ["NO DATA"] * 2


def test_failures_and_trend_are_told():
    """A28, A29: every error with its times, and the run in four parts of equal length."""
    report = failing()
    _, errors = table(report, "Failure Patterns")
    _, parts = table(report, "Performance Trend")

    assert len(errors) == min(10, len(report.errors)) > 0
    assert len(parts) == 4
    assert re.fullmatch(r"0:00 to 0:\d\d", parts[0][0])
    assert all(f"- {hint.split('`')[0][:20]}" in render(report).decode() for hint in report.hints)


@pytest.mark.parametrize("make", REPORTS.values(), ids=REPORTS)
def test_every_report_has_a_summary(make):
    """Whatever a run lacks, each part is there."""
    text = render(make()).decode()

    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == [
        "Benchmarks",
        "Compliance Verification",
        "Failure Patterns",
        "Performance Trend",
    ]
    assert "None" not in text
