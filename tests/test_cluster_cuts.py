"""Cut links, frozen workers, masters that die: nothing is lost or invented, and no load beyond the plan is made."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from cluster import MASTER, TARGET, Cluster, hosts_of, outcome, plan, together
from commands import loadproof, wait_until
from namespaces import routed
from wan import wan

pytestmark = pytest.mark.timeout(900)
"""The first test of a batch waits for all of it."""

BEGIN_S = 5
"""When things begin to happen."""
LEASE_S = 15
BACK_S = 10
"""In which a worker is at work again whose link was healed after its lease had lapsed."""
USERS = 20
BREAKING = {"command": "touch broken", "revert": "rm -f broken"}


@dataclass(frozen=True)
class Scene:
    """One run and what befalls it."""

    act: Callable
    end: int
    """The second in which the cut is healed, or what else it is has passed."""
    seconds: int = 26
    regions: tuple[str, ...] = ("east", "west")
    far: bool = False
    """35 ms one way, and one packet in a hundred lost."""
    faults: tuple[dict, ...] = ()

    def network(self):
        hosts = hosts_of(*self.regions)
        return wan(*hosts, delay_ms=35, loss=0.01, seed=7) if self.far else routed(*hosts)

    def play(self, folder, network):
        more = {"stop_timeout": "5s", "faults": self.faults}
        cluster = Cluster(network, folder, plan(*self.regions, users=USERS, seconds=self.seconds, **more))
        cluster.start()
        cluster.until(BEGIN_S)
        self.act(cluster, self.end)
        return cluster


def cut_one(cluster, end):
    cluster.network.cut(MASTER, "east-01")
    cluster.until(end)
    cluster.network.heal(MASTER, "east-01")
    cluster.finish()


def cut_all(cluster, end):
    cluster.network.cut(MASTER, *cluster.workers)
    cluster.until(end)
    cluster.network.heal(MASTER)
    cluster.finish()


def cut_off(host):
    """Cut a host off from all others, the target from its workers or a worker from its target."""

    def act(cluster, end):
        cluster.network.cut(host)
        cluster.until(end)
        cluster.network.heal(host)
        cluster.finish()

    return act


def freeze_one(cluster, end):
    cluster.freeze("east-01")
    cluster.until(end)
    cluster.thaw("east-01")
    cluster.finish()


def restart_master(cluster, end):
    cluster.kill(MASTER)
    # It takes 2 s to listen, and more where the machine is busy.
    cluster.until(end - 5)
    cluster.resume_master()
    cluster.finish()


def restart_master_in_a_fault(cluster, end):
    """Killed while a fault is open, and back before the next begins."""
    wait_until(cluster.folder.joinpath("broken").exists)
    cluster.kill(MASTER)
    wait_until(lambda: not cluster.folder.joinpath("broken").exists())
    cluster.until(end - 5)
    cluster.resume_master()
    cluster.finish()


def lose_master(cluster, end):
    cluster.until(end)
    cluster.kill(MASTER)
    wait_until(lambda: all(own.state.complete for own in cluster.own_journals().values()), seconds=60)
    cluster.ask_target()
    for worker in cluster.workers:
        cluster.kill(worker)
    folders = [cluster.run, *(own.path.parent for own in cluster.own_journals().values())]
    done = loadproof("recover", *folders, cwd=cluster.folder)
    assert "Traceback" not in done.stdout + done.stderr, done.stderr


def replace_some(cluster, _end):
    """Three are killed, one after the other, and two of them are started again 6 s later."""
    for second, lost in ((BEGIN_S, "east-01"), (18, "west-01"), (31, "west-02")):
        cluster.until(second)
        cluster.kill(lost)
        if lost != "west-02":
            cluster.until(second + 6)
            cluster.start_worker(lost)
    cluster.finish()


SHORT = {
    "one worker cut for 10 s": Scene(cut_one, 15),
    "all cut for 3 s": Scene(cut_all, 8),
    "all cut for 10 s": Scene(cut_all, 15),
    "one cut for 10 s, far away": Scene(cut_one, 15, far=True),
    "a whole host cut off for 10 s": Scene(cut_off("east-01"), 15),
    "the target cut off for 10 s": Scene(cut_off(TARGET), 15),
    "one frozen for 10 s": Scene(freeze_one, 15),
    "master back in 10 s": Scene(restart_master, 15),
    "master back in a fault": Scene(
        restart_master_in_a_fault,
        15,
        30,
        faults=(
            {"kind": "command", "name": "first", "at": "5s", "for": "15s"} | BREAKING,
            {"kind": "command", "name": "second", "at": "21s", "for": "3s"} | BREAKING,
        ),
    ),
    "master gone": Scene(lose_master, 14),
    "three lost, two replaced": Scene(replace_some, 37, 50, ("east:2", "west:2")),
}
LONG = {
    "one of four cut for 40 s": Scene(cut_one, 45, 70, ("east:2", "west:2")),
    "all cut for 60 s": Scene(cut_all, 65, 100),
    "all cut for 300 s": Scene(cut_all, 305, 340),
    "all cut for 10 s, far away": Scene(cut_all, 15, far=True),
    "all cut for 60 s, far away": Scene(cut_all, 65, 100, far=True),
    "one frozen for 10 s, far away": Scene(freeze_one, 15, far=True),
    "one frozen for 40 s": Scene(freeze_one, 45, 70),
    "master back in 10 s, far away": Scene(restart_master, 15, far=True),
    "master back in 40 s": Scene(restart_master, 45, 80),
    "three lost, two replaced, far away": Scene(replace_some, 37, 50, ("east:2", "west:2"), far=True),
}


def playing(scenes, tmp_path_factory):
    """Gives a scene's cluster; all are played when the first of them is asked for."""
    found = {}

    def give(name):
        if not found:
            folder = tmp_path_factory.mktemp("cuts")
            plays = {
                each: (scene.network(), functools.partial(scene.play, folder / each))
                for each, scene in sorted(scenes.items(), key=lambda item: -item[1].seconds)
            }
            found.update(together(plays))
        return outcome(found[name])

    return give


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    return playing(SHORT, tmp_path_factory)


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    return playing(LONG, tmp_path_factory)


def everything_is_there(cluster, run=None):
    """The books close to the last request, and no load was made beyond the plan."""
    books = cluster.books(run)
    assert not books.torn, books
    assert books.lost == books.invented == 0, books
    assert books.started == books.ok == books.counted, books
    own, copies = cluster.own_journals(), cluster.journals(run)
    assert own.keys() == copies.keys()
    assert all(own[name].path.read_bytes() == copies[name].path.read_bytes() for name in own)
    assert cluster.above(1.05, USERS) == {}


def nothing_has_changed(scene, cluster):
    """Every journal is whole, every user was at work in every second, and the run is as good as any."""
    everything_is_there(cluster)
    assert cluster.below(0.99, USERS, 3, scene.seconds) == {}
    assert cluster.events("worker_lost") == []
    found = cluster.report()
    assert found.verdict in {"PASS", "WARN"}, found.reasons
    assert found.books.started == found.books.target_counted
    assert found.books.workers_lost == 0


UNCHANGED = ["one worker cut for 10 s", "all cut for 3 s", "all cut for 10 s", "one cut for 10 s, far away"]


@pytest.mark.parametrize("name", UNCHANGED)
def test_a_cut_within_the_lease_changes_nothing(name, short):
    """Workers go on loading without their master, and send what they have seen when it can be reached again."""
    cluster = short(name)
    nothing_has_changed(SHORT[name], cluster)
    assert set(cluster.codes.values()) == {0}


def test_a_master_that_is_back_within_the_lease_changes_nothing(short):
    """Killed without a word and started again on the same folder, it takes its workers back."""
    nothing_has_changed(SHORT["master back in 10 s"], short("master back in 10 s"))


def test_faults_end_with_their_master_and_go_on_with_the_next(short):
    """What was open when it was killed is whole again and told of; what is still to come happens on time."""
    cluster = short("master back in a fault")
    everything_is_there(cluster)
    begun = {event["who"]: event["at_us"] for event in cluster.events("fault_begins")}
    ended = {event["who"]: event["at_us"] for event in cluster.events("fault_ends")}
    [failed] = cluster.events("fault_failed")
    found = cluster.report()

    assert failed["who"] == "first"
    assert begun.keys() == {"first", "second"}
    assert 21_000_000 <= begun["second"] < 23_000_000
    assert 24_000_000 <= ended["second"] < 27_000_000
    assert found.verdict == "INVALID"
    assert "fault_failed" in {reason.code for reason in found.reasons}
    assert not cluster.folder.joinpath("broken").exists()


@pytest.mark.parametrize("name", ["a whole host cut off for 10 s", "the target cut off for 10 s"])
def test_a_target_that_cannot_be_reached_is_a_slow_one(name, short):
    """Requests whose packets are lost are answered late and counted once; if that stops all, the run is no PASS."""
    cluster = short(name)
    everything_is_there(cluster)
    assert cluster.below(0.99, USERS, 3, SHORT[name].seconds) == {}
    found = cluster.report()
    assert found.totals.latency.max_us > 5_000_000
    if name.startswith("the target"):
        assert found.verdict in {"FAIL", "INVALID"}, found.reasons
    assert found.books.started == found.books.target_counted


def stood_still(scene, cluster):
    """A worker that the kernel did not run loses nothing, and its silence is no PASS."""
    everything_is_there(cluster)
    found = cluster.report()
    assert found.verdict == "INVALID", found.reasons
    assert found.books.started == found.books.target_counted
    assert cluster.below(0.99, USERS, scene.end + BACK_S, scene.seconds) == {}


def test_a_worker_that_stood_still_is_told_of(short):
    """SIGSTOP for 10 s: nothing is lost, but a generator that stood still proves nothing."""
    stood_still(SHORT["one frozen for 10 s"], short("one frozen for 10 s"))


def test_a_dead_masters_run_is_recovered(short):
    """Its workers load under their leases and end with the plan; their journals tell of every request."""
    name = "master gone"
    cluster = short(name)
    [recovered] = (cluster.folder / "reports").glob("*-recovered")
    everything_is_there(cluster, recovered)
    books = cluster.report(recovered).books
    assert books.started == books.ok == cluster.books(recovered).counted


def replaced(scene, cluster):
    """The load is whole 5 s after each loss, what is missing lies in the gaps of torn journals, and they are named."""
    books = cluster.books()
    assert books.invented == 0, books
    assert books.torn == ["east-01-0.journal", "west-01-0.journal", "west-02-0.journal"]
    # An interval a second and 5 users a worker with at most 5 requests a second: what a gap can hold.
    assert books.lost <= 3 * 2 * 25, books
    for name in books.torn:
        copy = (cluster.run / "journals" / name).read_bytes()
        assert cluster.own_journals()[name].path.read_bytes().startswith(copy)
    begins = (5, 18, 31)
    for begin, until in zip(begins, (*begins[1:], scene.seconds), strict=True):
        # A worker that takes its share again hands over within a second, and a dead one's last second is not written.
        assert cluster.below(0.9, USERS, begin + 5, until - 1) == {}
    assert cluster.above(1.05, USERS) == {}
    found = cluster.report()
    assert found.verdict == "INVALID"
    told = " ".join(reason.text for reason in found.reasons)
    assert all(f"{worker} (epoch 0) is torn" in told for worker in ("east-01", "west-01", "west-02"))
    assert {name for name, journal in cluster.journals().items() if journal.state.complete} == {
        "east-01-1.journal",
        "east-02-0.journal",
        "west-01-1.journal",
    }


def test_lost_workers_are_replaced(short):
    """Three are killed and two come back as new processes: each time the others, then all, carry the whole load."""
    name = "three lost, two replaced"
    replaced(SHORT[name], short(name))


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", ["all cut for 60 s", "all cut for 300 s", "all cut for 60 s, far away"])
def test_a_cut_beyond_the_lease_stops_the_load(name, long):
    """Workers load to the end of their lease, stand by, and go on when they are back: no PASS, and nothing lost."""
    scene, cluster = LONG[name], long(name)
    everything_is_there(cluster)
    assert cluster.below(0.99, USERS, 3, BEGIN_S + LEASE_S - 2) == {}
    parked = range(BEGIN_S + LEASE_S + 2, scene.end)
    assert {second for second in parked if cluster.load().get(second, 0.0) > 0} == set()
    assert cluster.below(0.99, USERS, scene.end + BACK_S, scene.seconds) == {}
    found = cluster.report()
    assert found.verdict == "INVALID", found.reasons
    assert found.books.started == found.books.target_counted


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_worker_cut_beyond_its_lease_hands_its_load_over(long):
    """It stops before the other takes over, and has its share again when it is back: never more than the plan."""
    name = "one of four cut for 40 s"
    scene, cluster = LONG[name], long(name)
    everything_is_there(cluster)
    assert cluster.below(0.99, USERS, 3, BEGIN_S + LEASE_S - 2) == {}
    # The other takes over a second after the lease; what comes back is handed over within a second.
    assert cluster.below(0.95, USERS, BEGIN_S + LEASE_S + 3, scene.seconds) == {}
    assert cluster.report().verdict == "WARN"


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", ["all cut for 10 s, far away", "master back in 10 s, far away"])
def test_short_ones_change_nothing_far_away(name, long):
    """As near by, with 70 ms of round trip and one packet in a hundred lost."""
    nothing_has_changed(LONG[name], long(name))


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", ["one frozen for 10 s, far away", "one frozen for 40 s"])
def test_longer_ones_that_stood_still_are_told_of(name, long):
    """Beyond its lease a frozen worker's load moves, and what it had begun is still told of when it goes on."""
    stood_still(LONG[name], long(name))


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_master_that_is_back_late_takes_its_workers_back(long):
    """After 40 s they stand by; it gives them their load again, and the run is INVALID for what was not made."""
    scene, cluster = LONG["master back in 40 s"], long("master back in 40 s")
    everything_is_there(cluster)
    # A master that was restarted waits one lease before it gives load away.
    assert cluster.below(0.99, USERS, scene.end + LEASE_S + BACK_S, scene.seconds) == {}
    assert cluster.report().verdict == "INVALID"


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_lost_workers_are_replaced_far_away(long):
    """As near by, with 70 ms of round trip and one packet in a hundred lost."""
    name = "three lost, two replaced, far away"
    replaced(LONG[name], long(name))
