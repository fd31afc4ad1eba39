"""What each renderer promises beside its golden files."""

import base64
import csv
import hashlib
import io
import json
import math
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from junitparser import JUnitXml
from reporting import HOSTILE, REPORTS, compared, failing, hostile, invalid, passing

from analyzer import junit, metrics_csv, report_html, requests_csv, results_json, summary_md, text
from analyzer.model import Group
from analyzer.rows import MetricRow, MetricRows
from loadproof.verdict.result import Reason, RuleVerdict, Verdict

KEYS = {
    "rules": {
        *("rule", "statistic", "selector", "value", "operator", "limit", "goal", "margin", "samples"),
        *("confidence", "verdict", "reason"),
    },
    "totals": {
        *("requests", "failures", "unfinished", "rate_per_s", "peak_rate_per_s", "error_ratio", "latency_ms"),
        *("bytes_received", "bytes_sent", "first_byte_ms"),
    },
    "accounting": {
        *("started", "ok", "failed", "unfinished", "dropped_arrivals", "exchanges_answered"),
        *("exchanges_unanswered", "target_counted", "locust_counted", "intervals_expected"),
        *("intervals_present", "workers_planned", "workers_seen", "workers_lost"),
        *("exchanges_unconnected", "dropped_no_user", "dropped_late"),
    },
    "generator": {
        *("cpu_ratio_max", "pacer_lag_ms_p99", "receive_lag_ms_p99", "clock_offset_ms_max", "clock"),
        "user_wait_ms_p99",
    },
}
"""The contract of results.json."""
TOP = {
    *(
        "schema_version",
        "verdict",
        "reasons",
        "rules",
        "totals",
        "by_scenario",
        "by_region",
        "by_name",
        "by_phase",
    ),
    *("checks", "accounting", "generator", "faults", "guards", "resources", "plan", "manifest"),
}


def document(report):
    return json.loads(
        results_json.render(report), parse_constant=lambda word: pytest.fail(f"{word} is no JSON")
    )


@pytest.mark.parametrize("report", REPORTS)
def test_results_json_has_the_keys_of_the_contract(report):
    """Every key that other programs read is there, whatever the verdict."""
    found = document(REPORTS[report]())

    assert set(found) >= TOP
    assert all(set(rule) >= KEYS["rules"] for rule in found["rules"])
    assert all(set(found[part]) >= KEYS[part] for part in ("totals", "accounting", "generator"))
    assert set(found["totals"]["latency_ms"]) == {"mean", "p50", "p90", "p95", "p99", "p99_9", "max"}
    assert all(set(check) >= {"passed", "failed", "ratio"} for check in found["checks"].values())


def test_results_json_is_plain_ascii_with_whole_names():
    """Hostile names stand in results.json complete and escaped: no control or direction mark is in the file."""
    long = "GET " + "n" * 10_000
    report = replace(hostile(), by_name=(Group(long, passing().totals),))
    rendered = results_json.render(report)

    assert all(byte in b"\n" or 32 <= byte < 127 for byte in rendered)
    assert list(json.loads(rendered)["by_name"]) == [long]
    assert set(json.loads(rendered)["checks"]) == set(HOSTILE)


def test_an_unbounded_value_is_null_in_results_json():
    """Infinity is no JSON number: a bound that is not finite is null, and the finite one stays."""
    found = document(failing())

    assert found["rules"][0]["value"] is None
    assert found["rules"][0]["confidence"] == [391.0, None]
    assert found["rules"][5]["limit"] == [0.5, 0.8]


@pytest.mark.parametrize("report", REPORTS)
def test_dropped_arrivals_are_those_of_either_cause(report):
    """What was dropped is the sum of what the target and what the generator caused."""
    found = document(REPORTS[report]())["accounting"]

    assert found["dropped_arrivals"] == found["dropped_no_user"] + found["dropped_late"]


@pytest.mark.parametrize("render", [summary_md.render, lambda made: report_html.page(made, [])])
def test_people_read_of_connections_and_drops_only_where_there_are_any(render):
    """The table of durations, the attempts without a connection and the drops stand in the report that has them."""
    told = render(failing()).decode()
    silent = render(replace(passing(), durations=())).decode()

    for words in (
        "Connections and WebSockets",
        "never had a connection, so nothing on the wire: 12.",
        "dropped: 83 of 14,229; 80 as no user",
    ):
        assert words in told
        assert words not in silent
    assert "round trip" in told


def test_latencies_are_milliseconds_and_units_are_named():
    """A limit of 250,000 µs is 250 with the unit ms; ratios stay ratios."""
    rule, ratio = document(passing())["rules"][:2]

    assert (rule["unit"], rule["limit"], rule["value"]) == ("ms", 250.0, 36.0)
    assert (ratio["unit"], ratio["limit"]) == ("ratio", 0.01)


@pytest.mark.parametrize("render", [requests_csv.render, metrics_csv.render])
@pytest.mark.parametrize("report", REPORTS)
def test_csv_files_are_tables(render, report):
    """Each row has as many cells as the head, one line each, and counts read as numbers."""
    rendered = render(REPORTS[report]()).decode()
    rows = list(csv.reader(io.StringIO(rendered)))

    assert len({len(row) for row in rows}) == 1
    assert len(rendered.splitlines()) == len(rows) > (report != "empty")
    assert all(int(row[rows[0].index("requests")]) > 0 for row in rows[1:])


def test_metrics_csv_is_the_same_in_pieces():
    """Rows beyond one piece and one packed chunk come out in order and complete."""
    rows = [
        MetricRow(second, "r", "s", "GET", "/" * 90, "ok", "p", 1, 1.5, 1, 2, 3, 4, 5)
        for second in range(9_000)
    ]
    report = replace(passing(), metric_rows=MetricRows.of(rows))

    assert len(list(metrics_csv.chunks(report))) > 1
    assert list(report.metric_rows) == rows
    read = csv.DictReader(io.StringIO(metrics_csv.render(report).decode()))
    assert [int(row["second"]) for row in read] == list(range(9_000))


def test_metrics_csv_shows_a_name_that_is_no_unicode():
    """A lone surrogate, as of a URL that was decoded from odd bytes, comes through the packing and is escaped."""
    row = MetricRow(0, "r", "s", "GET", "/\udcff", "ok", "p", 1, 1.5, 1, 2, 3, 4, 5)
    report = replace(passing(), metric_rows=MetricRows.of([row]))

    assert list(report.metric_rows) == [row]
    assert "/\\udcff" in metrics_csv.render(report).decode()


@pytest.mark.parametrize("report", REPORTS)
def test_junit_is_well_formed_with_a_case_a_rule(report):
    """An XML parser reads junit.xml; there is one testcase a rule and one for validity, and sums agree."""
    made = REPORTS[report]()
    rendered = junit.render(made)
    root = ET.fromstring(rendered)
    suite = next(iter(JUnitXml.fromstring(rendered)))
    cases = root.findall(".//testcase")

    assert len(cases) == len(made.rules) + 1 == suite.tests
    assert (
        suite.failures
        == len(root.findall(".//failure"))
        == sum(r.verdict is RuleVerdict.FAIL for r in made.rules)
    )
    assert suite.errors == len(root.findall(".//error"))


def test_junit_says_how_each_rule_ended():
    """FAIL is a failure, NO_DATA an error, optional NO_DATA is skipped, WARN passes with output."""
    base = passing()
    verdicts = (RuleVerdict.FAIL, RuleVerdict.NO_DATA, RuleVerdict.WARN, RuleVerdict.PASS)
    rules = tuple(replace(base.rules[0], rule=verdict.value, verdict=verdict) for verdict in verdicts)
    root = ET.fromstring(junit.render(replace(base, rules=(*rules, base.rules[5]))))
    inside = {case.get("name"): [child.tag for child in case] for case in root.iter("testcase")}

    assert inside["FAIL"] == ["failure"]
    assert inside["NO_DATA"] == ["error"]
    assert inside["WARN"] == inside["PASS"] == ["system-out"]
    assert inside[base.rules[5].rule] == ["skipped"]
    assert inside["the run is valid"] == []


def test_junit_has_a_failure_wherever_the_run_fails():
    """A search whose lowest load breaks a rule is FAIL without a rule that says so, and no CI may show it green."""
    text = "even the lowest load that the search tried broke p95 <= 1s"
    base = passing()
    passed = tuple(rule for rule in base.rules if rule.verdict is RuleVerdict.PASS)
    failed = replace(
        base, rules=passed, verdict=Verdict.FAIL, reasons=(Reason(Verdict.FAIL, "search", text),)
    )
    root = ET.fromstring(junit.render(failed))

    assert root.get("failures") == "1"
    assert root.find(".//testcase[@name='the run is valid']/failure").get("message") == text


def test_junit_reports_an_invalid_run_as_an_error():
    """An INVALID run is an error of its own testcase, naming the first reason."""
    root = ET.fromstring(junit.render(invalid()))
    case = next(case for case in root.iter("testcase") if case.get("name") == "the run is valid")

    assert case.find("error").get("message").startswith("eu-west-1-01 epoch 1 has no end")


def test_the_terminal_says_the_verdict_first_and_where_the_report_is_last(tmp_path):
    """The first word is the verdict, the last line the report's path, and nothing steers the terminal."""
    found = text.lines(hostile(), tmp_path / "report.html")

    assert found[0].text.startswith("FAIL ")
    assert found[-1].text.endswith("report.html")
    assert all(line.text.isprintable() for line in found)


def test_the_terminal_counts_what_it_leaves_out():
    """With more reasons than fit, the rest is counted."""
    reasons = tuple(Reason(Verdict.INVALID, "torn_epoch", f"epoch {number} is torn") for number in range(40))
    found = [line.text for line in text.lines(replace(invalid(), reasons=reasons))]

    assert "  and 28 more in the report" in found
    assert sum("is torn" in line for line in found) == 12


def test_a_rule_stands_once_on_the_terminal():
    """A reason that only repeats a rule's line is not printed beside it."""
    lines = [line.text for line in text.lines(failing())]

    assert sum("error_ratio <= 1%" in line for line in lines) == 1


@pytest.mark.parametrize("report", REPORTS)
def test_markdown_tables_have_even_rows(report):
    """Every table row of summary.md has as many cells as its head, whatever the names."""
    width = None
    for line in summary_md.render(REPORTS[report]()).decode().splitlines():
        cells = line.replace("\\|", "").count("|") if line.startswith("| ") else None
        assert cells is None or width in (None, cells)
        width = cells


def test_long_names_are_cut_for_display():
    """A name of ten thousand characters fills no page, and its ellipsis says that it is cut."""
    report = replace(passing(), by_name=(Group("GET /" + "n" * 10_000, passing().totals),))
    for render in (summary_md.render, lambda made: report_html.page(made, [])):
        rendered = render(report).decode()

        assert "n" * 200 not in rendered
        assert "nnn…" in rendered


def test_an_infinite_confidence_bound_is_readable():
    """A bound above every measured value shows as infinity, never as `inf` or a wrong number."""
    rule = replace(passing().rules[0], confidence=(1_000.0, math.inf))

    assert "1 ms to ∞" in summary_md.render(replace(passing(), rules=(rule,))).decode()


def test_the_page_has_each_row_of_a_comparison_in_its_unit():
    """The word, what differs, both values, the change with its interval and the noise, for every endpoint."""
    page = report_html.page(replace(passing(), comparison=compared(HOSTILE)), []).decode()
    section = page[page.index('<section id="comparison"') :].partition("</section>")[0]

    assert "Beside the baseline: worse" in section
    assert section.count("46 ms") == len(HOSTILE) + 1
    assert "+27.8 %" in section
    assert "+21 % to +35 %" in section
    assert section.count("cannot tell</span>") == len(HOSTILE)
    assert "<script>" not in section
    assert "comparison" not in report_html.page(passing(), []).decode().partition("<script")[0]


def test_html_escapes_every_name():
    """The page of a hostile run holds no element and no attribute that a name brought in, and one script of ours."""
    page = report_html.page(hostile(), []).decode()
    data = page.partition('id="chart-data">')[2].partition("</script>")[0]

    assert page.count("<script") == page.count("</script>") == 2
    assert not set("<>&") & set(data)
    assert [name for name, *_ in json.loads(data)["phases"]] == [
        "<script>alert(1)</scrip…",
        '=cmd|"/C calc"!A0',
    ]
    assert "<b>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "{{ 7*7 }}" in page
    assert all(mark not in page for mark in "\u202e\u2066\x07\x00\x1b\ufffe")


def test_the_page_lets_only_its_own_script_run():
    """The policy names the hash of the very script that the page ends with, and allows nothing else to run or load."""
    page = report_html.page(hostile(), []).decode()
    script = page.rpartition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = page.partition('http-equiv="Content-Security-Policy" content="')[2].partition('"')[0]

    assert policy == (
        f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'"
    )


@pytest.mark.parametrize(
    "manifest",
    [
        {},
        {
            "run_length_us": "long",
            "command": "rm",
            "versions": [],
            "machine": 7,
            "git": "<b>",
            "seed": {"a": 1},
        },
        {
            "run_length_us": True,
            "command": [1, None, {}],
            "versions": {"<b>": {"<b>": "<b>"}},
            "started_utc": ["<b>"],
        },
    ],
)
def test_a_manifest_of_any_shape_is_rendered(manifest):
    """A manifest that is missing or nonsense breaks no renderer and smuggles nothing in."""
    report = replace(invalid(), manifest=manifest)

    assert document(report)["manifest"] == manifest
    assert "INVALID" in summary_md.render(report).decode()
    assert junit.render(report)
    assert "<b>" not in report_html.page(report, []).decode()
