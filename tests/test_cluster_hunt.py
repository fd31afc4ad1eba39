"""Failures that happen only where nobody looks: on a worker that is cut off or about to die, and at no other time."""

import functools
import random
from dataclasses import dataclass

import pytest
from cluster import MASTER, VISITOR, Cluster, hosts_of, outcome, plan, together
from namespaces import routed

from loadproof.verdict.result import Verdict

pytestmark = pytest.mark.timeout(900)
"""The first test of a batch waits for all of it."""

REGIONS = ("east:2", "west:2")
HOSTS = hosts_of(*REGIONS)
WORKERS = HOSTS[2:]
USERS = 24
SECONDS = 32
FAILING = VISITOR.replace(
    '        self.client.get("/policies")\n',
    '        self.client.get("/nowhere" if Path("failing").exists() else "/policies")\n',
).replace("from locust", "from pathlib import Path\n\nfrom locust", 1)
"""Asks for what is not there as long as a file lies beside it, on its own host."""
KINDS = ("one is cut off", "all are cut off", "one is cut off and dies", "one dies", "its host vanishes")


@dataclass(frozen=True)
class Schedule:
    seed: int

    @property
    def kind(self):
        return KINDS[self.seed % len(KINDS)]

    def play(self, folder, network):
        """At least five seconds of failures on a quarter of the users: over 3 % of all requests, where 1 % may fail."""
        chance = random.Random(self.seed)
        cluster = Cluster(
            network, folder, plan(*REGIONS, users=USERS, seconds=SECONDS, stop_timeout="2s"), visitor=FAILING
        )
        cluster.start()
        begin, length = chance.uniform(3, 8), chance.uniform(6, 11)
        victims = WORKERS if self.kind == "all are cut off" else (chance.choice(WORKERS),)
        flags = [folder / victim / "failing" for victim in victims]
        cluster.until(begin)
        if "cut" in self.kind or "vanish" in self.kind:
            for victim in victims:
                network.cut(victim, MASTER)
        for flag in flags:
            flag.touch()
        cluster.until(begin + length - 0.5)
        if "die" in self.kind or "vanish" in self.kind:
            cluster.kill(victims[0])
        for flag in flags:
            flag.unlink()
        if "vanish" not in self.kind:
            for victim in victims:
                network.heal(victim, MASTER)
        cluster.finish()
        return cluster


SAMPLE = [Schedule(0)]
TWENTY = [Schedule(seed) for seed in range(1, 21)]


@pytest.fixture(scope="module")
def hunted(tmp_path_factory):
    """Gives the cluster of a schedule; a batch is played when the first of them is asked for."""
    found = {}

    def give(schedule, batch):
        if schedule not in found:
            folder = tmp_path_factory.mktemp("hunt")
            scenes = {
                each: (routed(*HOSTS), functools.partial(each.play, folder / str(each.seed)))
                for each in batch
            }
            found.update(together(scenes))
        return outcome(found[schedule])

    return give


@pytest.mark.parametrize(
    ("schedule", "batch"),
    [
        *((schedule, SAMPLE) for schedule in SAMPLE),
        *(pytest.param(schedule, TWENTY, marks=pytest.mark.long) for schedule in TWENTY),
    ],
    ids=lambda value: f"{value.seed} {value.kind}" if isinstance(value, Schedule) else "",
)
def test_no_failure_that_nobody_saw_is_passed(hunted, schedule, batch):
    """What came back is FAIL, for more than 1 % has failed; what did not come back makes the run INVALID."""
    cluster = hunted(schedule, batch)
    verdict = cluster.report().verdict
    books = cluster.books()

    assert verdict in {Verdict.FAIL, Verdict.INVALID}, books
    if not books.torn:
        assert verdict is Verdict.FAIL
        assert books.failed > 0.02 * books.started
