"""The `search` of a plan: what is read, what follows from it, what is refused, and what flags make of it."""

import pytest
from planning import mistakes, read

from loadproof.errors import PlanError
from loadproof.plan.model import RATE_PERIOD_S, Search
from loadproof.plan.overrides import Overrides
from loadproof.plan.search import first_edit, searched_from_us, steps_of
from loadproof.plan.writer import dump_plan

SECOND = 1_000_000


def small(search, load="users: 300", more=""):
    return (
        "name: small\nsuite: governance\nload:\n"
        f"  - {{phase: warm, duration: 20s, {load.replace('300', '10')}, warmup: true}}\n"
        f"  - {{phase: search, duration: 10m, {load}}}\n"
        f"search: {search}\n{more}"
    )


def test_a_search_is_read_with_all_its_keys(tmp_path):
    """Loads in the plan's unit, times in microseconds, shares in millionths; it is written as it is read."""
    text = "{from: 5, to: 200, settle: 5s, hold: 15s, precision: 2.5%, confirm: 3}"
    plan = read(tmp_path, small(text))

    assert plan.search == Search(
        lowest=5, highest=200, settle_us=5 * SECOND, hold_us=15 * SECOND, precision=25_000, confirm=3
    )
    assert read(tmp_path, dump_plan(plan)) == plan
    assert tuple(steps_of(plan)) == (1, 5, 200, 5, 15)


def test_what_is_left_out_follows_from_the_last_phase(tmp_path):
    """The first load is a fiftieth, and 24 probes fit; the searched phase begins with the first load, not its own."""
    plan = read(tmp_path, small("{}"))
    steps = steps_of(plan)

    assert (steps.lowest, steps.highest) == (6, 300)
    assert 24 * (steps.settle_s + steps.hold_s + 3) <= 600
    assert searched_from_us(plan) == 20 * SECOND
    assert tuple(first_edit(plan)) == (20 * SECOND, 6)
    assert read(tmp_path, dump_plan(plan)) == plan


def test_an_open_plan_searches_arrivals(tmp_path):
    """Loads are rates, of low ones in hundredths."""
    plan = read(tmp_path, small("{from: 20/s}", "arrivals: 300/s, users: 40"))
    low = read(tmp_path, small("{from: 1.5/s, to: 12/s}", "arrivals: 300/s, users: 40"))

    assert tuple(steps_of(plan))[:3] == (RATE_PERIOD_S, 20, 300)
    assert tuple(steps_of(low))[:3] == (RATE_PERIOD_S // 100, 150, 1_200)
    assert read(tmp_path, dump_plan(low)) == low


def test_a_guard_on_users_lowers_the_highest_load(tmp_path):
    """The search stays below its levels: it never takes the target to where it warns or is stopped."""
    plan = read(tmp_path, small("{}", more="guards: {users: {warn: 100, stop: 200}}\n"))
    assert (steps_of(plan).lowest, steps_of(plan).highest) == (6, 99)


def test_flags_scale_a_search_with_its_plan(tmp_path):
    """`--users` its loads, `--duration` its times; a time too short for two probes is refused."""
    plan = read(
        tmp_path,
        small("{from: 30, to: 150, hold: 20s, settle: 10s}"),
        Overrides(users=30, duration="310s"),
    )
    assert (plan.search.lowest, plan.search.highest) == (3, 15)
    assert (plan.search.settle_us, plan.search.hold_us) == (5 * SECOND, 10 * SECOND)
    with pytest.raises(PlanError, match="two probes of"):
        read(
            tmp_path,
            small("{}").replace("warm, duration: 20s", "warm, duration: 10m"),
            Overrides(duration="20s"),
        )
    alone = "name: small\nsuite: governance\nload: [{phase: search, duration: 10m, users: 300}]\nsearch: {}\n"
    with pytest.raises(PlanError, match="climbs by itself"):
        read(tmp_path, alone, Overrides(spawn_rate=10.0))


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ("{from: 0}", "`from` must be from 1"),
        ("{from: 10/s}", "`from` must be a whole number"),
        ("{to: 301}", "`to` is above the 300 users of the phase `search`"),
        ("{from: 200, to: 100}", "`from` is above the highest load"),
        ("{precision: 50%}", "`precision` must be a share from 1% to 25%"),
        ("{precision: 0.05}", "`precision` must be a share"),
        ("{confirm: 0}", "`confirm` must be from 1 to 20"),
        ("{hold: 1s}", "`hold` must be at least 2s"),
        ("{hold: 5m}", "two probes of"),
        ("{hodl: 5s}", "did you mean `hold`?"),
        ("[1]", "`search` must be a mapping"),
        ("5", "`search` must be a mapping"),
    ],
)
def test_what_makes_no_sense_is_a_mistake_with_its_place(tmp_path, search, message):
    """Each is told with the line that it stands in."""
    [mistake] = mistakes(tmp_path, small(search))
    assert message in str(mistake)
    assert mistake.startswith("6:")


def test_an_open_search_wants_rates_and_a_judged_phase(tmp_path):
    """A number without `/s`, and a search in warm-up."""
    [rate] = mistakes(tmp_path, small("{from: 10}", "arrivals: 300/s, users: 40"))
    assert "must be a rate such as 100/s" in str(rate)
    warm = small("{}").replace("users: 300}", "users: 300, warmup: true}")
    [cold] = mistakes(tmp_path, warm)
    assert "`search` is warm-up" in str(cold)
