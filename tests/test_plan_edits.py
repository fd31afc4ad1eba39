"""A load that was edited by hand while it was run: the same arithmetic, against looking at every microsecond."""

import pickle

from hypothesis import given
from hypothesis import strategies as st
from planning import loads, read

from loadproof.plan.edits import EditedLoad, LoadEdit, edits_of
from loadproof.plan.profile import next_change_us, phase_at, user_us_between, users_at

SHORT = loads(durations=st.integers(1, 40), users=st.integers(0, 4) | st.integers(0, 90), max_size=3)


@given(SHORT, st.data())
def test_edited_arithmetic_equals_counting(load, data):
    """Before the first edit the plan's users, then the latest edit's, none after the end; sums and changes agree."""
    end = sum(item.duration_us for item in load)
    instants = sorted(data.draw(st.lists(st.integers(0, end + 2), max_size=4, unique=True)))
    edits = [LoadEdit(at_us, data.draw(st.integers(0, 4))) for at_us in instants]
    edited = EditedLoad(load, edits)

    def counted(t_us):
        number = users_at(load, t_us)
        for edit in edits:
            if edit.at_us <= t_us < end:
                number = edit.load
        return number

    users = {t: counted(t) for t in range(-2, end + 4)}
    first = data.draw(st.integers(-2, end + 2))
    last = data.draw(st.integers(first, end + 2))
    assert {t: users_at(edited, t) for t in users} == users
    assert user_us_between(edited, first, last) == sum(users[t] for t in range(first, last))
    later = (t for t in range(first + 1, end + 4) if users[t] != users[first])
    assert next_change_us(edited, first) == next(later, None)
    assert phase_at(edited, first) == phase_at(load, first)


def test_an_edited_plan_is_the_plan_to_all_who_do_not_ask(tmp_path):
    """It equals the plan, is written as it, and keeps its edits when it goes to another process."""
    plan = read(tmp_path, "name: one\nsuite: governance\nload: [{phase: steady, duration: 1m, users: 10}]\n")
    edited = plan.model_copy(update={"load": EditedLoad(plan.load, [LoadEdit(5_000_000, 3)])})

    assert edited == plan
    assert edited.model_dump(mode="json") == plan.model_dump(mode="json")
    assert edits_of(pickle.loads(pickle.dumps(edited.load))) == [LoadEdit(5_000_000, 3)]
    assert edits_of(plan.load) == ()
