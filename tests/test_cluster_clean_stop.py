"""A run that ends in order loses no request and invents none, however far and slow the target is."""

import functools
import itertools
from dataclasses import dataclass

import pytest
from cluster import Cluster, hosts_of, outcome, plan, together
from namespaces import routed
from wan import wan

pytestmark = pytest.mark.timeout(900)
"""The first test of a batch waits for all of it."""

REGIONS = ("east", "west")
REPLY_S = 3


@dataclass(frozen=True)
class Case:
    rtt_ms: int
    stop_s: float
    """The stop timeout."""
    by: str = "plan"
    """Who ends the run: the plan, or a signal to the master half a second before it would."""

    def __str__(self):
        return f"rtt {self.rtt_ms} ms, stop timeout {self.stop_s} s, by {self.by}"

    @property
    def plan_s(self):
        """Enough for a first answer and a second request."""
        return 8 + 2 * self.rtt_ms // 1_000

    def network(self):
        hosts = hosts_of(*REGIONS)
        return wan(*hosts, delay_ms=self.rtt_ms / 2) if self.rtt_ms else routed(*hosts)

    def play(self, folder, network):
        text = plan(*REGIONS, users=40, seconds=self.plan_s, stop_timeout=f"{self.stop_s * 1_000:g}ms")
        cluster = Cluster(network, folder, text, switches=[f"slow={REPLY_S}s"])
        cluster.start()
        if self.by == "signal":
            cluster.until(self.plan_s - 0.5)
            cluster.terminate("master")
        cluster.finish()
        return cluster

    @property
    def patient(self):
        """Every request in flight can be answered in time."""
        return self.stop_s > REPLY_S + 3 * self.rtt_ms / 1_000


SAMPLE = [Case(0, 10), Case(200, 0), Case(600, 10, "signal"), Case(2_000, 60)]
EVERY = [
    case
    for case in itertools.starmap(
        Case, itertools.product((0, 200, 600, 2_000), (0, 1, 10, 60), ("plan", "signal"))
    )
    if case not in SAMPLE
]


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """Gives the cluster of a case; a batch of cases is played when the first of them is asked for."""
    found = {}

    def give(case, batch):
        if case not in found:
            folder = tmp_path_factory.mktemp("stop")
            scenes = {
                each: (each.network(), functools.partial(each.play, folder / str(each))) for each in batch
            }
            found.update(together(scenes))
        return outcome(found[case])

    return give


def check(case, cluster):
    books = cluster.books()
    assert books.lost == books.invented == 0, books
    assert not books.torn
    assert books.started == books.ok + books.failed + books.unfinished
    assert books.started > 40, "no user came to its second request"
    found = cluster.report().books
    assert found.target_counted == books.counted
    assert found.differences == found.gaps == ()
    if case.patient:
        assert books.unfinished == books.failed == 0, books
        assert books.started == books.counted
    if case.stop_s == 0:
        assert books.unfinished > 0, "nothing was in flight: the case shows nothing"
    assert sum(journal.state.fin.started for journal in cluster.journals().values()) == books.started
    assert cluster.codes == {"master": 0 if case.by == "plan" else 143, "east-01": 0, "west-01": 0}


@pytest.mark.parametrize("case", SAMPLE, ids=str)
def test_a_clean_stop_loses_nothing(case, ended):
    """The journals and the target's count agree, and what was in flight is answered or named."""
    check(case, ended(case, SAMPLE))


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("case", EVERY, ids=str)
def test_no_clean_stop_loses_anything(case, ended):
    """As above, for every round trip, stop timeout and way to end."""
    check(case, ended(case, [other for other in EVERY if other.rtt_ms == case.rtt_ms]))
