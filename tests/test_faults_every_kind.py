"""Every kind of fault breaks its real part, and leaves it whole: at its time, and when its run is killed."""

import pytest
from breakable import (
    CASES,
    OF_CONTAINER,
    assert_whole_after_both,
    assert_whole_after_its_run,
    assert_whole_at_its_time,
)
from serving import serving

from loadproof.plan.faults import KINDS, SWITCHED


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    """One target: every test leaves it whole."""
    with serving(folder=tmp_path_factory.mktemp("target")) as served:
        yield served


def test_every_kind_has_its_case():
    """A kind that nobody has seen broken and whole again is none."""
    assert {*CASES, *OF_CONTAINER} == set(KINDS)


@pytest.mark.parametrize("kind", CASES)
def test_a_fault_ends_when_its_run_is_killed(tmp_path, target, kind):
    """By SIGKILL, in the middle of a fault that was to last for long."""
    with CASES[kind](tmp_path, target) as case:
        assert_whole_after_its_run(tmp_path, kind, case)


@pytest.mark.parametrize("kind", [kind for kind in CASES if kind not in SWITCHED])
def test_a_fault_ends_when_its_run_and_its_keeper_are_killed(tmp_path, target, kind):
    """By SIGKILL of both: of itself, or by what `loadproof stop` starts; the named switches are as the switch."""
    with CASES[kind](tmp_path, target) as case:
        assert_whole_after_both(tmp_path, kind, case)


@pytest.mark.parametrize("kind", CASES)
def test_a_fault_ends_at_its_time(tmp_path, target, kind):
    """Nobody has to tell it."""
    with CASES[kind](tmp_path, target) as case:
        assert_whole_at_its_time(tmp_path, kind, case)
