"""From journals to verdict and files: the whole way, against oracles and against every kind of damage."""

import csv
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_runs import make_requests, make_run

from analyzer.report import analyse
from analyzer.results_json import document
from analyzer.writer import FILES, write
from loadproof.errors import LoadproofError, UsageError
from loadproof.measure.interval import Outcome
from loadproof.verdict.result import RuleVerdict, Verdict

RULES = (
    "p95 <= 250ms, goal < 200ms",
    "error_ratio <= 5%",
    "rate >= 50/s",
    "peak_rate >= 60/s",
    "check(hash_consistency) >= 100%",
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One clean run, one whose target fails from second 25 on, one that is slow from second 20 on."""
    folder = tmp_path_factory.mktemp("runs")
    for name, trouble in {"clean": {}, "failed": {"fail_from": 25}, "slow": {"slow_from": 20}}.items():
        make_run(folder / name, make_requests(**trouble), rules=RULES)
    return folder


@pytest.fixture
def run(runs, tmp_path):
    return shutil.copytree(runs / "clean", tmp_path / "run")


def change_manifest(run, /, **changes):
    path = run / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def codes(report):
    return {reason.code for reason in report.reasons}


def test_a_clean_run_passes_with_the_raw_numbers(runs):
    """From real journals: PASS, and every published number is that of the raw requests."""
    requests = make_requests()
    steady = [one.us for one in requests if one.phase == "steady"]
    found = document(analyse(runs / "clean"))

    assert (found["verdict"], found["reasons"], found["notes"]) == ("PASS", [], [])
    assert found["totals"]["requests"] == len(steady)
    assert found["accounting"]["started"] == len(requests) == found["accounting"]["target_counted"]
    for name, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        exact = np.quantile(np.array(steady), q, method="inverted_cdf") / 1000
        assert exact <= found["totals"]["latency_ms"][name] <= exact * (1 + 1 / 1024)
    assert found["totals"]["latency_ms"]["mean"] == pytest.approx(np.mean(steady) / 1000, abs=0.001)
    assert found["judged_phases"] == ["steady"]
    assert found["by_phase"]["ramp"]["requests"] == len(requests) - len(steady)


def test_first_bytes_and_sizes_are_those_of_the_raw_requests(runs):
    """By endpoint and in total, as numpy says, whether the journals hold first bytes or whole answers only."""
    requests = [one for one in make_requests() if one.phase == "steady"]
    found = document(analyse(runs / "clean"))
    parts = {
        name: [one for one in requests if f"{one.method} {one.name}" == name] for name in found["by_name"]
    }

    for totals, own in [
        (found["totals"], requests),
        *((found["by_name"][name], own) for name, own in parts.items()),
    ]:
        assert (totals["bytes_received"], totals["bytes_sent"]) == (512 * len(own), 96 * len(own))
        for name, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
            exact = np.quantile(np.array([one.first_byte_us for one in own]), q, method="inverted_cdf") / 1000
            assert exact <= totals["first_byte_ms"][name] <= exact * (1 + 1 / 1024)
    assert found["by_name"]["GET /audit/chain"]["first_byte_ms"] == pytest.approx(
        found["by_name"]["GET /audit/chain"]["latency_ms"]
    )


def test_requests_csv_has_the_first_bytes_of_every_series(run):
    """Each row tells the first byte and the bytes sent of its own series."""
    write(analyse(run), run, None)
    rows = list(csv.DictReader((run / "requests.csv").read_text().splitlines()))

    for row in rows:
        own = [
            one
            for one in make_requests()
            if (one.region, one.method, one.outcome.value, one.phase)
            == (row["region"], row["method"], row["outcome"], row["phase"])
        ]
        exact = np.quantile(np.array([one.first_byte_us for one in own]), 0.95, method="inverted_cdf") / 1000
        assert exact <= float(row["first_byte_p95_ms"]) <= exact * (1 + 1 / 1024)
        assert int(row["bytes_sent"]) == 96 * len(own)
    assert len(rows) == 8


def test_the_accounting_tells_what_is_beside_the_books(runs):
    """Attempts without a connection, the clock of each end and what else was timed come from the journals."""
    found = document(analyse(runs / "clean"))
    requests = make_requests()
    seconds = len({(one.second, one.region) for one in requests})

    assert found["accounting"]["exchanges_unconnected"] == seconds
    assert found["generator"]["clock"] == {"kernel": len(requests) - seconds, "own": seconds}
    assert found["generator"]["user_wait_ms_p99"] is None
    assert found["accounting"]["dropped_arrivals"] == 0
    [connects] = found["durations"]
    assert (connects["timed"], connects["name"]) == ("connect", "127.0.0.1:8080")
    assert (connects["count"], connects["duration_ms"]["max"]) == (seconds, 0.339)


@pytest.mark.parametrize("name", ["clean", "failed", "slow"])
def test_the_tables_say_what_the_rules_say(runs, name):
    """Rate, peak rate, error ratio, check share and P95 are the same number in the rules and in the tables."""
    report = analyse(runs / name)
    value = {rule.statistic: rule.value for rule in report.rules}

    assert value["rate"] == report.totals.rate_per_s
    assert value["peak_rate"] == report.totals.peak_rate_per_s
    assert value["error_ratio"] == report.totals.error_ratio
    assert value["check(hash_consistency)"] == report.checks[0].ratio
    assert value["p95"] == report.totals.latency.p95_us


@pytest.mark.parametrize(
    ("extra", "limit_us"), [((), 25_000), (("p99 <= 100ms",), 10_000), (("p50 <= 30ms",), 5_000)]
)
def test_the_limit_of_the_generators_lag_is_that_of_the_verdict(runs, extra, limit_us):
    """A tenth of the tightest latency limit, of extra rules too, and never below 5 ms."""
    report = analyse(runs / "clean", extra)

    assert report.generator.lag_limit_us == limit_us
    assert {second.pacer_lag_p99_us for second in report.timeline} == {119}


def test_failures_and_slowness_fail(runs):
    """A broken error ratio and a broken P95 end in FAIL, with advice that names the commonest error."""
    failed, slow = analyse(runs / "failed"), analyse(runs / "slow")

    assert (failed.verdict, slow.verdict) == (Verdict.FAIL, Verdict.FAIL)
    assert "503 Service Unavailable" in failed.advice[0]
    assert "latency chart" in slow.advice[0]
    assert failed.totals.failures == sum(
        one.outcome is Outcome.FAILED for one in make_requests(fail_from=25) if one.phase == "steady"
    )


def test_every_file_comes_out_of_a_folder(run, tmp_path):
    """`write` leaves all reports in the folder, and closes the manifest with what the analyzer adds."""
    before = json.loads((run / "manifest.json").read_text())
    write(analyse(run), run, tmp_path / "charts")
    after = json.loads((run / "manifest.json").read_text())

    assert {path.name for path in run.iterdir()} >= set(FILES)
    assert after == before | {"verdict": "PASS", "requests": 3550, "target_counted": 3550}
    series = {(one.second, one.region, one.scenario) for one in make_requests()}
    assert len((run / "metrics.csv").read_bytes().splitlines()) == 1 + len(series)


def test_a_second_report_has_the_same_bytes(run):
    """Making the report again changes no byte of any file."""
    write(analyse(run), run, None)
    first = {name: (run / name).read_bytes() for name in [*FILES, "manifest.json"]}
    write(analyse(run), run, None)

    assert {name: (run / name).read_bytes() for name in [*FILES, "manifest.json"]} == first


def test_the_same_folder_gives_the_same_bytes_anywhere(runs, tmp_path):
    """Another place, clock zone, locale, hash seed and environment change no byte of the machine's files."""
    names = ("results.json", "summary.md", "junit.xml", "requests.csv", "metrics.csv")
    code = "import sys, pathlib; from analyzer.report import analyse; from analyzer import writer\n"
    code += f"run = pathlib.Path(sys.argv[1]); report = analyse(run)\nfor name in {names}:\n"
    code += "    writer.put(run / name, writer.FILES[name](report))"
    places = [
        (tmp_path / "here" / "run", {"TZ": "UTC", "LC_ALL": "C", "PYTHONHASHSEED": "1"}),
        (
            tmp_path / "there" / "run",
            {"TZ": "Asia/Tokyo", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "2", "LOADPROOF_USERS": "9"},
        ),
    ]
    for place, environment in places:
        shutil.copytree(runs / "failed", place)
        subprocess.run(
            [sys.executable, "-c", code, place], env=os.environ | environment, check=True, timeout=60
        )
    for name in names:
        assert (places[0][0] / name).read_bytes() == (places[1][0] / name).read_bytes()


def test_an_extra_rule_is_judged_beside_the_plans(runs):
    """A rule given with the report is judged too, and one that the plan has already is not judged twice."""
    report = analyse(runs / "clean", ["p50 <= 1ms", "rate >= 50/s"])
    rules = [rule.rule for rule in report.rules]

    assert report.verdict is Verdict.FAIL
    assert rules.count("rate >= 50/s") == 1
    assert {rule.rule: rule.verdict for rule in report.rules}["p50 <= 1ms"] is RuleVerdict.FAIL


def test_an_extra_rule_that_cannot_be_read_is_refused(runs):
    """A mistake in an extra rule is the grammar's own message and hint, with the flag and what was typed."""
    with pytest.raises(UsageError, match=r"^--rule 'p59x <= 1ms': .*'p59x'.* \(.+\)$"):
        analyse(runs / "clean", ["p59x <= 1ms"])


def test_a_torn_journal_is_invalid(run):
    """A journal without its end makes the run INVALID, and says of whom."""
    path = run / "journals" / "eu-west-1-01-1.journal"
    path.write_bytes(path.read_bytes()[:-3])
    report = analyse(run)

    assert report.verdict is Verdict.INVALID
    assert any(reason.code == "torn_epoch" and "eu-west-1-01" in reason.text for reason in report.reasons)
    assert [epoch.complete for epoch in report.epochs] == [False, True]


def test_a_run_without_journals_is_invalid_and_rendered(run, tmp_path):
    """With all journals gone there is still a report, INVALID, with no number made up."""
    shutil.rmtree(run / "journals")
    report = analyse(run)
    write(report, run, tmp_path / "charts")

    assert report.verdict is Verdict.INVALID
    assert document(report)["totals"]["latency_ms"]["p95"] is None
    assert document(report)["totals"]["rate_per_s"] in {None, 0.0}


def test_a_target_that_counted_otherwise_is_invalid(run):
    """When the target counted one request less than was answered, the books do not agree."""
    counts = json.loads((run / "manifest.json").read_text())["target_counts"]
    change_manifest(run, target_counts=counts | {"GET /audit/chain": counts["GET /audit/chain"] - 1})
    report = analyse(run)

    assert report.verdict is Verdict.INVALID
    assert report.books.differences


def test_a_changed_plan_proves_nothing(runs, tmp_path):
    """A plan that is not the run's makes even a FAIL INVALID: the broken rule may never have been asked for."""
    run = shutil.copytree(runs / "failed", tmp_path / "run")
    path = run / "plan.yaml"
    path.write_text(path.read_text().replace("error_ratio <= 5%", "error_ratio <= 1%"))
    report = analyse(run)

    assert report.verdict is Verdict.INVALID
    assert Verdict.FAIL not in {reason.verdict for reason in report.reasons}


def test_a_master_that_died_leaves_a_fail_standing(runs, tmp_path):
    """An open manifest makes a kept run INVALID; a limit that stays broken whatever is missing is FAIL."""
    for name, verdict in (("clean", Verdict.INVALID), ("failed", Verdict.FAIL)):
        run = shutil.copytree(runs / name, tmp_path / name)
        change_manifest(run, closed=False, epochs=[], run_length_us=None, ended_utc=None)
        report = analyse(run)

        assert (report.verdict, "manifest_open" in codes(report)) == (verdict, True)


def test_a_missing_manifest_still_gives_a_report(run):
    """Without a manifest the journals are shown, the run is INVALID, and no manifest is made up."""
    (run / "manifest.json").unlink()
    report = analyse(run)
    write(report, run, None)

    assert report.verdict is Verdict.INVALID
    assert report.books.started == 3550
    assert not (run / "manifest.json").exists()


def test_a_journal_with_a_second_far_away_is_torn(run):
    """An interval that lies years outside the run is no reason to fill years with zeros."""
    from loadproof.measure.interval import Header, Interval
    from loadproof.measure.journal import FORMAT_VERSION, JournalWriter

    path = run / "journals" / "eu-west-1-01-1.journal"
    path.unlink()
    limits = tuple(json.loads((run / "manifest.json").read_text())["limits_us"])
    writer = JournalWriter(path, Header(FORMAT_VERSION, "made-up", "eu-west-1-01", "eu-west-1", 1, limits))
    writer.append(Interval(second=0, start_us=0, length_us=1_000_000))
    writer.append(Interval(second=10**9, start_us=10**15, length_us=1_000_000))
    writer.finish(started=0, ok=0, failed=0, unfinished=0)
    writer.close()
    report = analyse(run)

    assert report.verdict is Verdict.INVALID
    assert len(report.timeline) == 41
    assert "lies outside the run" in report.epochs[0].damage


def test_a_stop_by_a_guard_is_shown(run):
    """A run that a guard ended is INVALID and lists the guard."""
    trip = {"guard": "memory", "level": "stop", "why": "memory is 2 GB"}
    change_manifest(
        run,
        stop={"by": "guard", "why": trip["why"], "at_us": 30_000_000},
        guards=[trip | {"at_us": 30_000_000}],
    )
    report = analyse(run)

    assert report.verdict is Verdict.INVALID
    assert document(report)["guards"] == [trip | {"at_ms": 30_000.0}]
    assert next(reason.code for reason in report.reasons) == "stopped"


SLOW = settings(max_examples=40, suppress_health_check=list(HealthCheck))
JOURNALS = ("journals/eu-west-1-01-1.journal", "journals/us-east-1-01-1.journal")


def damaged(runs, tmp_path, name, cut, place, bit):
    """A copy of the clean run with one file cut or with one bit flipped, at a share of its length."""
    shutil.rmtree(tmp_path / "damaged", ignore_errors=True)
    run = shutil.copytree(runs / "clean", tmp_path / "damaged")
    content = bytearray((run / name).read_bytes())
    at = int(place * (len(content) - 1))
    if cut:
        del content[at:]
    else:
        content[at] ^= 1 << bit
    (run / name).write_bytes(content)
    return run


@SLOW
@given(st.sampled_from(JOURNALS), st.booleans(), st.floats(0, 1), st.integers(0, 7))
def test_no_damaged_journal_passes(runs, tmp_path, name, cut, place, bit):
    """A journal cut or with one bit flipped, anywhere, never gives PASS or WARN."""
    assert analyse(damaged(runs, tmp_path, name, cut, place, bit)).verdict is Verdict.INVALID


@SLOW
@given(
    st.sampled_from(("manifest.json", "plan.yaml", "events.jsonl", "samples.jsonl")),
    st.booleans(),
    st.floats(0, 1),
    st.integers(0, 7),
)
def test_damage_is_never_a_traceback(runs, tmp_path, name, cut, place, bit):
    """Any damage of any side file gives a report that renders, or one message; a changed plan never passes."""
    run = damaged(runs, tmp_path, name, cut, place, bit)
    found = judged(run)
    if isinstance(found, str):
        assert found
        assert name == "plan.yaml"
    else:
        assert found.verdict is Verdict.INVALID or name != "plan.yaml"
        assert all(FILES[file](found) for file in ("results.json", "summary.md", "junit.xml"))


def judged(run):
    """The report, or the message that there can be none."""
    try:
        return analyse(run)
    except LoadproofError as error:
        return str(error)
