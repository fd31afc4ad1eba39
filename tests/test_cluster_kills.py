"""Workers killed in the middle of a run: what they wrote is kept, what they had begun is named, others carry their load."""

import functools
import math
import random
from dataclasses import dataclass

import pytest
from cluster import Cluster, hosts_of, outcome, plan, together
from namespaces import routed

pytestmark = pytest.mark.timeout(900)
"""The first test of a batch waits for all of it."""

REGIONS = ("east:2", "west:2")
HOSTS = hosts_of(*REGIONS)
USERS = 24
SECONDS = 20
NOTICED_S = 5
"""From a death that the kernel tells of to the whole load."""
LAPSED_S = 17
"""From the silence of a host that vanished to the whole load: its lease, a second, and one to begin."""


@dataclass(frozen=True)
class Death:
    seed: int
    vanishes: bool = False
    """Its host goes with it: not a packet more."""
    seconds: int = SECONDS

    def __str__(self):
        return f"seed {self.seed}{', vanishing' if self.vanishes else ''}"

    @property
    def victim(self):
        return random.Random(self.seed).choice(HOSTS[2:])

    @property
    def at(self):
        """Some instant while the load stands, early enough to see it whole again."""
        return random.Random(self.seed + 1_000).uniform(3, 8)

    def play(self, folder, network):
        cluster = Cluster(
            network, folder, plan(*REGIONS, users=USERS, seconds=self.seconds, stop_timeout="2s")
        )
        cluster.start()
        cluster.until(self.at)
        dying = cluster.now
        if self.vanishes:
            network.cut(self.victim)
        cluster.kill(self.victim)
        dead = cluster.now
        cluster.finish()
        return cluster, dying, dead


SAMPLE = [Death(1), Death(2), Death(3, vanishes=True, seconds=32)]
FIFTY = [
    Death(seed, vanishes=seed % 5 == 0, seconds=32 if seed % 5 == 0 else SECONDS) for seed in range(4, 51)
]
STEADY = [Death(101, seconds=90), Death(102, vanishes=True, seconds=100)]


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """Gives the cluster of a death, and when it began and had come; a batch is played when the first of them is asked for."""
    found = {}

    def give(death, batch):
        if death not in found:
            folder = tmp_path_factory.mktemp("kills")
            scenes = {
                each: (routed(*HOSTS), functools.partial(each.play, folder / str(each))) for each in batch
            }
            found.update(together(scenes))
        return outcome(found[death])

    return give


def check(death, cluster, dying, dead):
    books = cluster.books()
    victim = f"{death.victim}-0.journal"
    assert books.torn == [victim]
    assert books.invented == 0, books
    assert books.failed == books.unfinished == 0, books
    # It has at most six users of five requests a second, and writes an interval a second.
    assert 0 <= books.lost <= 6 * 5 * 2, books
    own = cluster.own_journals()[victim].path.read_bytes()
    copy = (cluster.run / "journals" / victim).read_bytes()
    assert own.startswith(copy), "the master has what the dead worker never wrote"
    if not death.vanishes:
        assert len(own) == len(copy), "a second that was written is missing on the master"
    back = math.ceil(dead + (LAPSED_S if death.vanishes else NOTICED_S))
    assert back < death.seconds - 3
    assert cluster.below(0.99, USERS, 3, dying - 1) == {}
    assert cluster.below(0.99, USERS, back, death.seconds) == {}
    assert cluster.above(1.05, USERS) == {}
    assert [event["who"] for event in cluster.events("worker_lost")] == [death.victim]
    found = cluster.report()
    assert found.verdict == "INVALID", found.reasons
    assert any(f"{death.victim} (epoch 0) is torn" in reason.text for reason in found.reasons)
    [gap] = found.books.gaps
    assert gap.worker == death.victim
    assert found.books.started == books.started == books.ok + gap.in_flight
    assert found.books.target_counted == books.counted
    assert {name: code for name, code in cluster.codes.items() if name != "master"} == dict.fromkeys(
        (worker for worker in cluster.workers if worker != death.victim), 0
    )


@pytest.mark.parametrize("death", SAMPLE, ids=str)
def test_a_killed_workers_load_is_taken_over(death, played):
    """Within 5 s if the kernel closed its connections, else when its lease has lapsed; never more than the plan."""
    check(death, *played(death, SAMPLE))


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("death", FIFTY, ids=str)
def test_every_killed_workers_load_is_taken_over(death, played):
    """As above, at fifty instants in all."""
    check(death, *played(death, FIFTY))


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("death", STEADY, ids=str)
def test_the_load_stays(death, played):
    """As above, and to the end of a run that goes on for more than 65 s."""
    check(death, *played(death, STEADY))
