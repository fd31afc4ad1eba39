"""A run beside its baselines: what is the same, what is worse, and what cannot be told, from real journals."""

import json
import shutil
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from compared_runs import RULES, SLOW, change_manifest, made, steady_requests
from made_runs import make_requests, make_run
from reporting import HOSTILE, passing

from analyzer.baselines import FILE, find_baselines
from analyzer.beyond import Beyond
from analyzer.compare import compare
from analyzer.digest import QUANTILES, quantile_rows
from analyzer.digests import baseline_digest, keep_digests, rules_of
from analyzer.report import analyse
from analyzer.results_json import document
from analyzer.summary_md import render
from loadproof.errors import RunFolderError
from loadproof.measure.histogram import Histogram
from loadproof.verdict.compared import ComparedEndpoint, Comparison, Word
from loadproof.verdict.result import RuleVerdict, Verdict


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs of one build, one with an endpoint 10 % slower, one 10 % faster all over, one that spreads widely."""
    folder = tmp_path_factory.mktemp("runs")
    made(folder / "first", 1)
    made(folder / "second", 2)
    made(folder / "slower", 3, slow=1.1)
    made(folder / "faster", 4, factor=0.9)
    make_run(folder / "wide", make_requests(seed=5), rules=RULES)
    return folder


def beside(runs, run, *baselines, **options):
    rules = rules_of(runs / run)
    digests = [baseline_digest(runs / name, rules) for name in (run, *baselines)]
    return compare(digests[0], digests[1:], **options)


def words(comparison):
    return {endpoint.name: endpoint.word for endpoint in comparison.endpoints}


def test_two_runs_of_one_build_are_the_same(runs):
    """Every endpoint and rule is the same, in either direction."""
    for run, baseline in (("second", "first"), ("first", "second")):
        found = beside(runs, run, baseline)
        assert found.word is Word.SAME, found.text
        assert set(words(found).values()) == {Word.SAME}
        assert {row.word for row in found.rules if row.interval is not None} == {Word.SAME}


def test_one_slower_endpoint_is_worse_by_name(runs):
    """A tenth more at one endpoint: that one is worse, the other is not, and the sentence names it."""
    found = beside(runs, "slower", "first")

    assert found.word is Word.WORSE
    assert words(found) == {SLOW: Word.WORSE, "POST /policies/:id": Word.SAME}
    assert f"p50 of {SLOW}" in found.text
    assert found.endpoints[0].rows[0].change == pytest.approx(0.1, abs=0.01)
    assert found.endpoints[0].rows[0].interval[0] > found.endpoints[0].rows[0].noise


def test_a_faster_run_is_better(runs):
    """A tenth less everywhere."""
    assert beside(runs, "faster", "first").word is Word.BETTER


def test_a_wide_spread_cannot_be_told(runs):
    """Latencies that spread over a factor of ten hide a tenth: that is said, not called the same."""
    found = beside(runs, "wide", "wide")
    rows = {endpoint.name: endpoint.rows[0] for endpoint in found.endpoints}

    assert all(row.word in {Word.SAME, Word.CANNOT_TELL} for row in rows.values())
    for row in rows.values():
        within = max(map(abs, row.interval)) <= 2 * row.noise
        assert (row.word is Word.SAME) is within


def test_the_numbers_are_those_of_the_raw_requests(runs):
    """Value, baseline and change of each endpoint are numpy's quantiles, to the buckets' 0.1 %."""
    found = beside(runs, "slower", "first")
    sides = [
        [one for one in requests if one.phase == "steady"]
        for requests in (steady_requests(3, slow=1.1), steady_requests(1))
    ]
    for endpoint in found.endpoints:
        for row, q in zip(endpoint.rows, (0.5, 0.95, 0.99), strict=False):
            exact = [
                np.quantile(
                    [one.us for one in side if f"{one.method} {one.name}" == endpoint.name],
                    q,
                    method="inverted_cdf",
                )
                for side in sides
            ]
            assert row.value == pytest.approx(exact[0], rel=1 / 1024)
            assert row.baseline == pytest.approx(exact[1], rel=1 / 1024)
            assert row.change == pytest.approx(exact[0] / exact[1] - 1, abs=1 / 400)


def test_unlike_runs_are_refused_unless_told(runs, tmp_path):
    """Another target, load or suite is named; with leave the runs are compared all the same, and it stays named."""
    other = shutil.copytree(runs / "second", tmp_path / "other")
    plan = other / "plan.yaml"
    plan.write_text(plan.read_text().replace("http://127.0.0.1:8080", "http://127.0.0.1:9999"))
    change_manifest(other, suite_sha256="c" * 64)
    rules = rules_of(other)
    digests = [baseline_digest(path, rules) for path in (other, runs / "first")]
    refused, allowed = compare(digests[0], digests[1:]), compare(digests[0], digests[1:], leave=True)

    assert refused.word is Word.CANNOT_TELL
    assert refused.endpoints == ()
    assert any(
        "target: http://127.0.0.1:9999 against http://127.0.0.1:8080" in text for text in refused.unlike
    )
    assert any("suite" in text for text in refused.unlike)
    assert allowed.unlike == refused.unlike
    assert allowed.endpoints


def test_an_invalid_run_is_no_baseline(runs, tmp_path):
    """A torn journal proves nothing about its target, nor beside another run."""
    torn = shutil.copytree(runs / "first", tmp_path / "torn")
    journal = next((torn / "journals").iterdir())
    journal.write_bytes(journal.read_bytes()[:-20])
    rules = rules_of(runs / "second")
    found = compare(baseline_digest(runs / "second", rules), [baseline_digest(torn, rules)])

    assert found.word is Word.CANNOT_TELL
    assert any("INVALID" in text for text in found.unlike)


def test_baselines_that_lie_apart_are_noise(runs, tmp_path):
    """What two builds' difference was beside one baseline, is none beside baselines that differ as much themselves."""
    spread = [
        made(tmp_path / f"baseline-{number}", 10 + number, factor=factor)
        for number, factor in enumerate((0.85, 0.95, 1.05, 1.15))
    ]
    rules = rules_of(runs / "slower")
    run = baseline_digest(runs / "slower", rules)
    found = compare(run, [baseline_digest(path, rules) for path in spread])

    assert compare(run, [baseline_digest(runs / "first", rules)]).word is Word.WORSE
    assert found.word not in {Word.WORSE, Word.BETTER}
    assert found.endpoints[0].rows[0].noise > 0.2


def test_a_busy_machine_tells_no_difference(runs):
    """Where the generator itself was late by more than a tenth of a latency, that row cannot be told."""
    rules = rules_of(runs / "slower")
    run, baseline = (baseline_digest(runs / name, rules) for name in ("slower", "first"))
    late = replace_rows(run, lag=9_000.0)
    found = compare(late, [baseline])

    assert {row.word for endpoint in found.endpoints for row in endpoint.rows[:3]} == {Word.CANNOT_TELL}
    assert "the generator itself was late by 9 ms" in found.endpoints[0].rows[0].reason


def replace_rows(digest, **changes):
    endpoints = tuple(
        msgspec.structs.replace(
            endpoint,
            rows=tuple(
                msgspec.structs.replace(row, **changes) if row.unit == "us" else row for row in endpoint.rows
            ),
        )
        for endpoint in digest.endpoints
    )
    return msgspec.structs.replace(digest, endpoints=endpoints)


def test_a_burst_is_no_change_of_a_rule(tmp_path):
    """Two seconds of thirty in which all is five times slower make the run's P96 another, but show no other build."""
    rules = ("p96 <= 2s", "error_ratio <= 5%")
    calm = make_run(tmp_path / "calm", steady_requests(1), rules=rules)
    burst = [replace(one, us=one.us * 5) if one.second in {20, 21} else one for one in steady_requests(2)]
    run = make_run(tmp_path / "burst", burst, rules=rules)
    wanted = rules_of(run)
    found = compare(baseline_digest(run, wanted), [baseline_digest(calm, wanted)])
    [row] = [row for row in found.rules if row.what == "p96"]

    assert row.change > 3
    assert row.word is Word.CANNOT_TELL
    assert row.interval[0] < row.noise


def test_who_moves_against_the_others_is_not_the_same(runs):
    """All endpoints are 4 % faster as the machine was quieter, but one is 4 % slower: each is within the noise of 5 %."""
    rules = rules_of(runs / "first")
    run, baseline = (baseline_digest(runs / name, rules) for name in ("second", "first"))
    first = run.endpoints[0]

    def endpoint(name, factor):
        rows = tuple(
            msgspec.structs.replace(
                row, value=row.value * factor, interval=tuple(end and end * factor for end in row.interval)
            )
            if row.unit == "us" and row.interval
            else row
            for row in first.rows
        )
        return msgspec.structs.replace(first, name=name, rows=rows)

    names = ("GET /a", "GET /b", "GET /c", "GET /d")
    factors = dict.fromkeys(names, 0.96) | {"GET /c": 1.04}
    before = msgspec.structs.replace(baseline, endpoints=tuple(endpoint(name, 1.0) for name in names))
    after = msgspec.structs.replace(run, endpoints=tuple(endpoint(name, factors[name]) for name in names))
    found = compare(after, [before])

    assert words(found) == dict.fromkeys(names, Word.SAME) | {"GET /c": Word.CANNOT_TELL}
    assert "moved by +8.3 % beside the other endpoints" in found.endpoints[0].rows[0].reason
    assert found.word is Word.CANNOT_TELL


def test_an_endpoint_that_is_gone_is_noted(runs):
    """Nothing to compare is no difference, but it is said."""
    rules = rules_of(runs / "first")
    run, baseline = (baseline_digest(runs / name, rules) for name in ("second", "first"))
    fewer = msgspec.structs.replace(run, endpoints=run.endpoints[:1])
    gone = run.endpoints[1].name

    assert compare(fewer, [baseline]).notes == (f"{gone} has requests in a baseline and none in this run",)
    new = compare(run, [msgspec.structs.replace(baseline, endpoints=baseline.endpoints[:1])])
    assert words(new)[gone] is Word.CANNOT_TELL


def test_the_folder_keeps_its_baselines(runs, tmp_path):
    """The comparison is in the report again, byte for byte, when the baselines are gone and the folder has moved."""
    place = tmp_path / "here"
    for name in ("first", "slower"):
        shutil.copytree(runs / name, place / name)
    keep_digests(place / "slower", [str(place / "first")], (), unlike=False)
    before = document(analyse(place / "slower"))
    shutil.rmtree(place / "first")
    moved = shutil.move(place / "slower", tmp_path / "moved")

    assert before["comparison"]["word"] == "worse"
    assert json.dumps(document(analyse(moved))) == json.dumps(before)


RELATIVE = {
    "p95 <= baseline + 5%": RuleVerdict.FAIL,
    "p95 <= baseline + 15%": RuleVerdict.PASS,
    "p95 <= baseline + 3ms": RuleVerdict.FAIL,
    "p95 <= baseline + 8ms": RuleVerdict.PASS,
    "p95 > baseline - 5%": RuleVerdict.PASS,
    "error_ratio <= baseline + 1%": RuleVerdict.PASS,
    "check(hash_consistency) >= baseline": RuleVerdict.PASS,
    "rate >= baseline - 5%": RuleVerdict.PASS,
    "rate >= baseline + 5%": RuleVerdict.FAIL,
    "p95{name=/nowhere} <= baseline + 5%": RuleVerdict.NO_DATA,
}


@pytest.fixture(scope="module")
def relative(runs, tmp_path_factory):
    """A run 10 % slower than its baseline, at its rate and without errors, with the rules of RELATIVE."""
    run = made(tmp_path_factory.mktemp("relative") / "run", 7, factor=1.1, rules=(*RULES, *RELATIVE))
    keep_digests(run, [str(runs / "first")], (), unlike=False)
    return {result.rule: result for result in analyse(run).rules}


@pytest.mark.parametrize("rule", RELATIVE)
def test_a_rule_may_say_its_limit_by_the_baseline(relative, rule):
    """The verdicts are known in advance; the reason names the baseline's value."""
    assert relative[rule].verdict is RELATIVE[rule], relative[rule].reason
    if RELATIVE[rule] is not RuleVerdict.NO_DATA:
        assert relative[rule].limit is not None
        assert "(baseline" in relative[rule].reason


def test_the_limit_is_the_baselines_value_and_the_offset(runs, tmp_path):
    """Exactly a tenth above numpy's percentile of the baseline, to the buckets' 0.1 %."""
    run = made(tmp_path / "run", 8, rules=(*RULES, "p90 <= baseline + 10%"))
    keep_digests(run, [str(runs / "first")], (), unlike=False)
    [result] = [one for one in analyse(run).rules if one.rule == "p90 <= baseline + 10%"]
    raw = [one.us for one in steady_requests(1) if one.phase == "steady"]

    assert result.limit == pytest.approx(
        1.1 * np.quantile(raw, 0.9, method="inverted_cdf"), rel=1 / 1024 + 1e-4
    )


def test_without_a_baseline_such_a_rule_has_no_data(tmp_path):
    """The run is INVALID, and says what is missing; an optional rule would change nothing."""
    run = made(tmp_path / "run", 9, rules=(*RULES, "p95 <= baseline + 10%"))
    report = analyse(run)
    [result] = [one for one in report.rules if "baseline" in one.rule]

    assert report.verdict is Verdict.INVALID
    assert (result.verdict, result.limit, result.value) == (RuleVerdict.NO_DATA, None, None)
    assert "--baseline" in result.reason
    assert report.comparison is None
    render(report)


@pytest.mark.parametrize("content", [b"", b"{", b'{"baselines": 7}', b"\xff\xfe", b"[" * 100_000])
def test_a_damaged_baseline_is_a_note(runs, tmp_path, content):
    """The report is made without a comparison, and says why."""
    run = shutil.copytree(runs / "first", tmp_path / "run")
    (run / FILE).write_bytes(content)
    report = analyse(run)

    assert report.verdict is Verdict.PASS
    assert report.comparison is None
    assert any(FILE in note for note in report.notes)


def test_baselines_are_found_by_their_names(runs, tmp_path):
    """A folder, a folder of folders, the newest of a plan; never the run itself, an unjudged or an INVALID one."""
    place = tmp_path / "reports"
    for day, name in enumerate(("old", "new", "invalid", "unjudged", "own"), start=1):
        run = shutil.copytree(runs / "first", place / name)
        verdict = {"invalid": "INVALID", "unjudged": None}.get(name, "PASS")
        change_manifest(run, name="enterprise", started_utc=f"2024-01-0{day}", verdict=verdict)
    own = place / "own"
    (place / "notes").mkdir()

    def names(*asked):
        return [path.name for path in find_baselines(asked, place, own, "enterprise")]

    assert names("latest:enterprise") == ["new"]
    assert names(str(place)) == ["old", "new"]
    assert names(str(place / "old"), "latest:enterprise") == ["old", "new"]
    for wrong in ("latest:nothing", str(place / "notes"), str(place / "missing"), str(own)):
        with pytest.raises(RunFolderError):
            names(wrong)


@pytest.mark.parametrize(("quantile", "index"), [(0.5, 0), (0.95, 1)])
def test_intervals_cover_the_truth_though_seconds_are_alike(quantile, index):
    """Latencies of a second share its mood, and neighbouring moods are alike: the interval still has the true quantile."""
    random = np.random.default_rng(29)
    moods = np.exp(random.normal(0, np.hypot(0.2, 0.1), 400_000))
    truth = 20_000 * np.quantile(moods, quantile)
    covered = 0
    for _ in range(150):
        histogram, beyond, mood = Histogram(), Beyond(3), random.normal()
        seconds = []
        for _ in range(60):
            mood = 0.5 * mood + np.sqrt(0.75) * random.normal()
            seconds.append(20_000 * np.exp(0.1 * mood + 0.2 * random.normal(size=15)))
            for us in seconds[-1]:
                histogram.record(int(us))
        ends = [histogram.quantile(q) for q in QUANTILES.values()]
        for second, values in enumerate(seconds):
            beyond.rows[second] = [len(values), *(int(sum(values > end)) for end in ends)]
        low, high = list(quantile_rows(histogram, beyond, [0, 0, 0]))[index].interval
        covered += low <= truth <= high

    assert covered >= 150 * 0.95 - 3 * np.sqrt(150 * 0.95 * 0.05)


def test_hostile_names_stay_in_their_cells(runs):
    """An endpoint's name breaks neither a Markdown table nor a line."""
    found = beside(runs, "slower", "first")
    rows = found.endpoints[0].rows
    hostile = Comparison(
        tuple(HOSTILE),
        Word.WORSE,
        HOSTILE[6],
        tuple(replace(rows[0], what=text) for text in HOSTILE),
        tuple(ComparedEndpoint(text, 1, Word.WORSE, rows) for text in HOSTILE),
        tuple(HOSTILE),
    )
    text = render(replace(passing(), comparison=hostile)).decode()
    section = text[text.index("### Beside") : text.index("### Requests counted")]
    table = [line for line in section.splitlines() if line.startswith("|")]

    assert len(table) == 2 + len(HOSTILE) + len(rows) * len(HOSTILE)
    assert {line.replace("\\|", "").count("|") for line in table} == {9}
    assert "\x1b" not in section
