"""Fault schedules for a simulated cluster, and a target that is only bad while something is cut or dead."""

from random import Random

from simulated_link import DOWN, UP
from simulated_target import Trouble
from simulated_time import ns
from simulating import RULES, Cluster, plan_for_run

FAULTS_S = (-2, 61)
"""When faults begin, of a run of 60 s: while workers join, and while they drain too."""
PLANS = (
    {"workers": 4},
    {"workers": 4, "regions": 2},
    {"workers": 2, "regions": 1},
    {"workers": 6, "regions": 2, "users": 36},
    {"workers": 3, "ramp_s": 10, "seconds": 50},
    {"workers": 4, "regions": 2, "torn_epochs": 1},
)
FAULTS = (
    "cut",
    "cut",
    "cut_all",
    "one_way",
    "reset",
    "closed",
    "vanished",
    "child",
    "freeze",
    "master",
    "leave",
)
HARMLESS = ("cut", "cut_all", "one_way", "reset", "master", "leave")


class Schedule:
    """One cluster with a few faults; `text` tells which."""

    def __init__(self, seed, folder, *, harmless=False):
        self.chance = Random(f"faults {seed} {harmless}")
        chance = self.chance
        self.told = []
        shape = dict(chance.choice(PLANS[:2] + PLANS[3:4] if harmless else PLANS))
        users = shape.setdefault("users", 24)
        plan = plan_for_run(**shape, rules=(*RULES, f"rate >= {round(0.9 * users)}/s"))
        self.cluster = Cluster(
            seed,
            folder,
            plan,
            one_way_s=chance.choice((0.0005, 0.035, 0.1) if harmless else (0.0005, 0.035, 0.1, 0.3, 1.0)),
            jitter_s=chance.choice((0.0, 0.02)),
            loss=chance.choice((0.0, 0.01)),
        )
        self.workers = list(self.cluster.processes)
        self.harmless = harmless
        kinds = [chance.choice(HARMLESS if harmless else FAULTS) for _ in range(chance.randint(1, 3))]
        if harmless and shape.get("regions") is None:
            # The one worker of its region may not leave: its quorum would be lost.
            kinds = [kind for kind in kinds if kind != "leave"] or ["cut"]
        if harmless:
            # One at a time, with time between to heal: each is shorter than the rules allow, not all together.
            kinds = kinds[:2]
        for number, kind in enumerate(kinds):
            at_s = 3 + 24 * number + chance.uniform(0, 10) if harmless else chance.uniform(*FAULTS_S)
            self._befall(kind, at_s, chance.choice(self.workers))

    @property
    def text(self):
        return "; ".join(self.told)

    def _befall(self, kind, at_s, worker):
        cluster, chance = self.cluster, self.chance
        lasts_s = chance.uniform(0.3, 10 if self.harmless else 40)
        match kind:
            case "cut":
                cluster.at(at_s, cluster.cut, worker, lasts_s)
            case "cut_all":
                lasts_s = min(lasts_s, 8) if self.harmless else lasts_s
                for each in self.workers:
                    cluster.at(at_s, cluster.cut, each, lasts_s)
            case "one_way":
                cluster.at(at_s, cluster.cut, worker, lasts_s, chance.choice((UP, DOWN)))
            case "reset":
                lasts_s = 2.0
                cluster.at(at_s, cluster.reset, worker)
            case "closed" | "vanished" | "child":
                cluster.at(at_s, cluster.kill, worker, kind)
                if chance.random() < 0.4:
                    cluster.at(
                        at_s + chance.uniform(0.5, 20),
                        cluster.replace,
                        worker,
                        chance.choice((None, "spare")),
                    )
            case "freeze":
                lasts_s = chance.uniform(0.3, 25)
                cluster.at(at_s, cluster.freeze, worker, lasts_s)
            case "master":
                lasts_s = chance.uniform(0.3, 8 if self.harmless else 25)
                # Before the load has begun there is no run to go on with.
                at_s = max(at_s, 0.1)
                cluster.at(at_s, cluster.kill_master, lasts_s)
            case "leave":
                cluster.at(at_s, cluster.leave, worker)
        self.told.append(f"{kind} {worker} at {at_s:.2f} s for {lasts_s:.2f} s")
        if not self.harmless and kind != "leave":
            self._be_bad(at_s, lasts_s, worker)

    def _be_bad(self, at_s, lasts_s, worker):
        """Some share of all requests, or only of the worker's own, goes wrong meanwhile."""
        chance, cluster = self.chance, self.cluster
        trouble = Trouble(
            cluster.zero_ns + ns(at_s),
            cluster.zero_ns + ns(at_s + lasts_s),
            chance.choice(("failed", "wrong", "slow", "hanging")),
            chance.choice((0.01, 0.05, 0.3, 1.0)),
            chance.choice((None, worker)),
        )
        cluster.target.troubles.append(trouble)
        self.told.append(f"{trouble.share:.0%} {trouble.kind} for {trouble.worker or 'all'}")


class Found:
    """What one schedule came to, by the verdict and by the target's own memory."""

    def __init__(self, schedule):
        cluster = schedule.cluster.run_to_end()
        plan = cluster.plan
        self.judgement = cluster.judge()
        self.verdict = self.judgement.verdict
        truth = cluster.truth()
        rate_limit = round(0.9 * plan.max_users)
        self.broken = [
            what
            for what, is_so in (
                ("p95", truth.p95_us is not None and truth.p95_us > 250_000),
                ("errors", truth.failed > 0.01 * truth.requests),
                ("wrong answers", truth.wrong > 0),
                ("rate", truth.rate < rate_limit),
            )
            if is_so
        ]
        told_of = sum(worker.started for worker in cluster.judged.workers.values())
        self.missing = len(cluster.target.asked) - told_of
        steady_from = sum(one.duration_us for one in plan.load if one.warmup) // 100_000
        # Run time is each worker's own: at both ends it may be off by half a round trip.
        windows = cluster.load_over(10)[steady_from + 10 : -10]
        self.load = (min(windows), max(windows))

    @property
    def is_bad(self):
        """No PASS may come of it."""
        return bool(self.broken or self.missing) or self.load[0] < 0.94 or self.load[1] > 1.06

    def __str__(self):
        return (
            f"{self.verdict}: broken {self.broken}, {self.missing} requests unknown, load {self.load[0]:.1%} to "
            f"{self.load[1]:.1%}; {[reason.text for reason in self.judgement.reasons]}"
        )
