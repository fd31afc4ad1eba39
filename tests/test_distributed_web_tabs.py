"""The tabs of the web UI: the same numbers as the run's, in words for people, while it goes on and when it is judged."""

import json
from types import SimpleNamespace

import pytest
from judging import SECOND, open_phase, phase, plan_of, run_of

from distributed.placement import Seat, seats
from distributed.trouble import Trouble
from distributed.web.tabs import Tabs
from loadproof.measure.interval import Outcome
from loadproof.plan.edits import EditedLoad, LoadEdit
from loadproof.plan.model import Fault, Region
from loadproof.units import ABSENT


class Master:
    """What the tabs ask of a master."""

    def __init__(self, plan, now_us, silent=()):
        self.load = SimpleNamespace(clock=SimpleNamespace(now_us=lambda: now_us))
        here = [seat for seat in seats(plan.regions) if seat.worker not in silent]
        self.roster = SimpleNamespace(at_work=lambda: here)


def words(tables):
    """Title -> rows, each a list of texts."""
    return {
        one["title"]: [
            [cell if isinstance(cell, str) else cell["text"] for cell in row] for row in one["rows"]
        ]
        for one in tables
        if "rows" in one
    }


def played(run, until_s):
    """Tabs that have heard the first seconds of a run."""
    tabs = Tabs(run.plan, Trouble(run.plan))
    tabs.follow(Master(run.plan, until_s * SECOND))
    run.evidence()
    for worker, intervals in run.intervals.items():
        for interval in intervals:
            if interval.second < until_s:
                interval.users = {"Reader": 100}
                tabs.add(Seat(worker, dict(run.workers)[worker]), interval)
    return tabs


def test_regions_and_accounting_tell_what_the_workers_told():
    """Users, rate, percentiles and failures by region; both books; what is missing is counted."""
    run = run_of("error_ratio <= 1%", latencies=(50_000,) * 20)
    run.answer([70_000] * 2, range(60), outcome=Outcome.FAILED)
    document = played(run, 10).document()
    [row] = words(document["regions"])["Regions"]

    assert row[:5] == ["eu-west-1", "1 of 1", "100", "20/s", "50 ms"]
    assert row[6:] == ["9.09 %", "20 of 220"]
    books = {row[0]: row[1] for rows in words(document["accounting"]).values() for row in rows}
    assert books == {
        "Started": "220",
        "Ok": "200",
        "Failed": "20",
        "Unfinished": "0",
        "Dropped": "0",
        "In flight": "0",
        "Expected": "10",
        "Present": "10",
        "Missing": "0",
        "Counted": ABSENT,
    }


def test_who_is_gone_has_no_users():
    """A region without its worker says so, whatever that had told last."""
    plan = plan_of(regions=(Region(name="east"), Region(name="west")))
    tabs = Tabs(plan, Trouble(plan))
    tabs.follow(Master(plan, 5 * SECOND, silent={"west-01"}))
    rows = words(tabs.document()["regions"])["Regions"]

    assert [row[:3] for row in rows] == [
        ["east", "1 of 1", "0"],
        ["west", "0 of 1", "0"],
        ["all", "1 of 2", "0"],
    ]


@pytest.mark.parametrize(
    ("now_us", "states", "at"),
    [
        (-1, ["to come", "to come", "to come"], None),
        (0, ["now", "to come", "to come"], 0.0),
        (10 * SECOND, ["over", "now", "to come"], 0.25),
        (40 * SECOND, ["over", "over", "over"], 1.0),
        (50 * SECOND, ["over", "over", "over"], 1.0),
    ],
)
def test_phases_say_where_the_run_is(now_us, states, at):
    """Over, now, or to come; a plan without faults says so."""
    load = (phase("ramp", 10, 0, 5, warmup=True), phase("steady", 25, 5), phase("down", 5, 5, 0))
    plan = plan_of(load=load)
    tabs = Tabs(plan, Trouble(plan))
    tabs.follow(Master(plan, now_us))
    timeline, *tables = tabs.document()["phases"]

    assert timeline["at"] == at
    assert [row[-1] for row in words(tables)["Phases"]] == states
    assert words(tables)["Phases"][0][1:5] == ["0 s", "10 s", "0 to 5 users", "no, warm-up"]
    assert tables[-1]["note"] == "This plan injects no faults."


@pytest.mark.parametrize(
    ("now_us", "state"),
    [
        *((-1, "to come"), (5 * SECOND - 1, "to come"), (5 * SECOND, "now")),
        *((8 * SECOND - 1, "now"), (8 * SECOND, "over"), (90 * SECOND, "over")),
    ],
)
def test_faults_stand_beside_the_phases(now_us, state):
    """With their kind, when they are, and whether that is now."""
    fault = Fault(kind="pause", name="frozen", at_us=5 * SECOND, for_us=3 * SECOND)
    plan = plan_of(load=(phase("steady", 40, 5),)).model_copy(update={"faults": (fault,)})
    tabs = Tabs(plan, Trouble(plan))
    tabs.follow(Master(plan, now_us))

    assert words(tabs.document()["phases"][1:])["Faults"] == [["frozen", "pause", "5 s", "8 s", state]]


def test_an_open_plan_and_an_edited_one_say_their_load():
    """Arrivals with the pool that serves them; edits with the moment that they are for."""
    opened = plan_of(load=(open_phase(rate=20, rate_to=50),))
    edited = plan_of()
    edited = edited.model_copy(update={"load": EditedLoad(edited.load, [LoadEdit(20 * SECOND, 7)])})

    rows = {plan.open: words(Tabs(plan, Trouble(plan)).document()["phases"][1:]) for plan in (opened, edited)}
    assert rows[True]["Phases"][0][3] == "20/s to 50/s arrivals, 100 users"
    assert rows[False]["Users edited by hand"] == [["from 20 s to the end", "7 users"]]


def test_rules_are_shown_before_there_is_anything_to_judge():
    """Each rule of the plan, without a value."""
    plan = plan_of("p95 <= 2s, goal < 1s", "rate >= 10/s")
    rows = words(Tabs(plan, Trouble(plan)).document()["rules"])["Rules"]

    assert [row[:3] for row in rows] == [
        ["p95 <= 2s, goal < 1s", "NO DATA", ABSENT],
        ["rate >= 10/s", "NO DATA", ABSENT],
    ]


def test_a_folder_without_results_has_no_verdict(tmp_path):
    """As where the run was not judged; the last that was known stays."""
    plan = plan_of()
    tabs = Tabs(plan, Trouble(plan))
    assert tabs.judged(tmp_path) is None
    (tmp_path / "results.json").write_text("{")
    assert tabs.judged(tmp_path) is None
    (tmp_path / "results.json").write_text(json.dumps({"no": "verdict"}))
    assert tabs.judged(tmp_path) is None
    assert words(tabs.document()["rules"])
