"""Every kind of fault breaks its real part, and leaves it whole: at its time, and when its run is killed."""

import json

import pytest
from breakable import CASES
from breaking import keeping, mastering
from commands import wait_until
from serving import serving

from loadproof.plan.faults import KINDS


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    """One target: every test leaves it whole."""
    with serving(folder=tmp_path_factory.mktemp("target")) as served:
        yield served


def test_every_kind_has_its_case():
    """A kind that nobody has seen broken and whole again is none."""
    assert set(CASES) == set(KINDS)


@pytest.mark.parametrize("kind", CASES)
def test_a_fault_ends_when_its_run_is_killed(tmp_path, target, kind):
    """By SIGKILL, in the middle of a fault that was to last for long."""
    with CASES[kind](tmp_path, target) as case:
        assert case.is_whole()
        with mastering(tmp_path, (kind, 0, 600, case.settings), **case.parts) as kept:
            assert kept.line()["kind"] == "fault_begins"
            wait_until(case.is_broken)
            kept.kill()
            told = [line["kind"] for line in kept.lines()]
        assert (case.is_gone or case.is_whole)()

    assert told == ["fault_ends"]
    assert json.loads(kept.state.read_text())[kind]["stage"] == "over"


@pytest.mark.parametrize("kind", CASES)
def test_a_fault_ends_at_its_time(tmp_path, target, kind):
    """Nobody has to tell it."""
    with (
        CASES[kind](tmp_path, target) as case,
        keeping(tmp_path, (kind, 0, 0.5, case.settings), **case.parts) as kept,
    ):
        lines = {line["kind"]: line for line in kept.lines() if line["kind"] != "target_restarted"}
        assert case.is_whole()

    assert list(lines) == ["fault_begins", "fault_ends"]
    assert lines["fault_ends"]["at_us"] >= 500_000
