"""A rule's bar: value, limit, goal and interval on one scale, whatever the numbers."""

import math
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reporting import HOSTILE, passing

from analyzer.rule_bar import WIDTH, goal_bounds, rule_bar

LATENCY, ERRORS, RATE = passing().rules[:3]
SCALE = WIDTH - 8


def parts(rule):
    """Class -> (x, width) of each rectangle, x of each upright line."""
    found = {}
    for element in ET.fromstring(rule_bar(rule)):
        name = element.get("class")
        if element.tag == "rect":
            found.setdefault(name, []).append((float(element.get("x")), float(element.get("width"))))
        else:
            found.setdefault(name, []).append(float(re.match(r"M([\d.]+)", element.get("d"))[1]))
    return found


def test_lengths_are_in_proportion():
    """36 of 250 ms fill as much of the way to the limit; the goal of 60 ms stands where it belongs."""
    found = parts(replace(LATENCY, confidence=None))

    assert found["limit"] == [SCALE]
    assert found["value"] == [(0, pytest.approx(SCALE * 36 / 250, abs=0.1))]
    assert found["goal"] == [pytest.approx(SCALE * 60 / 250, abs=0.1)]
    assert found["kept"] == [(0, SCALE)]


def test_a_floor_is_kept_beyond_its_limit():
    """Of `rate >= 300/s` the stretch from the limit on is where it is kept."""
    [(x, width)] = parts(RATE)["kept"]
    [limit] = parts(RATE)["limit"]

    assert x == limit < SCALE
    assert x + width == pytest.approx(WIDTH)


def test_a_value_beyond_everything_runs_off_the_scale():
    """An infinite latency has an arrow behind the end, and the limit is still to be seen."""
    bar = rule_bar(replace(LATENCY, value=math.inf, confidence=(391_000.0, math.inf)))

    assert 'class="value" d="M' in bar
    assert 'class="limit"' in bar


def test_without_a_value_there_is_no_bar():
    """Nothing was measured, so nothing is drawn; nor where no bound is known."""
    assert rule_bar(replace(LATENCY, value=None)) == ""
    assert rule_bar(replace(LATENCY, limit=None, goal=None)) == ""


def test_a_range_is_kept_between_its_ends():
    """A limit of two numbers has two lines and the stretch between them."""
    found = parts(replace(ERRORS, rule="users in 50..80", limit=(0.5, 0.8), operator="in", value=0.6))

    assert len(found["limit"]) == 2
    [(x, width)] = found["kept"]
    assert [x, x + width] == pytest.approx(found["limit"], abs=0.2)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_rule_that_cannot_be_read_has_no_goal_line(text):
    """A goal is a number of the grammar or nothing."""
    assert goal_bounds(replace(LATENCY, rule=f"check({text}) >= 95%", goal=text)) == ()


@given(
    st.floats(allow_nan=False),
    st.floats(0, 1e18),
    st.floats(0, 1e18),
    st.floats(0, allow_nan=False),
    st.sampled_from(["<=", ">=", "<", ">"]),
)
def test_nothing_lies_outside_the_bar(value, limit, low, high, operator):
    """Whatever the value, limit and interval, every part lies within the bar's width."""
    rule = replace(LATENCY, value=value, limit=limit, confidence=(low, high), operator=operator)
    for name, places in parts(rule).items():
        for place in places:
            x, width = place if isinstance(place, tuple) else (place, 0)
            assert 0 <= x <= WIDTH, name
            assert 0 <= width <= WIDTH + 0.1 - x, name
