"""The verdict on clusters that are cut, killed and frozen, in made-up time, against what the target itself remembers."""

from collections import Counter

import pytest
from simulated_faults import Found, Schedule
from simulating import Cluster, plan_for_run

from loadproof.measure.journal import Journal
from loadproof.verdict.result import Verdict

GREEN = {Verdict.PASS, Verdict.WARN}
WHOLE = 0.9999
"""Of the load: all of it, but for rounding."""


def hunt(seeds, tmp_path, *, harmless=False):
    """Play these schedules; how many there were of (verdict, whether it had to be bad)."""
    came = Counter()
    for seed in seeds:
        folder = tmp_path / str(seed)
        folder.mkdir()
        schedule = Schedule(seed, folder, harmless=harmless)
        found = Found(schedule)
        came[found.verdict, found.is_bad] += 1
        # A plan that tolerates a torn journal says itself that WARN is enough where evidence is missing.
        allowed = {Verdict.WARN} if schedule.cluster.plan.tolerate.torn_epochs else set()
        if harmless:
            assert found.verdict in GREEN, f"seed {seed}: {schedule.text}: {found}"
        elif found.is_bad:
            assert found.verdict not in GREEN - allowed, f"seed {seed}: {schedule.text}: {found}"
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
    return came


@pytest.mark.parametrize("block", range(6))
def test_no_run_passes_that_was_bad(tmp_path, block):
    """300 schedules in which the target fails only while something is cut or dead: none of the bad runs is green."""
    came = hunt(range(block * 50, block * 50 + 50), tmp_path)

    # The hunt is none unless most runs are bad, and of both sorts: seen by the journals, and lost with them.
    assert sum(count for (_, is_bad), count in came.items() if is_bad) >= 30
    assert came[Verdict.FAIL, True] >= 5
    assert came[Verdict.INVALID, True] >= 5


@pytest.mark.long
@pytest.mark.parametrize("block", range(10))
def test_no_run_passes_that_was_bad_in_full(tmp_path, block):
    """The same in 1,000 schedules."""
    hunt(range(block * 100, block * 100 + 100), tmp_path)


def test_runs_that_healed_in_time_are_green(tmp_path):
    """Cuts and restarts shorter than the lease, and workers that leave in order, make no run of a good target bad."""
    came = hunt(range(40), tmp_path, harmless=True)

    assert came[Verdict.PASS, False] >= 10
    assert came[Verdict.WARN, False] >= 5
    assert not any(is_bad for _, is_bad in came)


def test_a_judge_of_rules_alone_is_found_out(tmp_path, monkeypatch):
    """The hunt finds a verdict that does not ask whether the evidence is whole and the load was there."""
    monkeypatch.setattr("loadproof.verdict.judge.validity_reasons", lambda *_: [])
    with pytest.raises(AssertionError, match="seed"):
        hunt(range(60), tmp_path)


def test_a_judge_of_validity_alone_is_found_out(tmp_path, monkeypatch):
    """The hunt finds a verdict that takes every limit for kept."""
    monkeypatch.setattr("loadproof.verdict.judge._judge_rules", lambda *_: [])
    with pytest.raises(AssertionError, match="seed"):
        hunt(range(60), tmp_path)


# Single faults, each as the design says. Two workers a region, so that the loss of one does not lose the quorum.


def cluster_of(tmp_path, seconds=60, **plan):
    return Cluster(5, tmp_path, plan_for_run(seconds, workers=4, regions=2, **plan))


def whole(cluster):
    """Every journal on the master is its worker's own, to the last byte, and holds every request."""
    for epochs in cluster.written.epochs.values():
        for epoch in epochs:
            assert epoch.receiver.copy.path.read_bytes() == epoch.process.file.read_bytes()
            assert epoch.finished
    evidence, _ = cluster.evidence()
    assert sum(worker.started for worker in evidence.workers.values()) == len(cluster.target.asked)


@pytest.mark.parametrize("seconds", [3, 10])
@pytest.mark.parametrize("cut", ["one", "all"])
def test_a_cut_within_the_lease_changes_nothing(tmp_path, seconds, cut):
    """The load goes on, the journals are filled up afterwards, and the run passes."""
    cluster = cluster_of(tmp_path)
    for worker in list(cluster.processes)[: 1 if cut == "one" else None]:
        cluster.at(15, cluster.cut, worker, seconds)
    cluster.run_to_end()

    assert min(cluster.load()[5:-5]) >= WHOLE
    whole(cluster)
    assert cluster.judge().verdict == "PASS"


@pytest.mark.parametrize("one_way_s", [0.0005, 0.035, 0.1, 0.3, 1.0])
def test_a_connection_that_was_reset_moves_nothing(tmp_path, one_way_s):
    """Whatever broke it, nobody is dead: over any round trip the worker is back before its load would be another's."""
    cluster = Cluster(5, tmp_path, plan_for_run(workers=2), one_way_s=one_way_s)
    cluster.at(15, cluster.reset, "r0-01")
    cluster.run_to_end()

    load = cluster.load()
    assert max(load) <= 1.0001
    assert min(load[5:-5]) >= WHOLE
    assert cluster.judge().verdict == "PASS"


def test_one_worker_cut_for_longer_parks_and_comes_back(tmp_path):
    """It stops before its load moves, which is carried by others a second after the lease; its journal is whole."""
    cluster = cluster_of(tmp_path, 90)
    cluster.at(15, cluster.cut, "r0-01", 40)
    cluster.run_to_end()

    load = cluster.load()
    assert max(load) <= 1.0001
    assert min(load[5:289]) >= WHOLE
    assert min(load[325:540]) >= WHOLE
    assert min(load[600:-5]) >= WHOLE
    whole(cluster)
    judgement = cluster.judge()
    assert judgement.verdict in {"WARN", "INVALID"}
    assert "worker_away" in {reason.code for reason in judgement.reasons}


@pytest.mark.parametrize("seconds", [60, 300])
def test_a_cut_of_all_parks_all_and_loses_nothing(tmp_path, seconds):
    """Nobody loads past its lease, everybody comes back, and what was not offered makes the run INVALID."""
    cluster = cluster_of(tmp_path, seconds + 60, users=8)
    for worker in cluster.processes:
        cluster.at(10, cluster.cut, worker, seconds)
    cluster.run_to_end()

    load = cluster.load()
    assert min(load[5:240]) >= WHOLE
    assert max(load[260 : 10 * seconds + 100]) == 0
    assert min(load[10 * seconds + 150 : -5]) >= WHOLE
    whole(cluster)
    judgement = cluster.judge()
    assert judgement.verdict == "INVALID"
    assert {"load_not_offered", "quorum_lost"} <= {reason.code for reason in judgement.reasons}


def test_a_frozen_worker_is_called_what_it_is(tmp_path):
    """SIGSTOP for 10 s stays within the lease, so nothing moves; the run is INVALID by the generator's own doing."""
    cluster = cluster_of(tmp_path)
    cluster.at(15, cluster.freeze, "r0-01", 10)
    cluster.run_to_end()

    assert max(cluster.load_over(10)) <= 1.0001
    whole(cluster)
    judgement = cluster.judge()
    assert judgement.verdict == "INVALID"
    assert {reason.code for reason in judgement.reasons} == {"generator_saturated"}


def test_a_worker_frozen_past_its_lease_loads_nothing_when_it_wakes(tmp_path):
    """Its load moved meanwhile: at no moment is it carried twice."""
    cluster = cluster_of(tmp_path)
    cluster.at(15, cluster.freeze, "r0-01", 25)
    cluster.run_to_end()

    load = cluster.load()
    assert max(load) <= 1.0001
    assert min(load[325:395]) >= WHOLE
    whole(cluster)


@pytest.mark.parametrize("seconds", [1, 10])
def test_a_master_that_is_back_in_time_loses_nothing(tmp_path, seconds):
    """`kill -9` and a restart on the same run folder: every worker is taken over, no user stops, and the run passes."""
    cluster = cluster_of(tmp_path)
    cluster.at(15, cluster.kill_master, seconds)
    cluster.run_to_end()

    assert min(cluster.load()[5:-5]) >= WHOLE
    whole(cluster)
    assert cluster.judge().verdict == "PASS"


def test_a_master_that_is_gone_for_good_stops_the_load(tmp_path):
    """Every worker parks at its lease, goes on with its journal to the plan's end, and ends it in order."""
    cluster = cluster_of(tmp_path)
    cluster.at(15, cluster.kill_master)
    cluster.run_to_end()

    load = cluster.load()
    assert min(load[5:290]) >= WHOLE
    assert max(load[305:]) == 0
    for process in cluster.all_processes:
        journal = Journal(process.file)
        intervals = list(journal.intervals())
        assert journal.state.complete
        assert [interval.second for interval in intervals][:60] == list(range(60))
    started = sum(
        interval.started
        for process in cluster.all_processes
        for interval in Journal(process.file).intervals()
    )
    assert started == len(cluster.target.asked)


def test_a_worker_that_leaves_hands_over_at_once(tmp_path):
    """SIGTERM: its load is carried by others in a round trip, while it drains; the run says who left."""
    cluster = cluster_of(tmp_path)
    cluster.at(15, cluster.leave, "r0-01")
    cluster.run_to_end()

    load = cluster.load()
    assert min(load[5:150] + load[152:-5]) >= WHOLE
    whole(cluster)
    judgement = cluster.judge()
    assert judgement.verdict == "WARN"
    assert {reason.code for reason in judgement.reasons} == {"worker_left"}
