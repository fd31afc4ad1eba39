"""Which edits of a run's users are taken, and what is written down of one."""

from types import SimpleNamespace

import msgspec
import pytest
from judging import SECOND, open_phase, phase, plan_of

from distributed.messages import Begin, read, write
from distributed.run_folder import RunFolder, read_events, utc_now
from distributed.users_edit import LEAD_US, edit_users, editable
from loadproof.plan.profile import users_at


class Keeper:
    """The part of a LoadKeeper that an edit goes by, at an instant."""

    def __init__(self, now_us=10 * SECOND, *, over=False, begun=True):
        self.clock = SimpleNamespace() if begun else None
        self.now_us = now_us
        self.membership = SimpleNamespace(over=over)
        self.told = 0

    def edited(self):
        self.told += 1


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(tmp_path, "edited", utc_now())
    yield folder
    folder.close()


def test_an_edit_is_for_a_moment_to_come_and_written_down(folder):
    """The manifest, an event and the plan's load have it before any worker is told; the past stays as it was."""
    plan, keeper = editable(plan_of()), Keeper()
    said = edit_users(plan, keeper, folder, 30, "somebody")
    at_us = keeper.now_us + LEAD_US

    assert users_at(plan.load, at_us - 1) == 100
    assert users_at(plan.load, at_us) == users_at(plan.load, plan.duration_us - 1) == 30
    assert folder.manifest["users_edited"] == [{"at_us": at_us, "was": 100, "users": 30, "who": "somebody"}]
    [event] = read_events(folder.path)
    assert (event["at_us"], event["kind"], event["who"]) == (at_us, "users_edited", "somebody")
    assert keeper.told == 1
    assert "WARN at best" in said


@pytest.mark.parametrize(
    ("plan", "keeper", "users", "why"),
    [
        (plan_of(load=(open_phase(),)), Keeper(), 5, "an open plan"),
        (plan_of(), Keeper(begun=False), 5, "while the load goes on"),
        (plan_of(), Keeper(over=True), 5, "while the load goes on"),
        (plan_of(), Keeper(), 0, "1 to 100 users"),
        (plan_of(), Keeper(), -3, "1 to 100 users"),
        (plan_of(), Keeper(), 101, "--users"),
        (plan_of(), Keeper(), 100, "there are 100 users"),
        (plan_of(), Keeper(58 * SECOND), 5, "as good as over"),
        (plan_of(load=(phase(users=0, users_to=80),)), Keeper(), 81, "1 to 80 users"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words(folder, plan, keeper, users, why):
    """Nothing is written, nobody is told, and the load is as it was."""
    plan = editable(plan)
    before = [users_at(plan.load, second * SECOND) for second in range(60)]
    with pytest.raises(ValueError, match=why):
        edit_users(plan, keeper, folder, users, "somebody")

    assert [users_at(plan.load, second * SECOND) for second in range(60)] == before
    assert "users_edited" not in folder.manifest
    assert keeper.told == 0


def test_the_next_edit_waits_for_the_last(folder):
    """Edits are in order of time, whoever makes them."""
    plan, keeper = editable(plan_of()), Keeper()
    edit_users(plan, keeper, folder, 30, "somebody")
    with pytest.raises(ValueError, match="still to come"):
        edit_users(plan, keeper, folder, 50, "another")
    keeper.now_us += LEAD_US
    edit_users(plan, keeper, folder, 50, "another")

    assert users_at(plan.load, keeper.now_us) == 30
    assert users_at(plan.load, keeper.now_us + LEAD_US) == 50
    assert [note["was"] for note in folder.manifest["users_edited"]] == [100, 30]


def test_edits_travel_with_a_placement():
    """As they are, and a worker takes none that goes back in time."""
    begin = Begin("run", 3, 0, [(0, 0)], ["User"], edits=[(5, 3), (9, 1)])

    assert read(write(begin), Begin) == begin
    for wrong in ([(9, 1), (5, 3)], [(9, 1), (9, 3)]):
        with pytest.raises(msgspec.ValidationError, match="ascend"):
            read(write(begin) | {"edits": wrong}, Begin)
