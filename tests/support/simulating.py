"""A whole cluster in made-up time, and the real verdict on what it leaves."""

from functools import cache
from itertools import accumulate, pairwise
from random import Random

from judging import phase, plan_of
from membering import regions_of
from simulated_link import Path
from simulated_master import Master, Written
from simulated_target import Target, Truth
from simulated_time import Time, ns
from simulated_worker import Process

from analyzer.folder import NO_FIN, JournalFile
from distributed.limits import limits_us
from distributed.placement import seats
from distributed.shares import Shares
from loadproof.measure.journal import Journal
from loadproof.plan.profile import next_change_us, users_at
from loadproof.verdict.evidence import Evidence
from loadproof.verdict.facts import Absence, RunFacts
from loadproof.verdict.grammar import parse_rule
from loadproof.verdict.judge import judge

RULES = ("p95 <= 250ms", "error_ratio <= 1%", "check(correct) >= 100%")
SCENARIOS = {"Reader": 2.0, "Writer": 1.0}
STOP_TIMEOUT_US = 10_000_000
JOIN_S = 5.0
"""How long workers have to join before run time 0, on a link without delay."""
AFTER_DRAIN_S = 20.0
"""How long journals may still take once every worker must have drained; as in the real master."""


@cache
def plan_for_run(seconds=60, users=24, workers=4, regions=None, ramp_s=0, rules=RULES, torn_epochs=0):
    """A closed plan over as many regions as workers, unless told otherwise, at most four; a ramp is warm-up."""
    regions = regions or min(workers, 4)
    load = [phase(seconds=seconds, users=users)]
    if ramp_s:
        load.insert(0, phase("ramp", ramp_s, 0, users, warmup=True))
    return plan_of(
        *rules,
        load=load,
        regions=regions_of(
            *[(workers // regions + (number < workers % regions), None, None) for number in range(regions)]
        ),
        scenarios=SCENARIOS,
        stop_timeout_us=STOP_TIMEOUT_US,
        torn_epochs=torn_epochs,
    )


@cache
def shares_for(plan_id):
    plan = _PLANS[plan_id]
    return Shares(plan, plan.scenarios, {})


@cache
def changes_for(plan_id):
    """Run times at which the plan's users change, the first and the last among them."""
    load = _PLANS[plan_id].load
    found, at_us = [0], 0
    while (at_us := next_change_us(load, at_us)) is not None:
        found.append(at_us)
    return found


_PLANS = {}


class Cluster:
    """Master, workers, links and target of one run; `run` plays it to its end, `judge` gives the verdict."""

    def __init__(self, seed, folder, plan, *, one_way_s=0.02, jitter_s=0.01, loss=0.0, begin=None):
        _PLANS[id(plan)] = plan
        self.chance = Random(seed)
        self.folder = folder
        self.plan = plan
        self.run = f"simulated-{seed}"
        self.time = Time()
        self.zero_ns = ns(JOIN_S + 15 * one_way_s)
        self.end_ns = self.zero_ns + plan.duration_us * 1_000
        self.limits_us = limits_us(plan)
        self.phase_ends = []
        for one in plan.load:
            before = self.phase_ends[-1][1] if self.phase_ends else 0
            self.phase_ends.append((one.name, before + one.duration_us))
        self.changes_us = changes_for(id(plan))
        self.shares = shares_for(id(plan))
        self.target = Target(Random(seed + 1))
        self.active = []
        """(true time, change of the number of active users)."""
        self.events = []
        self.written = Written()
        self.master = None
        self.start_master()
        self.paths = {
            seat.worker: Path(self.time, self.chance, one_way_s=one_way_s, jitter_s=jitter_s, loss=loss)
            for seat in seats(plan.regions)
        }
        self.processes = {}
        """Worker -> its latest process."""
        self.all_processes = []
        for seat in seats(plan.regions):
            self.start_worker(seat.worker)
        self.time.at(self.zero_ns - ns(1 + 3 * one_way_s), self._begin)

    def _begin(self):
        if self.master is not None:
            self.master.begin()

    def note(self, what, who):
        self.events.append((self.time.now_ns, what, who))

    def at(self, run_s, what, *args, **options):
        """Let something happen so long after run time 0."""
        self.time.at(self.zero_ns + ns(run_s), lambda: what(*args, **options))

    # What befalls it.

    def start_worker(self, worker, host=None):
        seat = next(seat for seat in seats(self.plan.regions) if seat.worker == worker)
        home = self.folder / f"host-{host or worker}"
        home.mkdir(exist_ok=True)
        process = Process(self, seat, self.paths[worker], home)
        self.processes[worker] = process
        self.all_processes.append(process)

    def replace(self, worker, host=None):
        """Start a process of the name of one that is dead, on its host or on another."""
        if self.processes[worker].dead:
            self.start_worker(worker, host)

    def kill(self, worker, how="closed"):
        """`closed`: the kernel ends its connections; `vanished`: nobody does; `child`: its parent, the master, sees it."""
        process = self.processes[worker]
        process.kill(kernel_lives=how != "vanished")
        if how == "child":
            self.time.after(0.1, lambda: self.master and self.master.reap(process))

    def freeze(self, worker, seconds):
        self.processes[worker].freeze(seconds)

    def leave(self, worker):
        self.processes[worker].leave()

    def cut(self, worker, seconds, *ways):
        path = self.paths[worker]
        path.cut(seconds, *([ways] if ways else []))

    def reset(self, worker):
        if self.processes[worker].connection is not None:
            self.processes[worker].connection.reset()

    def start_master(self):
        self.master = Master(self, self.written)

    def kill_master(self, seconds=None):
        """For so long, or for good."""
        if self.master is None:
            return
        self.master.kill()
        self.master = None
        if seconds is not None:
            self.time.after(seconds, self.start_master)

    # To its end.

    def run_to_end(self):
        """Until every journal has ended on the master, or has had the time that the real master gives it."""
        patience_ns = self.plan.stop_timeout_us * 1_000 + ns(AFTER_DRAIN_S)
        self.time.run(self.end_ns)
        while self.time.now_ns < self.end_ns + patience_ns and not self.settled:
            self.time.run(self.time.now_ns + ns(0.5))
        if self.master is not None:
            self.master.log.close()
            for epochs in self.written.epochs.values():
                for epoch in epochs:
                    epoch.receiver.copy.close()
        for process in self.all_processes:
            if process.journal is not None:
                process.journal.close()
        return self

    @property
    def settled(self):
        return all(
            epoch.finished or epoch.lost is not None or epoch.process.dead
            for epochs in self.written.epochs.values()
            for epoch in epochs
        )

    # What it leaves.

    def journals(self):
        """As `analyzer.folder` finds them: the manifest names every epoch, the files are the master's copies."""
        return [
            JournalFile(
                epoch.seat.worker,
                epoch.seat.region,
                epoch.epoch,
                Journal(epoch.receiver.copy.path),
                lost=None if epoch.finished else (epoch.lost or NO_FIN),
            )
            for epochs in self.written.epochs.values()
            for epoch in epochs
        ]

    def evidence(self):
        evidence = Evidence(self.plan, self.limits_us)
        journals = self.journals()
        for one in journals:
            if one.journal.header is None:
                one.refused = "it is empty"
            for interval in one.intervals(self.plan.duration_us + 3_600_000_000):
                evidence.add(one.worker, one.region, interval)
        facts = RunFacts(
            run=self.run,
            planned=tuple((seat.worker, seat.region) for seat in seats(self.plan.regions)),
            epochs=tuple(one.found() for one in journals),
            target_counts={"GET /work": len(self.target.asked)},
            lost={one.worker: one.lost for one in journals if one.lost is not None},
            absences=tuple(Absence(**one) for one in self.written.absences.documents()),
            quorum_lost=tuple(Absence(**one) for one in self.written.quorum_lost.documents()),
        )
        return evidence, facts

    def judge(self):
        self.judged, facts = self.evidence()
        rules = [parse_rule(text.text) for text in self.plan.rules]
        return judge(self.plan, rules, self.judged, facts)

    def truth(self):
        judged = {one.name for one in self.plan.load if not one.warmup}
        seconds = sum(one.duration_us for one in self.plan.load if not one.warmup) / 1e6
        return Truth(self.target.asked, judged, seconds)

    def load(self, step_s=0.1):
        """Active users over planned ones, as a mean of each stretch of `step_s`, by the workers' own doing."""
        step_ns = ns(step_s)
        steps = (self.end_ns - self.zero_ns) // step_ns
        area = [0] * (steps + 1)
        changes = sorted((at - self.zero_ns, change) for at, change in self.active)
        users = 0
        for (at, change), (until, _) in pairwise([*changes, (steps * step_ns, 0)]):
            users += change
            first, last = max(at, 0), min(until, steps * step_ns)
            while first < last:
                step = first // step_ns
                end = min(last, (step + 1) * step_ns)
                area[step] += users * (end - first)
                first = end
        load = self.plan.load
        return [
            area[step] / step_ns / max(1, users_at(load, (step * step_ns + step_ns // 2) // 1_000))
            for step in range(steps)
        ]

    def load_over(self, seconds=10, step_s=0.1):
        """Mean load of every stretch of so many seconds."""
        parts = [0.0, *accumulate(self.load(step_s))]
        width = round(seconds / step_s)
        return [(parts[i + width] - parts[i]) / width for i in range(len(parts) - width)]
