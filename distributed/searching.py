"""The search of a run that goes on: the load that it asks for next, for whoever carries it out, and what came of it.

Every step is an edit of the plan's load for a moment to come, written into the manifest before any worker hears of it,
and every probe is judged from the intervals of its own seconds: what it did can be gone through again from the folder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from distributed.limits import limits_us
from loadproof.plan.edits import EditedLoad, LoadEdit
from loadproof.plan.search import searched_from_us, steps_of
from loadproof.verdict.criteria import criteria
from loadproof.verdict.evidence import SECOND_US
from loadproof.verdict.facts import RunFacts, Sample
from loadproof.verdict.probes import WAITED_US, Probed, Step, evidence_of, judge_probe
from loadproof.verdict.samples import sampled_name
from loadproof.verdict.search import Ending, Search, Word
from loadproof.verdict.searched import asked_of, level_of, searched

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from distributed.guards import Tripped
    from distributed.load_keeper import LoadKeeper
    from distributed.placement import Seat
    from distributed.run_folder import RunFolder
    from loadproof.measure.interval import Interval
    from loadproof.plan.model import Plan
    from loadproof.verdict.evidence import Evidence

LEAD_US: Final = 1_000_000
"""Before a change of the load, in which every worker of this machine hears of it."""
FAR_LEAD_US: Final = 2_000_000
"""The same for workers elsewhere."""
LAST_US: Final = 2_000_000
"""Of the plan after the last probe, at least."""
MOST_SETTLING: Final = 3
"""Times a probe's own length, and at least `SETTLING_S`, that what the load before left behind is waited for."""
SETTLING_S: Final = 10
SHRINKS_S: Final = 4
"""A queue of starts that has not become shorter for so long is not what the load before left behind."""
SILENT_US: Final = 5_000_000
"""A worker that has reported nothing for so long is not waited for."""
GUARDS: Final = frozenset({"memory", "cpu", "memory_growth", "errors"})
"""Those whose levels a load can reach."""
WHO: Final = "search"


class Searching:
    """Looks a few times a second; nothing here waits."""

    def __init__(self, plan: Plan, folder: RunFolder, *, far: bool) -> None:
        """`plan` has a load that takes edits; `far` says that workers are on other machines."""
        began_us = searched_from_us(plan)
        assert began_us is not None
        assert isinstance(plan.load, EditedLoad)
        self._plan = plan
        self._folder = folder
        self._lead_us = FAR_LEAD_US if far else LEAD_US
        self._steps = steps_of(plan)
        self._search = Search(asked_of(plan))
        self._probes: list[dict[str, Any]] = []
        self._probed: list[Probed] = []
        self._level = self._steps.lowest
        self._at_us = began_us
        """From here on there is the load of `_level`."""
        self._step: Step | None = None
        self._evidence: Evidence | None = None
        self._reported_us: dict[str, int] = {}
        self._oldest_us: dict[str, int] = {}
        """Worker -> when the oldest request that it had in hand began, as of its last interval."""
        self._waits_us: dict[int, int] = {}
        """Second since the last change -> how long a start of an open plan waited in it for its user, at most."""
        self._names = {sampled_name(rule) for rule in criteria(plan) if rule.statistic.is_sampled}
        self._samples: dict[str, list[Sample]] = {}
        self._guard: Tripped | None = None
        self._is_guarded = False
        self._came_down = False
        self._next: int | None = None
        """The load that comes when the target has got over a break."""
        self._patience_us = (
            max(MOST_SETTLING * (self._steps.settle_s + self._steps.hold_s), SETTLING_S) * SECOND_US
        )
        self._end_us = plan.duration_us - LAST_US
        for guard in plan.guards:
            levels = [level for level in (guard.warn, guard.stop) if level is not None]
            if guard.name == "duration" and levels:
                self._end_us = min(self._end_us, min(levels) - LAST_US)
        self.over = False

    def remember(self, noted: Mapping[str, Any]) -> None:
        """Go on where the master of this run, that was killed, was: with what it had noted in the manifest."""
        for probe in noted["probes"]:
            self._probes.append(dict(probe))
            self._search.level = probe["level"]
            self._search.tell(Word(probe["word"]))
        # What was noted and never sent was no edit.
        assert isinstance(self._plan.load, EditedLoad)
        edit = self._plan.load.edits[-1]
        self._at_us, self._level = edit.at_us, edit.load // self._steps.grain
        if self._probes:
            self._at_us = max(self._at_us, self._probes[-1]["to_us"])
        if self._search.level != self._level:
            self._next = self._search.level
        self._note()

    def add(self, seat: Seat, interval: Interval) -> None:
        """A worker reports a second."""
        worker, closed_us = seat.worker, interval.start_us + interval.length_us
        self._reported_us[worker] = max(closed_us, self._reported_us.get(worker, 0))
        self._oldest_us[worker] = closed_us - (interval.oldest_us or 0)
        waited_us = interval.user_wait.max or 0
        self._waits_us[interval.second] = max(waited_us, self._waits_us.get(interval.second, 0))
        if self._step is not None and self._evidence is not None and interval.second in self._step.seconds:
            self._evidence.add(worker, seat.region, interval)

    def sample(self, at_us: int, name: str, value: float) -> None:
        if name in self._names:
            self._samples.setdefault(name, []).append(Sample(at_us, value))

    def guarded(self, reached: Iterable[Tripped]) -> None:
        """The levels of guards that are reached now: a load at which one is reached is too much."""
        seen = [
            trip
            for trip in reached
            if trip.guard.rpartition(".")[2] in GUARDS and trip.level in {"warn", "stop"}
        ]
        self._is_guarded = bool(seen)
        # Guards look back for some seconds: what they see just after the load went down is of the load before.
        if seen and self._guard is None and not (self._came_down and self._step is None):
            self._guard = seen[0]

    def look(self, now_us: int, keeper: LoadKeeper) -> None:
        """Do what is due: look at the load, judge a probe, ask for the next load, or be over."""
        if self.over or now_us < self._at_us or not self._reported_us:
            return
        if self._search.level is None:
            self._go_on(now_us, keeper)
        elif self._next is not None:
            self._rest(now_us, keeper)
        elif self._step is None:
            self._settle(now_us)
        elif min(self._reporting()) >= self._step.to_us:
            self._judge(self._step)
            self._go_on(now_us, keeper)

    def finish(self, now_us: int, *, stopped: bool) -> None:
        """The run ends: note how far the search came."""
        if self.over:
            return
        self.over = True
        self._search.give_up(Ending.STOPPED if stopped else Ending.TIME)
        self._note(ended_us=None if stopped else now_us, ending=self._search.ending)
        self._folder.event(now_us, "search_over", self._result, WHO)

    @property
    def line(self) -> str:
        """For a panel: what is tried, and between what the capacity lies."""
        found = self._search.found()
        low = None if found.low is None else level_of(self._plan, round(found.low))
        known = f", holds {low}" if low else ""
        if found.low is not None and found.high is not None:
            known = f", the capacity lies between {low} and {level_of(self._plan, round(found.high))}"
        doing = "settling" if self._step is None else "looking"
        return f"{level_of(self._plan, self._level)}{known} (probe {len(self._probes) + 1}, {doing})"

    @property
    def _result(self) -> str:
        return searched(self._plan, self._probed, self._search.ending).text

    def _reporting(self) -> list[int]:
        latest = max(self._reported_us.values())
        return [at_us for at_us in self._reported_us.values() if at_us > latest - SILENT_US]

    @property
    def _is_settled(self) -> bool:
        """Nothing is in hand that was begun before the load changed, and no queue that it left behind."""
        if any(began_us < self._at_us for began_us in self._oldest_us.values()):
            return False
        if self._came_down and self._is_guarded:
            return False
        since = self._at_us // SECOND_US
        waits = [self._waits_us[second] for second in sorted(self._waits_us) if second > since][-SHRINKS_S:]
        is_shrinking = len(waits) < SHRINKS_S or waits[-1] < waits[0]
        return not waits or waits[-1] <= WAITED_US or not is_shrinking

    def _settle(self, now_us: int) -> None:
        """Fix the seconds to look at, once the load has settled; before any of them is reported."""
        settle_us = self._steps.settle_s * SECOND_US
        repeated = bool(self._probes) and self._probes[-1]["level"] == self._level
        earliest = -(-(self._at_us + (0 if repeated else settle_us)) // SECOND_US)
        reported = max(self._reported_us.values()) // SECOND_US
        if reported + 1 < earliest:
            return
        latest = min(self._at_us + self._patience_us, self._end_us - self._steps.hold_s * SECOND_US)
        if not repeated and now_us < latest and not self._is_settled:
            return
        first = max(earliest, reported + 1)
        self._step = Step(
            self._level, self._at_us, first * SECOND_US, (first + self._steps.hold_s) * SECOND_US
        )
        self._evidence = evidence_of(self._plan, self._steps.grain, self._step, limits_us(self._plan))
        self._samples.clear()
        self._waits_us.clear()

    def _judge(self, step: Step) -> None:
        assert self._evidence is not None
        if self._guard is not None:
            step = Step(step.level, step.at_us, step.from_us, step.to_us, self._guard.why, self._guard.guard)
        facts = RunFacts("live", (), (), {name: tuple(samples) for name, samples in self._samples.items()})
        probed = judge_probe(self._evidence, step, facts)
        self._probed.append(probed)
        self._probes.append(
            {
                "level": step.level,
                "at_us": step.at_us,
                "from_us": step.from_us,
                "to_us": step.to_us,
                "guard": step.guard,
                "guarded": step.guarded,
                "word": probed.word.value,
            }
        )
        self._search.tell(probed.word)
        said = {Word.HELD: "held", Word.BROKE: "broke", Word.NOTHING: "says nothing"}[probed.word]
        self._folder.event(
            step.to_us, "probe", f"{level_of(self._plan, step.level)} {said}: {probed.why}", WHO
        )
        self._step = self._evidence = self._guard = None

    def _go_on(self, now_us: int, keeper: LoadKeeper) -> None:
        level = self._search.level
        at_us = now_us + self._lead_us
        probe_us = (self._steps.settle_s + self._steps.hold_s + 1) * SECOND_US
        if level is None or at_us + probe_us > self._end_us:
            self._search.give_up(Ending.TIME)
            self.over = True
            self._note(ended_us=now_us, ending=self._search.ending)
            self._folder.event(now_us, "search_over", self._result, WHO)
            return
        if level == self._level:
            self._at_us = now_us
            self._note()
            return
        if self._plan.open and self._search.probes[-1].word is Word.BROKE:
            # Arrivals that nobody could serve stand in a queue, which a load just below the capacity takes long to drain.
            self._next = level
            level = self._steps.lowest
        self._change(at_us, level, keeper)

    def _rest(self, now_us: int, keeper: LoadKeeper) -> None:
        """Go on to the next load when the queue that a break left behind is gone."""
        assert self._next is not None
        is_known = max(self._reported_us.values()) >= self._at_us + 2 * SECOND_US
        if is_known and (self._is_settled or now_us >= self._at_us + self._patience_us):
            level, self._next = self._next, None
            self._change(now_us + self._lead_us, level, keeper)

    def _change(self, at_us: int, level: int, keeper: LoadKeeper) -> None:
        """Let there be this load from then on."""
        if level == self._level:
            self._at_us = at_us
            return
        self._came_down = level < self._level
        self._at_us, self._level = at_us, level
        edit = LoadEdit(at_us, level * self._steps.grain)
        self._note(edit)
        assert isinstance(self._plan.load, EditedLoad)
        self._plan.load.edits.append(edit)
        keeper.edited()

    def _note(
        self, edit: LoadEdit | None = None, ended_us: int | None = None, ending: Ending | None = None
    ) -> None:
        assert isinstance(self._plan.load, EditedLoad)
        edits = [*self._plan.load.edits, *([] if edit is None else [edit])]
        self._folder.write_manifest(
            search={
                "edits": [edit._asdict() for edit in edits],
                "probes": self._probes,
                "ended_us": ended_us,
                "ending": None if ending is None else ending.value,
            }
        )
