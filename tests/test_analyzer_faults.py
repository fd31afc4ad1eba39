"""The section on faults: its numbers are those of the rules, and its picture shows what they say."""

import re
from dataclasses import replace

import pytest
from outages import Target, errors, fault_of, run_with
from reporting import failing, fault_events, faults_told

from analyzer.fault_picture import HEIGHT, WIDTH, fault_picture
from analyzer.faults import faults_told as told_of
from analyzer.results_json import document
from analyzer.windows import fault_windows
from analyzer.wording import after_text, recovery_text
from loadproof.units import ABSENT
from loadproof.verdict.case import Case
from loadproof.verdict.facts import FaultTimes

RULES = (
    "recovery_time <= 10s",
    "detection_time <= 5s",
    "functionality >= 0.1%",
    "budget_burnt <= 1000%",
    "residue <= 5%",
)


def test_the_row_of_a_fault_says_what_rules_on_it_say():
    """Report and judge take their numbers from the same place."""
    run = run_with(*RULES, target=Target((errors(31.2, 44),)))
    judged = {one.statistic: one.value for one in run.judge().rules}
    [told] = told_of(Case(run.plan, run.evidence(), run.run_facts()))

    assert told.recovery_us == judged["recovery_time"] == 4_000_000
    assert told.detection_us == judged["detection_time"] == 1_000_000
    assert told.ok / told.requests == judged["functionality"]
    assert told.budget_burnt == judged["budget_burnt"]
    assert told.residue == judged["residue"]
    assert [ok for _, ok, _ in told.by_scenario] == [told.ok]
    assert told.points[0][0] == 15
    assert {round(share) for second, share in told.points if second in range(32, 44)} == {0}


def test_a_run_without_faults_has_no_section():
    """Neither row nor work for a plan that breaks nothing."""
    run = run_with("p95 <= 1s", faults=[], target=Target())

    assert told_of(Case(run.plan, run.evidence(), run.run_facts())) == ()


def test_a_fault_without_a_time_before_says_so():
    """It has its counts, no times, no picture, and the reason."""
    run = run_with("functionality >= 1%", target=Target(), faults=[fault_of(at=3, length=5)])
    [told] = told_of(Case(run.plan, run.evidence(), run.run_facts()))

    assert (told.recovered, told.detection_us, told.recovery_us) == (None, None, None)
    assert told.requests > 100
    assert fault_picture(told) == ""
    assert "recovery not known: only 3 s before it" in recovery_text(told)


def test_results_tell_each_fault_of_the_events_with_what_is_known_of_it():
    """One that is not of the plan has its window alone."""
    report = replace(failing(), faults=faults_told()[:1])
    healed, unknown = document(report)["faults"]

    assert (healed["recovered"], healed["recovery_s"], healed["detection_s"]) == (True, 3, 1)
    assert healed["functionality_by_scenario"] == {
        "IntegrityUser": 1,
        "PolicyGovernanceUser": pytest.approx(2 / 3),
    }
    assert (healed["functionality"], healed["budget_burnt"]) == (0.75, 0.31)
    assert {
        unknown[key] for key in ("recovered", "recovery_s", "detection_s", "functionality", "residue")
    } == {None}
    assert [window.recovery_s for window in fault_windows(replace(report, events=fault_events()))] == [
        3,
        None,
    ]


def test_words_on_a_recovery():
    """Healed in time, at once, never, and not known."""
    healed, ill = faults_told()

    assert recovery_text(healed) == "recovered in 3 s"
    assert recovery_text(replace(healed, recovery_us=0)) == "recovered at once"
    assert recovery_text(ill) == "not recovered in 5 s"
    assert recovery_text(None) == "recovery not known: too little was seen after it"
    assert [after_text(us) for us in (None, 0, 2_000_000)] == [ABSENT, "at once", "2 s"]


def test_the_picture_lies_in_its_frame_and_shows_when_it_was_well():
    """Window, line and mark are drawn to one scale, and a short outage in a long time does not vanish."""
    healed, ill = faults_told()
    picture = str(fault_picture(healed))
    window = re.search(r'class="window" x="([\d.]+)" y="0" width="([\d.]+)"', picture)
    well = re.search(r'class="well" d="M([\d.]+) ', picture)
    scale = WIDTH / 24
    long = replace(ill, points=tuple((second, 0.0 if second == 777 else 1.0) for second in range(4_000)))
    lowest = max(float(y) for y in re.findall(r",([\d.]+)", str(fault_picture(long)).partition("points")[2]))

    assert float(window[1]) == pytest.approx(15 * scale, abs=0.1)
    assert float(window[2]) == pytest.approx(5 * scale, abs=0.1)
    assert float(well[1]) == pytest.approx(23 * scale, abs=0.1)
    assert "well" not in str(fault_picture(ill))
    assert lowest == HEIGHT - 2


def test_a_run_that_ended_in_a_fault_shows_it_to_the_end():
    """Its window has no end and reaches over the picture's."""
    run = run_with(
        "functionality >= 1%", target=Target((errors(30, 90),)), faults=[fault_of(at=30, length=59.5)]
    )
    run.facts["fault_times"] = {"outage": FaultTimes(30_000_000)}
    plan = run.plan.model_copy(update={"faults": (fault_of(at=30, length=80),)})
    [told] = told_of(Case(plan, run.evidence(), run.run_facts()))

    assert (told.end_us, told.recovered) == (None, None)
    assert f'width="{WIDTH}"' in str(fault_picture(told))
