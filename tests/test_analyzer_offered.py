"""The load of an open plan in reports: starts as planned, taken and dropped."""

import json
from dataclasses import replace

from judging import NAME, SCENARIO, Run, open_phase, plan_of
from reporting import passing

from analyzer import charts, report_html, results_json
from analyzer.chart import NARROW, WIDE
from analyzer.fold import Fold
from analyzer.offered import offered
from analyzer.seconds import Source
from analyzer.tables import Tables
from analyzer.vega import to_svg
from loadproof.measure.interval import ArrivalKey, Arrivals, Outcome
from loadproof.verdict.case import Case
from loadproof.verdict.evidence import Evidence
from loadproof.verdict.facts import RunFacts
from loadproof.verdict.selection import Selection

REGIONS = {"eu-west-1": 30, "us-east-1": 10}


def folded():
    """20 s up to 40 starts a second and 40 s at it: three in four from Europe, 4 a second dropped at the end."""
    load = [open_phase("ramp", 20, 0, 40, users=50), open_phase("steady", 40, 40, users=50)]
    plan = plan_of("p95 <= 1s", load=load, scenarios={SCENARIO: 3.0, "Writer": 1.0})
    fold = Fold(plan, (1_000_000,))
    sources = []
    for region, share in REGIONS.items():
        run = Run(plan, workers=((f"{region}-01", region),)).steadily([20_000])

        def starts(worker, second, interval, share=share):
            number = share if second >= 20 else second * share // 20
            drops = 2 if second >= 40 else 0
            phase = "steady" if second >= 20 else "ramp"
            interval.arrivals = {
                ArrivalKey(SCENARIO, phase): Arrivals(number - drops, 1 if drops else 0, 1 if drops else 0)
            }

        run.change(starts).evidence()
        sources.append(Source(f"{region}-01", region, run.intervals[f"{region}-01"]))
    fold.read(sources)
    return plan, fold


def report():
    plan, fold = folded()
    return replace(
        passing(), plan=plan, timeline=tuple(fold.timeline), offered=offered(plan, fold.evidence, ())
    )


def test_phases_hold_the_starts_that_were_due_in_them():
    """Planned, taken and dropped of each phase; user time stays beside them."""
    plan, fold = folded()
    ramp, steady = offered(plan, fold.evidence, ()).phases

    assert (ramp.planned_starts, steady.planned_starts) == (400, 1600)
    assert (steady.starts_taken, steady.starts_dropped) == (1520, 80)
    assert ramp.starts_dropped == 0


def test_shares_of_an_open_plan_are_those_of_starts():
    """A region with a quarter of the starts has a quarter of the load, however long its users were there."""
    plan, fold = folded()
    shares = {share.name: share.offered for share in offered(plan, fold.evidence, ()).regions}

    assert 0.24 < shares["us-east-1"] < 0.26
    assert [share.offered for share in offered(plan, fold.evidence, ()).scenarios] == [1.0, 0.0]


def test_a_dropped_start_is_an_error_in_tables_as_in_rules():
    """The error ratio of each table is that of the rule on the same selection: drops are errors that were due."""
    rules = ("error_ratio <= 1%", "error_ratio{scenario=Reader} <= 1%", f'error_ratio{{name="{NAME}"}} <= 1%')
    load = [open_phase("ramp", 20, 10, warmup=True), open_phase("steady", 40, 10)]
    run = Run(plan_of(*rules, load=load)).steadily([20_000] * 10)
    run.answer([30_000], range(30, 40), Outcome.FAILED)

    def drops(_worker, second, interval):
        phase = "steady" if second >= 20 else "ramp"
        interval.arrivals = {ArrivalKey(SCENARIO, phase): Arrivals(10, second % 2, second // 40)}

    evidence = run.change(drops).evidence()
    tables = Tables(Case(run.plan, evidence, run.run_facts()))
    steady = frozenset({"steady"})
    total = tables.totals(Selection(steady))
    judged = [rule.value for rule in run.judge().rules[:3]]

    assert total.error_ratio == (10 + 20 + 20) / (total.requests + 40)
    assert [group.totals.error_ratio for group in tables.by_scenario(steady)] == [judged[1]]
    assert [group.totals.error_ratio for group in tables.by_name(steady)] == [judged[2]]
    assert judged == [total.error_ratio, total.error_ratio, 10 / total.requests]
    assert tables.totals(Selection(frozenset({"ramp"}))).error_ratio == 10 / 210


def test_a_phase_of_which_every_start_was_dropped_has_only_errors():
    """Nothing ended, yet what was due is known: the ratio is 1, and without a drop it is not known."""
    run = Run(plan_of("error_ratio <= 1%", load=[open_phase("steady", 30, 10)]))

    def drops(_worker, _second, interval):
        interval.arrivals = {ArrivalKey(SCENARIO, "steady"): Arrivals(0, 10, 0)}

    def ratio(evidence):
        tables = Tables(Case(run.plan, evidence, RunFacts("r", run.workers, ())))
        return tables.totals(Selection(frozenset({"steady"}))).error_ratio

    assert ratio(run.change(drops).evidence()) == 1
    assert ratio(Evidence(run.plan, ())) is None


def test_every_second_tells_its_starts():
    """The timeline holds what the chart draws; a closed plan has none of it."""
    _, fold = folded()
    half, late = fold.timeline[10], fold.timeline[45]

    assert (half.starts_planned, half.starts_taken, half.starts_dropped) == (21.0, 20, 0)
    assert (late.starts_planned, late.starts_taken, late.starts_dropped) == (40.0, 36, 4)
    assert {second.starts_planned for second in passing().timeline} == {None}
    assert NAME in {key.series.name for key in fold.evidence.totals}


def test_only_an_open_plan_has_a_chart_of_starts():
    """Its lines are the plan, what was taken and what was dropped."""
    made = report()
    [chart] = [chart for chart in charts.charts_of(made) if chart.name == "starts"]
    values = chart.spec(made, WIDE)["layer"]
    lines = next(layer["data"]["values"] for layer in values if layer.get("mark", {}).get("type") == "line")

    assert {"t": 45.5, "series": "dropped", "v": 4} in lines
    assert {"t": 45.5, "series": "planned", "v": 40} in lines
    assert "starts" not in {chart.name for chart in charts.charts_of(passing())}
    assert to_svg(chart.spec(made, NARROW)).startswith("<svg")


def test_reports_show_the_starts_of_an_open_plan():
    """The page has the columns, results.json the keys; those of a closed plan are null there."""
    made = report()
    page = report_html.page(made, []).decode()
    phases = json.loads(results_json.render(made))["offered"]["by_phase"]

    assert "starts, planned" in page
    assert "0 to 40/s" in page
    assert "starts, planned" not in report_html.page(passing(), []).decode()
    assert (
        phases["steady"] | {"planned_starts": 1600, "taken_starts": 1520, "dropped_starts": 80}
        == phases["steady"]
    )
    closed = replace(passing(), offered=offered(passing().plan, Evidence(passing().plan, ()), ()))
    by_phase = json.loads(results_json.render(closed))["offered"]["by_phase"]
    assert {phase["planned_starts"] for phase in by_phase.values()} == {None}
