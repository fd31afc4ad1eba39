"""Plans written and read again."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from planning import SMALL, loads, open_loads, plans, read, without_positions

from loadproof.errors import PlanError
from loadproof.plan.document import read_text
from loadproof.plan.node import Mapping
from loadproof.plan.reader import NO_OVERRIDES, Overrides, load_plan
from loadproof.plan.writer import dump_plan


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One folder for every example."""
    return tmp_path_factory.mktemp("plans")


def test_a_plan_is_written_as_a_user_writes_it(tmp_path):
    """Durations have units, a constant number is no range, what is default is left out."""
    text = """\
name: small
title: '1e3'
suite: governance
target: embedded
load:
- {phase: ramp, duration: 1m30s, users: 0..10, warmup: true}
- {phase: steady, duration: 500ms, users: 10}
scenarios:
  A: 20
  B: 0.5
regions:
- {name: eu, workers: 2, max_users: 10, weight: 3}
rules:
- p95 <= 2s, goal < 1s
- {rule: p99 <= 5s, optional: true}
seed: 7
stop_timeout: 30s
allow_hosts:
- a.test
tolerate:
  torn_epochs: 1
"""
    assert dump_plan(read(tmp_path, text)) == text


def test_an_open_plan_is_written_as_a_user_writes_it(tmp_path):
    """Rates are those of a second, exact; the pool that was chosen is said."""
    text = """\
name: small
title: small
suite: governance
target: embedded
load:
- {phase: ramp, duration: 1m, arrivals: 0..1000/s, users: 200, warmup: true}
- {phase: steady, duration: 1m, arrivals: 0.000001/s, users: 200}
arrival_process: poisson
regions:
- {name: local, workers: 1}
"""
    assert dump_plan(read(tmp_path, text)) == text


@given(plan=plans(load=loads() | open_loads()))
def test_a_written_plan_reads_back_as_itself(folder, plan):
    """read(dump(plan)) == plan, for every plan, positions of rules aside."""
    assert without_positions(read(folder, dump_plan(plan))) == plan


@given(plan=plans(), users=st.integers(1, 5000), duration=st.integers(60, 10_000))
def test_what_flags_made_of_a_plan_reads_back(folder, plan, users, duration):
    """The effective plan in a run's folder is the plan that was run, and needs no flags."""
    flags = Overrides(users=users, duration=f"{duration}s", spawn_rate=1000.0, rules=("p50 <= 1s",))
    (folder / "asked.yaml").write_text(dump_plan(plan))
    try:
        effective = load_plan(folder / "asked.yaml", flags, {}).plan
    except PlanError:
        return  # this plan does not bear these flags
    assert without_positions(read(folder, dump_plan(effective))) == without_positions(effective)


def test_an_effective_plan_keeps_what_the_environment_gave(tmp_path):
    """A replaced variable is written as its value, and a literal `${` never becomes one."""
    text = SMALL + 'title: "${WHO} costs $${PRICE}"\n'
    plan = read(tmp_path, text, environ={"WHO": "${X}"})
    assert plan.title == "${X} costs ${PRICE}"
    assert read(tmp_path, dump_plan(plan), NO_OVERRIDES, {"X": "a", "PRICE": "b"}).title == plan.title


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**25), 10**25)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs",)), max_size=20),
    lambda values: (
        st.lists(values, max_size=4) | st.dictionaries(st.text("ab ${:#", max_size=6), values, max_size=4)
    ),
    max_leaves=12,
)


@given(JSON)
def test_the_reader_reads_json_as_json_does(value):
    """An oracle that we did not write: what the standard library writes comes back as the same values."""
    found = []
    node = read_text(json.dumps(value), "plan.json", found)
    assert found == []

    def plain(node):
        if isinstance(node, Mapping):
            return {name: plain(entry.node) for name, entry in node.entries.items()}
        return [plain(item) for item in node.items] if hasattr(node, "items") else node.value

    assert plain(node) == value
