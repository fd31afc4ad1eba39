"""A search carried out on a run's clock: edits before anybody hears of them, probes from whole seconds, an end in order."""

from types import SimpleNamespace

import pytest
from judging import SECOND, open_phase, phase, plan_of

from distributed.guards import Tripped
from distributed.placement import Seat
from distributed.run_folder import RunFolder, read_events, utc_now
from distributed.searching import LEAD_US, Searching
from distributed.users_edit import edit_users, editable
from loadproof.measure.histogram import Histogram
from loadproof.measure.interval import ArrivalKey, Arrivals, Interval, Outcome, Series, SeriesKey
from loadproof.plan.arrivals import volume_before
from loadproof.plan.model import RATE_PERIOD_S, Search
from loadproof.plan.profile import users_at

WORKERS = [Seat("east-01", "east"), Seat("east-02", "east")]
LIMIT_US = 100_000


class Clockwork:
    """Two workers that report each second half a second after it, on a target with a sharp capacity."""

    def __init__(self, folder, capacity, seconds=600, *, is_open=False, old_for=0, search=None):
        load = (
            open_phase("search", seconds, rate=300, users=50)
            if is_open
            else phase("search", seconds, users=300)
        )
        plan = plan_of("p95 <= 100ms", load=(phase("calm", 10, users=5), load) if not is_open else (load,))
        self.plan = editable(
            plan.model_copy(
                update={"search": search or Search(lowest=10 * (RATE_PERIOD_S if is_open else 1))}
            )
        )
        self.folder = folder
        self.capacity = capacity
        self.searching = Searching(self.plan, folder, far=False)
        self.told = []
        self.old_for = old_for
        """For so many seconds after a break requests of before are in hand."""
        self.guard_above = None
        self.guard_level = "warn"
        self.now_us = 0
        self.stuck_until = 0

    def edited(self):
        noted = self.folder.manifest["search"]["edits"][-1]
        assert tuple(self.plan.load.edits[-1]) == (noted["at_us"], noted["load"])
        assert noted["at_us"] >= self.now_us + LEAD_US
        self.told.append(noted)

    def load_at(self, t_us):
        load = self.plan.load
        if not self.plan.open:
            return users_at(load, t_us)
        return round((volume_before(load, t_us + 1) - volume_before(load, t_us)) * SECOND)

    def report(self, second):
        at_us = second * SECOND
        load = self.load_at(at_us)
        took = 20_000 if load <= self.capacity else 500_000
        if load > self.capacity:
            self.stuck_until = second + self.old_for
        for number, seat in enumerate(WORKERS):
            one = Interval(second, at_us, SECOND)
            name = self.plan.load[-1].name if at_us >= self.searching_from else "calm"
            key = SeriesKey("Reader", "GET", "GET /", Outcome.OK, name)
            series = one.series.setdefault(key, Series(Histogram(), [0]))
            series.histogram.record(took, 50)
            series.over = [50 if took > LIMIT_US else 0]
            if self.plan.open:
                one.arrivals = {ArrivalKey("Reader", name): Arrivals((load + number) // 2)}
                one.user_wait.record(10, max(1, load // 2))
            one.user_us = {"Reader": users_at(self.plan.load, at_us) * SECOND // 2}
            one.first_done_us, one.last_done_us = at_us + 1_000, at_us + 999_000
            one.oldest_us = 3_600 * SECOND if second < self.stuck_until else 0
            self.searching.add(seat, one)

    @property
    def searching_from(self):
        return self.plan.duration_us - self.plan.load[-1].duration_us

    def run(self, until_us=None):
        """Tenths of seconds, to the end of the search or of the plan."""
        keeper = SimpleNamespace(edited=self.edited)
        while not self.searching.over and self.now_us < (until_us or self.plan.duration_us):
            self.now_us += SECOND // 10
            if self.now_us % SECOND == SECOND // 2 and self.now_us > SECOND:
                self.report(self.now_us // SECOND - 1)
                above = self.guard_above is not None and self.load_at(self.now_us) > self.guard_above
                trip = Tripped("target.cpu", self.guard_level, self.now_us, "target.cpu is 91 %")
                self.searching.guarded([trip] if above else [])
            self.searching.look(self.now_us, keeper)
        return self.folder.manifest["search"]


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(tmp_path, "searching", utc_now())
    yield folder
    folder.close()


@pytest.mark.parametrize("is_open", [False, True])
def test_a_search_finds_the_capacity_and_ends_the_run(folder, is_open):
    """Every probe looks at whole seconds of one load, settled; what it did stands in the manifest and the events."""
    clockwork = Clockwork(folder, 120, is_open=is_open)
    noted = clockwork.run()
    steps = clockwork.searching._steps

    assert noted["ending"] == "found"
    assert noted["ended_us"] == clockwork.now_us < clockwork.plan.duration_us
    assert 112 <= clockwork.searching._search.found().capacity <= 120
    for one in noted["probes"]:
        assert one["to_us"] - one["from_us"] == steps.hold_s * SECOND
        assert one["from_us"] >= one["at_us"]
        seen = {clockwork.load_at(t) for t in range(one["from_us"], one["to_us"], SECOND // 4)}
        assert seen == {one["level"]}
        assert (one["word"] == "held") is (one["level"] <= 120)
    kinds = [event["kind"] for event in read_events(folder.path)]
    assert (kinds.count("probe"), kinds.count("search_over")) == (len(noted["probes"]), 1)


def test_the_load_begins_low_whatever_the_phase_says(folder):
    """The searched phase has 300 users, and never as many: the first are those of `from`."""
    clockwork = Clockwork(folder, 50)
    assert clockwork.load_at(9 * SECOND) == 5
    assert clockwork.load_at(10 * SECOND) == 10
    clockwork.run()
    assert max(clockwork.load_at(t * SECOND) for t in range(600)) == 80


def test_what_the_load_before_left_behind_is_waited_for(folder):
    """After a break no second is looked at in which a request of before is in hand, for a while at least."""
    clockwork = Clockwork(folder, 50, old_for=15)
    noted = clockwork.run()
    last_high = next(one for one in noted["probes"] if one["word"] == "broke")
    after = noted["probes"][noted["probes"].index(last_high) + 1]
    assert after["from_us"] >= after["at_us"] + 13 * SECOND
    assert after["word"] == "held"


def test_a_guard_that_warns_turns_the_search_round(folder):
    """Its level counts as a break: after it no higher load is tried, and the capacity lies below."""
    clockwork = Clockwork(folder, 250)
    clockwork.guard_above = 90
    noted = clockwork.run()
    first = next(at for at, one in enumerate(noted["probes"]) if one["guard"])
    assert all(one["level"] <= noted["probes"][first]["level"] for one in noted["probes"][first:])
    assert (noted["probes"][first]["word"], noted["probes"][first]["guarded"]) == ("broke", "target.cpu")
    assert 80 <= clockwork.searching._search.found().capacity <= 90
    assert "target.cpu" in read_events(folder.path)[-1]["text"]


def test_a_guard_that_sees_nothing_breaks_no_load(folder):
    """It has reached no level: the capacity is that of the rules."""
    clockwork = Clockwork(folder, 120)
    clockwork.guard_above, clockwork.guard_level = 0, "blind"
    noted = clockwork.run()
    assert not any(one["guard"] for one in noted["probes"])
    assert 112 <= clockwork.searching._search.found().capacity <= 120


def test_a_short_phase_ends_a_search_in_order_before_the_plan(folder):
    """There is time for some probes: no probe begins that could not end, and what held is told."""
    clockwork = Clockwork(
        folder, 120, seconds=60, search=Search(lowest=10, settle_us=2 * SECOND, hold_us=4 * SECOND)
    )
    noted = clockwork.run()
    assert noted["ending"] == "time"
    assert noted["ended_us"] <= clockwork.plan.duration_us - 2 * SECOND
    assert max(one["to_us"] for one in noted["probes"]) <= noted["ended_us"]


def test_a_stopped_search_says_how_far_it_came(folder):
    """Whoever stops the run: the search was stopped, and the plan's length stays the plan's."""
    clockwork = Clockwork(folder, 120)
    clockwork.run(until_us=120 * SECOND)
    clockwork.searching.finish(clockwork.now_us, stopped=True)
    noted = folder.manifest["search"]
    assert (noted["ending"], noted["ended_us"]) == ("stopped", None)
    assert noted["probes"]


def test_a_master_that_comes_back_goes_on_with_the_search(folder):
    """From the manifest and the edits that were sent: the search ends as it would have."""
    clockwork = Clockwork(folder, 120)
    clockwork.run(until_us=150 * SECOND)
    probes = list(folder.manifest["search"]["probes"])
    again = Clockwork(folder, 120)
    again.plan.load.edits[:] = clockwork.plan.load.edits
    again.now_us = clockwork.now_us
    again.searching.remember(folder.manifest["search"])
    noted = again.run()
    assert noted["probes"][: len(probes)] == probes
    assert noted["ending"] == "found"
    assert 112 <= again.searching._search.found().capacity <= 120


def test_nobody_edits_the_users_of_a_search(folder):
    """The search sets them."""
    clockwork = Clockwork(folder, 120)
    keeper = SimpleNamespace(now_us=20 * SECOND, clock=object(), membership=SimpleNamespace(over=False))
    with pytest.raises(ValueError, match="searches for the load"):
        edit_users(clockwork.plan, keeper, folder, 5, "somebody")
