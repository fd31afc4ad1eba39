"""Workers killed at random moments, in made-up time: what becomes of the load, and of what was journaled."""

from random import Random

import pytest
from simulating import Cluster, plan_for_run

from loadproof.measure.interval import Outcome
from loadproof.measure.journal import Journal, read_records

HEALED_S = {"closed": 5.0, "vanished": 17.0}
"""After how long the load is whole again: the kernel closed the connections; nobody did, so its lease must lapse."""
RESENT_S = 1.0
"""What a lost packet may cost besides."""
MOVED_S = 2.5
"""How long a move of load to a newcomer may leave parts of it with nobody."""
KILLS = 4
SECONDS = 125
"""Kills are over by 55 s, so that all of them are watched for more than another 65 s."""


class KillRun:
    """Six workers, four of which are killed at random moments; half of them are replaced, here or elsewhere."""

    def __init__(self, seed, folder):
        chance = Random(f"kills {seed}")
        one_way_s, jitter_s = chance.choice((0.0005, 0.02, 0.1, 0.15)), chance.choice((0.0, 0.01, 0.05))
        self.loss = chance.choice((0.0, 0.0, 0.01))
        self.cluster = Cluster(
            seed,
            folder,
            plan_for_run(SECONDS, users=18, workers=6),
            one_way_s=one_way_s,
            jitter_s=jitter_s,
            loss=self.loss,
        )
        workers = list(self.cluster.processes)
        self.kills = []
        for worker in chance.sample(workers, KILLS):
            at_s, how = chance.uniform(0.5, 55), chance.choice(("closed", "vanished"))
            self.kills.append((at_s, how))
            self.cluster.at(at_s, self.cluster.kill, worker, how)
            if chance.random() < 0.5:
                # A machine that vanished is replaced by another, a process perhaps by one beside it.
                host = "spare" if how == "vanished" or chance.random() < 0.3 else None
                self.cluster.at(at_s + chance.uniform(1, 20), self.cluster.replace, worker, host)
        self.cluster.run_to_end()

    def check_load(self):
        cluster = self.cluster
        lost_s = RESENT_S if self.loss else 0
        excused = [(at_s, at_s + HEALED_S[how] + lost_s) for at_s, how in self.kills]
        joined = [(at_ns - cluster.zero_ns) / 1e9 for at_ns, what, _ in cluster.events if what == "join"]
        excused += [(at_s, at_s + MOVED_S) for at_s in joined]
        for step, share in enumerate(cluster.load()):
            from_s, until_s = step / 10, step / 10 + 0.1
            is_edge = from_s < 0.5 or until_s > SECONDS - 0.5
            if not is_edge and not any(first < until_s and from_s < last for first, last in excused):
                assert share >= 0.99, f"{share:.1%} of the load at {from_s} s"
        assert max(cluster.load_over(10)) <= 1.05

    def check_journals(self):
        cluster = self.cluster
        for worker, epochs in cluster.written.epochs.items():
            for epoch in epochs:
                process = epoch.process
                if process.journal is None:
                    continue
                own, copy = process.file.read_bytes(), epoch.receiver.copy.path.read_bytes()
                assert own.startswith(copy)
                successor = cluster.processes[worker]
                is_kept = successor is process or (successor.home == process.home and successor.journal)
                if is_kept and not successor.dead:
                    assert copy == own
                assert epoch.finished == (not process.dead)
                self.check_requests(epoch)

    def check_requests(self, epoch):
        """The copy holds every request that began before its end, once; what was in flight then it names."""
        process = epoch.process
        intervals = list(Journal(epoch.receiver.copy.path).intervals())
        started = sum(interval.started for interval in intervals)
        ended = sum(series.histogram.count for interval in intervals for series in interval.series.values())
        asked = [one for one in self.cluster.target.asked if one.process is process]
        until_us = intervals[-1].start_us + intervals[-1].length_us if intervals else 0
        assert started == sum(one.start_us < until_us for one in asked)
        if intervals:
            assert started - ended == process.waiting[len(intervals) - 1] == intervals[-1].in_flight

    def check_verdict(self):
        """Every loss is INVALID by name; and of the torn journals the requests in flight are known."""
        judgement = self.cluster.judge()
        assert judgement.verdict == "INVALID"
        torn = " ".join(reason.text for reason in judgement.reasons if reason.code == "torn_epoch")
        for epochs in self.cluster.written.epochs.values():
            for epoch in epochs:
                if not epoch.finished:
                    assert f"{epoch.seat.worker} (epoch {epoch.epoch}) is torn" in torn
        unfinished = {key for key in self.cluster.judged.totals if key.series.outcome is Outcome.UNFINISHED}
        assert not unfinished


def check_kills(seeds, tmp_path, verdicts=10):
    """The verdict costs as much as the run: it is asked for in every so many-th."""
    for seed in seeds:
        folder = tmp_path / str(seed)
        folder.mkdir()
        try:
            run = KillRun(seed, folder)
            run.check_load()
            run.check_journals()
            if seed % verdicts == 0:
                run.check_verdict()
        except AssertionError as error:
            error.add_note(f"seed {seed}, kills {run.kills}")
            raise
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()


@pytest.mark.parametrize("block", range(3))
def test_killed_workers_cost_what_was_in_flight_and_no_more(tmp_path, block):
    """240 kills: load back in 5 s or 17 s and never over 105 %, nothing journaled lost or doubled, losses named."""
    check_kills(range(block * 20, block * 20 + 20), tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("block", range(25))
def test_killed_workers_cost_what_was_in_flight_and_no_more_in_full(tmp_path, block):
    """The same for 10,000 kills."""
    check_kills(range(1_000 + block * 100, 1_100 + block * 100), tmp_path)


@pytest.mark.parametrize("seconds", [0, 3])
def test_a_child_that_is_killed_is_replaced_at_once_by_the_others(tmp_path, seconds):
    """Its parent sees it die: what it had journaled is taken from its file, and its load moves without waiting."""
    cluster = Cluster(7, tmp_path, plan_for_run(40))
    cluster.at(10, cluster.kill, "r1-01", "child")
    cluster.at(20.5 + seconds, cluster.kill, "r2-01", "child")
    cluster.run_to_end()

    load = cluster.load()
    assert min(load[5:100]) >= 0.99
    assert min(load[105:204]) >= 0.99
    assert min(load[210 + 10 * seconds : 395]) >= 0.99
    for worker in ("r1-01", "r2-01"):
        (epoch,) = cluster.written.epochs[worker]
        own, copy = (list(read_records(path)) for path in (epoch.process.file, epoch.receiver.copy.path))
        assert own == copy


def test_three_losses_and_two_replacements_in_one_run(tmp_path):
    """Each is named with when it went and when its load was carried again; nothing else is."""
    plan = plan_for_run(100, workers=8)
    cluster = Cluster(11, tmp_path, plan)
    for at_s, worker, how in ((10, "r0-01", "closed"), (30, "r1-02", "vanished"), (60, "r3-01", "closed")):
        cluster.at(at_s, cluster.kill, worker, how)
    cluster.at(15, cluster.replace, "r0-01")
    cluster.at(50, cluster.replace, "r1-02", "spare")
    cluster.run_to_end()

    judgement = cluster.judge()
    assert judgement.verdict == "INVALID"
    assert sorted(reason.text.split()[0] for reason in judgement.reasons if reason.code == "torn_epoch") == [
        "r0-01",
        "r1-02",
        "r3-01",
    ]
    assert {epoch.worker: epoch.complete for epoch in cluster.evidence()[1].epochs if epoch.epoch == 1} == {
        "r0-01": True,
        "r1-02": True,
    }
    load = cluster.load()
    assert min(load[150:299]) >= 0.85
    assert min(load[180:299]) >= 0.99
    assert min(load[650:995]) >= 0.99
