"""The other forms of a report: the source systems' names and keys, HdrHistogram's log, OpenMetrics."""

import csv
import io
import json
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader
from made_runs import make_requests, make_run
from reporting import REPORTS, failing, hostile, passing, timeline

from analyzer.formats import acgs, azora, codepal, writing
from analyzer.formats.exports import FORMATS, export
from analyzer.model import Event
from analyzer.report import analyse
from analyzer.windows import fault_windows
from loadproof.errors import ExitCode, RunFolderError
from loadproof.measure.histogram import bucket_index
from loadproof.measure.interval import Outcome
from loadproof.plan.model import Fault, Phase
from loadproof.verdict.result import RuleVerdict, Verdict
from loadproof.verdict.rule import Unit
from monitoring.metrics import TABLE


@pytest.fixture(scope="module")
def requests():
    return make_requests(fail_from=25)


@pytest.fixture(scope="module")
def run(tmp_path_factory, requests):
    return make_run(tmp_path_factory.mktemp("runs") / "run", requests)


@pytest.fixture(scope="module")
def report(run):
    return analyse(run)


def test_azoras_result_has_its_keys_and_no_others():
    """The keys of requirement A26, exactly; survivalRate is successful over total."""
    name, summary = azora.files(failing())
    found = json.loads(azora.files(failing())[name])

    assert name == "stress-tests/results/stress-test-2024-01-02T03-04-05-000Z.json"
    assert summary == name.replace(".json", ".md")
    assert list(found) == [
        *("timestamp", "testSuite", "duration", "totalRequests", "successfulRequests", "failedRequests"),
        *("averageResponseTime", "peakConcurrentUsers", "survivalRate", "resilienceResults", "resourceUsage"),
    ]
    assert found["successfulRequests"] + found["failedRequests"] == found["totalRequests"]
    assert found["survivalRate"] == pytest.approx(found["successfulRequests"] / found["totalRequests"])
    assert (found["duration"], found["averageResponseTime"]) == (40_200.0, 15.0)
    assert found["peakConcurrentUsers"] == 100


def test_azoras_resilience_is_what_worked_during_each_fault():
    """A fault's window has its own counts, and its recovery is that of the run's own report."""
    events = (
        Event(25_000_000, "", "fault_begins", "database-down", ""),
        Event(30_000_000, "", "fault_ends", "database-down", ""),
    )
    rows = [row if row.second < 33 else timeline()[row.second] for row in timeline(fail_from=25)]
    report = replace(failing(), events=events, timeline=tuple(rows))
    [window] = azora.document(report)["resilienceResults"]
    during = [row for row in rows if 25 <= row.second < 30]

    assert window["scenario"] == "database-down"
    assert window["successfulRequests"] == sum(row.ok for row in during)
    assert window["functionality"] == pytest.approx(
        sum(row.ok for row in during) / sum(row.ok + row.failed for row in during)
    )
    assert window["recoveryTime"] == 3_000.0


def test_a_fault_has_the_requests_that_lay_in_its_window():
    """Where the workers counted by faults, they are what they counted, and not what ended in its seconds."""
    events = (Event(25_000_000, "", "fault_begins", "a", ""), Event(30_000_000, "", "fault_ends", "a", ""))
    report = failing()
    first, *others = report.series
    rows = (
        replace(first, faults=("a", "b"), outcome=Outcome.OK, requests=30),
        replace(first, faults=("a",), outcome=Outcome.TIMEOUT, requests=10),
        *others,
    )
    [window] = fault_windows(replace(report, events=events, series=rows))

    assert (window.during.requests, window.during.ok) == (40, 30)


def components_run(name="heavy-load", **changes):
    """A run of 50 s whose phases are the five components."""
    phases = tuple(
        Phase(name=name.replace("_", "-"), duration_us=10_000_000, users_from=20, users_to=20)
        for name in writing.COMPONENTS
    )
    report = passing(steady_s=40)
    rows = [
        replace(row, phase=phases[row.second // 10].name, users=20.0, in_flight=18, ok=100, failed=0)
        for row in report.timeline
    ]
    one = replace(report.series[0], outcome=Outcome.OK, requests=900, faults=())
    series = tuple(replace(one, phase=phase.name) for phase in phases)
    changes = {"series": series, **changes}
    plan = report.plan.model_copy(update={"load": phases, "name": "heavy-load"})
    return replace(report, name=name, plan=plan, timeline=tuple(rows), **changes)


def test_the_writing_flows_reports_have_their_names_and_parts():
    """Requirements B20 to B22: two files whose names the artifact's glob matches, five components, four parts."""
    found = writing.files(components_run())
    document = json.loads(found["ai_writing_flow_v2_heavy_load_stress_report.json"])
    text = found["ai_writing_flow_v2_heavy_load_stress_report.txt"].decode()

    assert len(found) == 2
    assert list(document["component_results"]) == [
        *("concurrent_load", "memory_pressure", "cpu_saturation", "capacity_limits", "recovery")
    ]
    assert {"metrics", "component_results", "statistics", "system_info", "configuration"} <= set(document)
    assert document["metrics"]["memory_increase_mb"] == pytest.approx(9_000_000 / 2**20)
    for line in (
        "AI WRITING FLOW V2 HEAVY LOAD STRESS REPORT",
        "Generated: 2024-01-02T03:04:05+00:00",
        "Duration: 40.2 s",
        "System: 2 CPUs, 22.4GB RAM",
        "EXECUTIVE SUMMARY",
        "Overall Success Rate: 100 %",
        "Components Passed: 5/5",
        "Total Operations: ",
        "COMPONENT RESULTS",
        "concurrent_load: PASSED (success rate 100 %)",
        "capacity_limits: PASSED (Max Capacity 18 concurrent operations)",
        "recovery: PASSED (Recovery Rate 100 %)",
        "RECOMMENDATIONS",
        "- ",
    ):
        assert any(one.startswith(line) for one in text.splitlines()), line


def test_a_component_fails_by_the_rules_that_judge_its_phase():
    """A broken rule on one phase fails that component alone; one on all phases fails all; none of them, all pass."""
    base = passing().rules[1]
    broken = replace(base, verdict=RuleVerdict.FAIL)
    own = replace(broken, selector={"phase": "memory-pressure"})

    def words(rule, **changes):
        return [one.word for one in writing.components(components_run(rules=(base, rule), **changes))]

    assert words(own) == ["PASSED", "FAILED", "PASSED", "PASSED", "PASSED"]
    assert words(broken) == ["FAILED"] * 5
    assert words(base, verdict=Verdict.INVALID) == ["FAILED"] * 5
    assert {one.word for one in writing.components(passing())} == {"NOT RUN"}


def test_a_component_fails_by_the_rules_on_a_fault_that_begins_in_it():
    """A broken rule on a fault fails the component of its phase; how all faults were got over is told of recovery."""
    base = passing().rules[1]
    fault = Fault(kind="pause", name="broken", at_us=25_000_000, for_us=20_000_000)

    def failed(statistic, **selector):
        rule = replace(base, statistic=statistic, selector=selector, verdict=RuleVerdict.FAIL)
        report = components_run(rules=(base, rule))
        report = replace(report, plan=report.plan.model_copy(update={"faults": (fault,)}))
        return [one.name for one in writing.components(report) if not one.passed]

    assert failed("functionality", fault="broken") == ["cpu_saturation"]
    assert failed("recovery_time", fault="broken") == ["cpu_saturation"]
    assert failed("error_ratio", fault="broken", phase="capacity-limits") == ["capacity_limits"]
    assert failed("recovery_time") == ["recovery"]
    assert failed("error_ratio", fault="none") == list(writing.COMPONENTS)


def test_a_recovery_rate_is_of_requests_that_met_no_fault():
    """Of the phase `recovery`, or of the last phase of a plan of that name; other components have all of theirs."""
    report = components_run()
    faulty = [replace(row, outcome=Outcome.FAILED, requests=100, faults=("broken",)) for row in report.series]
    report = replace(report, series=(*report.series, *faulty))
    found = {one.name: one for one in writing.components(report)}
    alone = {one.name: one for one in writing.components(replace(report, name="recovery"))}

    assert found["recovery"].figure == "Recovery Rate 100 %"
    assert alone["recovery"].success == 1
    assert found["memory_pressure"].figure == "success rate 90 %"
    assert alone["recovery"].operations == 900


def test_a_recovery_time_is_that_of_the_component_s_slowest_fault():
    """From the fault's end, as rules measure it; of a plan named like a component all of its faults count."""
    report = components_run()
    told = failing().faults[0]
    faults = [
        Fault(kind="pause", name=f"f{at}", at_us=at * 1_000_000, for_us=1_000_000) for at in (25, 41, 45)
    ]
    plan = report.plan.model_copy(update={"faults": tuple(faults)})
    took = {"f25": 9_000_000, "f41": 1_500_000, "f45": None}
    known = tuple(replace(told, name=name, recovery_us=us) for name, us in took.items())
    report = replace(report, plan=plan, faults=known)

    def recovery(name):
        return {one.name: one for one in writing.components(replace(report, name=name))}["recovery"]

    assert recovery("heavy-load").figure == "Recovery Rate 100 %, back after 1.5 s"
    assert recovery("recovery").figure == "Recovery Rate 100 %, back after 9.0 s"


def test_a_plan_named_like_a_component_is_that_component():
    """`cpu-saturation` run alone is judged as a whole, by its verdict."""
    found = {one.name: one.word for one in writing.components(replace(failing(), name="cpu-saturation"))}

    assert found.pop("cpu_saturation") == "FAILED"
    assert set(found.values()) == {"NOT RUN"}


def test_capacity_is_the_most_operations_in_progress_that_were_served():
    """Seconds in which more than three in ten requests failed do not count as capacity."""
    report = components_run()
    rows = [
        replace(
            row,
            in_flight=10 + row.second,
            ok=100 if row.second < 35 else 60,
            failed=0 if row.second < 35 else 40,
        )
        for row in report.timeline
    ]
    found = {one.name: one.capacity for one in writing.components(replace(report, timeline=tuple(rows)))}

    assert found["capacity_limits"] == 44


def test_capacity_is_what_a_search_found():
    """Of the plan's last phase, in users; a rate of arrivals is no number of operations at once."""
    report = components_run(name="capacity-limits")

    def capacity(unit, value, name="capacity-limits"):
        searched = SimpleNamespace(unit=unit, capacity=value)
        found = writing.components(replace(report, name=name, search=searched))
        return {one.name: one.capacity for one in found}["capacity_limits"]

    assert capacity(Unit.NUMBER, 37.0) == 37
    assert capacity(Unit.NUMBER, None) == capacity(Unit.RATE, 37.0) == 18
    assert capacity(Unit.NUMBER, 37.0, "heavy-load") == 18, "its search was in another phase"


def test_codepals_files_have_their_names():
    """Requirements D53 to D57."""
    assert set(codepal.files(failing())) == {
        "elasticity-stress-test-results.json",
        "elasticity-stress-test-metrics.csv",
        "elasticity-stress-test-summary.html",
        "summary.md",
        "metrics-summary.json",
    }


def test_codepals_checklist_answers_ten_questions():
    """Requirement D58: each of ten items has an answer, and what nothing measures says so."""
    found = codepal.metrics_summary(failing())["checklist"]
    text = codepal.summary(failing()).decode()

    assert len(found) == 10
    assert "P95 36 ms, P99 60 ms" in found[0]["answer"]
    assert "NO DATA" in found[6]["answer"]
    assert all(item["question"] in text for item in found)


def test_codepals_time_series_is_a_row_a_second():
    """A table that spreadsheets read: a byte order mark, a row a second, its own time and numbers."""
    raw = codepal.time_series(failing())
    rows = list(csv.DictReader(io.StringIO(raw.removeprefix(b"\xef\xbb\xbf").decode())))
    second = failing().timeline[30]

    assert raw.startswith(b"\xef\xbb\xbf")
    assert [int(row["second"]) for row in rows] == list(range(40))
    assert rows[30]["timestamp"] == "2024-01-02T03:04:35.000Z"
    assert (int(rows[30]["ok_per_s"]), int(rows[30]["errors_per_s"])) == (second.ok, second.failed)
    assert float(rows[30]["p99_ms"]) == second.p99_us / 1000


def test_acgs_has_its_five_kinds_of_files():
    """Requirements C49 to C53: HTML, CSV raw data, JSON analysis, Markdown summary, PNG charts."""
    found = acgs.files(failing())
    analysis = json.loads(found["reports/load_test_analysis.json"])

    assert {name.rpartition(".")[2] for name in found} == {"html", "csv", "json", "md", "png"}
    assert all(content.startswith(b"\x89PNG") for name, content in found.items() if name.endswith(".png"))
    assert analysis["response_time_ms"]["p95"] == 36.0
    assert analysis["constitutional_compliance"]["hash_consistency"]["failed"] == 1
    assert [rule["verdict"] for rule in analysis["threshold_evaluation"]][:2] == ["FAIL", "FAIL"]


@pytest.mark.parametrize("make", [hostile, REPORTS["invalid"], REPORTS["empty"]])
@pytest.mark.parametrize("files", [azora.files, writing.files, codepal.files])
def test_every_report_can_take_every_form(files, make):
    """A hostile, a torn and an empty run break no form: JSON is JSON, and text moves no cursor."""
    for name, content in files(make()).items():
        if name.endswith(".json"):
            json.loads(content, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
        text = content.decode().removeprefix("\ufeff")
        assert not set("\x00\x07\x1b\u202e\u2066") & set(text)


def test_an_hlog_holds_every_request_once(tmp_path, run, report, requests):
    """HdrHistogram's own decoder finds, per outcome and bucket, exactly the requests that were made."""
    [path] = export(report, run, "hlog")
    found = Counter()
    lines = path.read_text().splitlines()
    for line in (one for one in lines if one.startswith("Tag=")):
        tag, start, length, largest, encoded = line.removeprefix("Tag=").split(",")
        histogram = HdrHistogram.decode(encoded)
        for item in histogram.get_recorded_iterator():
            found[tag, float(start), bucket_index(item.value_iterated_to)] += item.count_at_value_iterated_to
        assert float(length) == 1.0
        # Two of an HdrHistogram's numbers are of buckets; ours is exact.
        assert histogram.get_max_value() / 1_000 == pytest.approx(float(largest), rel=0.001)
    raw = Counter((one.outcome.value, float(one.second), bucket_index(one.us)) for one in requests)

    assert found == raw
    assert lines[1] == "#[Histogram log format version 1.3]"
    assert lines[2].startswith("#[StartTime: 1704164645.000 (seconds since epoch), Tue Jan 02 03:04:05")


def test_prometheus_takes_the_openmetrics_export(tmp_path, run, report, requests):
    """promtool makes blocks of the file, and finds in them as many requests of each outcome as there were."""
    [path] = export(report, run, "openmetrics")
    blocks = tmp_path / "blocks"
    command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(path), str(blocks)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    # The dump wants to see a database that was once written to.
    (blocks / "wal").mkdir()
    dumped = subprocess.run(
        ["promtool", "tsdb", "dump", str(blocks)], capture_output=True, text=True, check=True
    ).stdout
    counts = {}
    for line in dumped.splitlines():
        if 'loadproof_request_duration_seconds_count"' in line:
            labels, value, _ = line.rsplit(" ", 2)
            counts[labels] = max(counts.get(labels, 0.0), float(value))
    for outcome in (Outcome.OK, Outcome.FAILED):
        own = sum(value for labels, value in counts.items() if f'outcome="{outcome}"' in labels)
        assert own == sum(one.outcome is outcome for one in requests)
    assert path.read_text().endswith("# EOF\n")


def test_the_openmetrics_export_speaks_as_the_exporter_does(report, run):
    """What a run's live metrics and its export both tell of has one name, kind and unit; resources are the export's own."""
    [path] = export(report, run, "openmetrics")
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", path.read_text(), re.MULTILINE))
    units = dict(re.findall(r"^# UNIT (\S+) (\S+)$", path.read_text(), re.MULTILINE))
    live = {metric.family().name: metric for metric in TABLE}

    assert set(kinds) - set(live) == {"loadproof_resource"}
    for name in set(kinds) & set(live):
        # Quantiles of each second cannot be had from buckets.
        expected = {"histogram": "summary"}.get(live[name].kind.value, live[name].kind.value)
        assert (kinds[name], units.get(name, "")) == (expected, live[name].unit), name


def test_a_run_without_a_clock_has_no_openmetrics(tmp_path, run, report):
    """Without any time of its beginning, the export is refused with a message and nothing is written."""
    lost = replace(report, events=(), manifest={})

    with pytest.raises(RunFolderError, match="when the run began"):
        export(lost, tmp_path, "openmetrics")
    assert list(tmp_path.iterdir()) == []


def test_every_form_is_written_into_a_folder_of_its_name(tmp_path, report, run):
    """Nothing is written outside the folder of the form."""
    for name in FORMATS:
        assert all(path.is_relative_to(run / name) for path in export(report, run, name))


def test_hdrhistograms_own_reader_takes_the_log(run, report, requests):
    """A reader that we did not write finds every interval, its start and its tag."""
    [path] = export(report, run, "hlog")
    reader = HistogramLogReader(str(path), HdrHistogram(1, 7 * 86_400_000_000, 3))
    found = Counter()
    while (histogram := reader.get_next_interval_histogram()) is not None:
        found[histogram.get_tag()] += histogram.get_total_count()

    assert found == Counter(one.outcome.value for one in requests)
    assert reader.start_time_sec == 1_704_164_645.0


def test_the_command_writes_the_forms_that_it_is_asked_for(tmp_path, requests):
    """`--format` may repeat; what it wrote is told on standard error, and a form that is none is a mistake."""
    folder = make_run(tmp_path / "run", requests)
    command = [sys.executable, "-m", "loadproof", "report", str(folder), "--charts", str(tmp_path / "charts")]
    done = subprocess.run(
        [*command, "--format", "azora", "--format", "hlog"], capture_output=True, text=True, check=False
    )
    wrong = subprocess.run([*command, "--format", "pdf"], capture_output=True, text=True, check=False)

    assert done.returncode == ExitCode.FAIL
    assert "latency.hlog" in done.stderr
    assert {path.name for path in folder.iterdir() if path.name in FORMATS} == {"azora", "hlog"}
    assert wrong.returncode == ExitCode.USAGE
    assert "'codepal'" in wrong.stderr
