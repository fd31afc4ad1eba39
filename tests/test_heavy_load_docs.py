"""`docs/heavy-load.md` against the plans of the suite and the tests that it names."""

import ast
import re
from pathlib import Path

import pytest
from heavy_loading import COMPONENTS

from loadproof.plan.builtin import resolve
from loadproof.plan.overrides import Overrides
from loadproof.plan.reader import read_plan
from loadproof.units import parse_duration

PAGE = (Path(__file__).parent.parent / "docs" / "heavy-load.md").read_text()
PLANS = dict(re.findall(r"^\| `([a-z-]+)` \| ([^|]+) \|", PAGE, re.MULTILINE))
TESTS = Path(__file__).parent / "test_heavy_load.py"
LIMITS = {"memory": 2**30, "cpu": 900_000, "duration": 300_000_000, "users": 50, "memory_growth": 10 * 2**20}
"""B10, in the units of guards."""


def plan(name, **changes):
    return read_plan(resolve(name), Overrides(**changes), environ={})


def test_every_plan_of_the_suite_is_in_the_table_with_its_length():
    """The suite's name and those of B22, and how long each takes."""
    assert set(PLANS) == {"heavy-load", *COMPONENTS}
    assert {name: plan(name).duration_us for name in PLANS} == {
        name: parse_duration(text) for name, text in PLANS.items()
    }


def test_the_components_are_phases_of_the_whole():
    """In their order, after the warm-up."""
    assert tuple(phase.name for phase in plan("heavy-load").load) == ("warm-up", *COMPONENTS)


@pytest.mark.parametrize("name", ["heavy-load", *COMPONENTS])
def test_every_plan_has_the_suite_s_thresholds(name):
    """B10: they stop the run, and none of them would be reached by the plan as it stands."""
    made = plan(name)

    assert {guard.name: guard.stop for guard in made.guards} == LIMITS
    assert made.duration_us < LIMITS["duration"]
    assert 20 <= made.max_users < LIMITS["users"]


@pytest.mark.parametrize("change", re.findall(r"--set '?([^`']+?)'?(?=`)", PAGE))
def test_a_knob_can_be_typed(change):
    """What the page says to type for another limit changes the plan."""
    assert plan("heavy-load", set=(change,)) != plan("heavy-load")


def test_the_file_with_several_limits_can_be_laid_over(tmp_path):
    """The YAML of the page is an overlay."""
    [text] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    overlay = tmp_path / "limits.yaml"
    overlay.write_text(text)
    changed = {guard.name: guard.stop for guard in plan("heavy-load", config_file=overlay).guards}

    assert changed == {**LIMITS, "memory": 2 * 2**30, "cpu": 950_000, "duration": 600_000_000}


def test_the_selections_that_the_page_shows_are_there():
    """Each class, and each test, that stands after `::` (requirements B15 and B16)."""
    shown = re.findall(r"test_heavy_load\.py::([\w:]+)", PAGE)

    assert len(shown) == 5
    classes = {
        node.name: {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
        for node in ast.parse(TESTS.read_text()).body
        if isinstance(node, ast.ClassDef)
    }
    for selection in shown:
        name, _, method = selection.partition("::")
        assert method in {"", *classes[name]}
    assert "pytestmark = [pytest.mark.performance" in TESTS.read_text()
