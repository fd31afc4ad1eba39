"""Recovery: whatever a dead master and its workers left becomes one folder, and nothing in it is invented."""

import datetime
import json
import shutil
from dataclasses import asdict, replace

import pytest
from made_runs import make_requests, make_run
from measuring import header, write_journal

from analyzer.recover import recover
from analyzer.report import analyse
from loadproof.errors import RunFolderError
from loadproof.measure.journal import Journal
from loadproof.measure.record import MAGIC
from loadproof.verdict.result import Verdict

NOW = datetime.datetime(2024, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
EAST, WEST = "us-east-1-01", "eu-west-1-01"
OF_MASTER = {
    "closed": False,
    "epochs": [],
    "run_length_us": None,
    "stop": None,
    "target_counts": None,
    "target_counts_note": "the run has not ended",
    "locust_counted": None,
}
"""What a master has not written yet while a run goes on."""


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "clean", make_requests())


@pytest.fixture
def lived(clean, tmp_path):
    """The folder of a run whose master lived."""
    return shutil.copytree(clean, tmp_path / "lived")


@pytest.fixture
def dead(clean, tmp_path):
    """The same run, had its master died at the very end: the workers' journals are whole, its copies are not."""
    folder = shutil.copytree(clean, tmp_path / "dead")
    own = folder / "worker-journals"
    shutil.copytree(folder / "journals", own)
    for path in (folder / "journals").iterdir():
        path.write_bytes(path.read_bytes()[:3_000])
    change_manifest(folder, **OF_MASTER)
    return folder


def change_manifest(folder, **changes):
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def manifest(folder):
    return json.loads((folder / "manifest.json").read_text())


def everything(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def judged(folder):
    report = analyse(folder)
    rules = [(rule.rule, rule.verdict, rule.value, rule.samples, rule.reason) for rule in report.rules]
    return report.verdict, report.reasons, rules, asdict(report.totals), report.by_region, report.checks


def journal(folder, worker, place="worker-journals"):
    return folder / place / f"{worker}-1.journal"


def test_a_recovered_run_is_judged_as_if_its_master_had_lived(lived, dead):
    """Verdict, reasons, rules and totals are those of the run whose master closed its folder."""
    before = everything(dead)
    found = recover([dead], NOW)

    assert judged(found.folder) == judged(lived)
    assert found.folder.name == "dead-recovered"
    assert everything(dead) == before
    assert manifest(found.folder)["target_counts"] is None
    assert analyse(found.folder).events[-1].kind == "recovered"


def test_workers_journals_and_the_plan_are_enough(lived, dead, tmp_path):
    """With no more than the workers' folders and the plan, rules and totals are the same, and it is WARN at best."""
    folders = []
    for worker in (EAST, WEST):
        folders.append(tmp_path / worker)
        folders[-1].mkdir()
        shutil.copy(journal(dead, worker), folders[-1])
    shutil.copy(dead / "plan.yaml", folders[1])
    shutil.rmtree(dead)
    found = recover(folders, NOW)

    assert judged(found.folder)[2:] == judged(lived)[2:]
    assert judged(lived)[0] is Verdict.PASS
    verdict, reasons = judged(found.folder)[:2]
    assert verdict is Verdict.WARN
    assert any("the manifest was never found" in reason.text for reason in reasons)


def test_a_worker_of_which_nothing_is_left_is_not_forgotten(dead, tmp_path):
    """Without the master's copies, a planned worker whose journal is not given is torn: it may have loaded."""
    (tmp_path / "only").mkdir()
    shutil.copy(journal(dead, EAST), tmp_path / "only")
    shutil.copy(dead / "plan.yaml", tmp_path / "only")
    found = recover([tmp_path / "only"], NOW)

    assert judged(found.folder)[0] is Verdict.INVALID
    assert f"no journal of {WEST} was given" in " ".join(found.notes)
    assert any(WEST in reason.text for reason in judged(found.folder)[1])


def test_an_admitted_worker_without_records_is_torn(dead):
    """The master's empty copy shows that a worker was let in: without its journal the run is INVALID."""
    journal(dead, WEST).unlink()
    journal(dead, WEST, "journals").write_bytes(MAGIC)
    found = recover([dead], NOW)

    assert judged(found.folder)[0] is Verdict.INVALID
    assert any(WEST in reason.text for reason in judged(found.folder)[1])


@pytest.mark.parametrize("whole", ["journals", "worker-journals"])
def test_the_copy_that_reaches_furthest_wins(lived, dead, whole):
    """Whichever place has the longer copy, cut or damaged copies of the same epoch cost nothing and are named."""
    other = {"journals": "worker-journals", "worker-journals": "journals"}[whole]
    for worker, size in ((EAST, 5_000), (WEST, 11)):
        journal(dead, worker, other).write_bytes(journal(lived, worker, "journals").read_bytes()[:size])
        shutil.copy(journal(lived, worker, "journals"), journal(dead, worker, whole))
    found = recover([dead], NOW)

    assert judged(found.folder)[0] is Verdict.PASS
    assert len([note for note in found.notes if f"{other}/" in note and "damaged at byte" in note]) == 2


@pytest.mark.parametrize("size", [0, 3, 8, 60, 900, -1, -40])
def test_a_journal_that_is_nowhere_whole_is_torn(lived, dead, size):
    """A cut journal without a better copy is INVALID; what stands before the cut is counted."""
    content = journal(lived, WEST, "journals").read_bytes()
    for place in ("journals", "worker-journals"):
        journal(dead, WEST, place).write_bytes(content[:size])
    found = recover([dead], NOW)
    kept = list(Journal(found.folder / "journals" / f"{WEST}-1.journal").intervals())

    assert kept == list(Journal(journal(lived, WEST, "journals")).intervals())[: len(kept)]
    report = analyse(found.folder)
    assert report.verdict is Verdict.INVALID
    [torn] = [epoch for epoch in report.epochs if not epoch.complete]
    assert (torn.worker, torn.intervals) == (WEST, len(kept))


@pytest.mark.parametrize("position", [9, 2_000, -3])
def test_a_flipped_bit_is_named_and_what_precedes_it_kept(dead, position):
    """The only copy that reaches further has one wrong bit: its place is told, the run is INVALID."""
    shutil.rmtree(dead / "journals")
    (dead / "journals").mkdir()
    path = journal(dead, EAST)
    content = bytearray(path.read_bytes())
    content[position] ^= 4
    path.write_bytes(content)
    found = recover([dead], NOW)

    assert judged(found.folder)[0] is Verdict.INVALID
    [note] = [note for note in found.notes if str(path) in note]
    assert "damaged at byte" in note


def test_copies_that_contradict_each_other_are_refused(dead):
    """Two whole journals of one epoch with other bytes: both files are named, and nothing is written."""
    other = make_run(dead.parent / "other", make_requests(seed=8))
    shutil.copy(journal(other, WEST, "journals"), journal(dead, WEST, "journals"))
    with pytest.raises(RunFolderError, match="contradict each other") as refused:
        recover([dead], NOW)

    assert str(journal(dead, WEST, "journals")) in str(refused.value)
    assert str(journal(dead, WEST)) in str(refused.value)
    assert not (dead.parent / "dead-recovered").exists()


def test_journals_of_another_run_are_left_out_by_name(dead, tmp_path):
    """A worker's folder may hold earlier runs: their journals are named and not counted."""
    earlier = tmp_path / "earlier"
    earlier.mkdir()
    content = journal(dead, EAST)
    writer_of_another_run(earlier / f"{EAST}-1.journal", Journal(content))
    found = recover([dead, earlier], NOW)

    assert judged(found.folder)[0] is Verdict.PASS
    assert any("belongs to run another" in note and str(earlier) in note for note in found.notes)
    shutil.rmtree(dead / "journals")
    shutil.rmtree(dead / "worker-journals")
    with pytest.raises(RunFolderError, match="no journal of run made-up"):
        recover([dead, earlier], NOW)


def writer_of_another_run(path, journal):

    write_journal(path, list(journal.intervals()), replace(journal.header, run="another"))


def test_without_a_manifest_journals_of_two_runs_are_refused(dead, tmp_path):
    """Nothing tells which of two runs is meant: both are named."""
    writer_of_another_run(tmp_path / f"{EAST}-2.journal", Journal(journal(dead, EAST)))
    (dead / "manifest.json").unlink()
    with pytest.raises(RunFolderError, match=r"several runs \(another, made-up\)"):
        recover([dead, tmp_path], NOW)


def test_folders_of_two_runs_are_refused(dead, lived):
    """Two masters' folders of different runs are one message that names both."""
    change_manifest(lived, run="another")
    with pytest.raises(RunFolderError, match="one run at a time"):
        recover([dead, lived], NOW)


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"\xff", b'{"run": 7}'])
def test_a_damaged_manifest_is_made_anew_and_named(lived, dead, damage):
    """Plan and journals give what a manifest says of both; the rest is unknown and the run WARN at best."""
    (dead / "manifest.json").write_bytes(damage)
    found = recover([dead], NOW)

    assert any("manifest.json is" in note for note in found.notes)
    assert judged(found.folder)[0] is Verdict.WARN
    assert judged(found.folder)[2:] == judged(lived)[2:]


def test_a_plan_that_is_not_the_runs_is_refused_or_invalid(dead, tmp_path):
    """The plan with the manifest's digest is taken wherever it lies; another one alone is INVALID."""
    right = (dead / "plan.yaml").read_bytes()
    (dead / "plan.yaml").write_bytes(right.replace(b"250ms", b"900ms"))
    assert judged(recover([dead], NOW).folder)[0] is Verdict.INVALID
    (tmp_path / "host").mkdir()
    (tmp_path / "host" / "plan.yaml").write_bytes(right)
    assert judged(recover([dead, tmp_path / "host"], NOW).folder)[0] is Verdict.PASS
    (dead / "manifest.json").unlink()
    with pytest.raises(RunFolderError, match="differ, and no manifest tells"):
        recover([dead, tmp_path / "host"], NOW)


def test_a_cut_line_of_samples_costs_only_itself(dead):
    """A master killed in mid-line leaves the samples before it; those cover the run or the rule says no data."""
    path = dead / "samples.jsonl"
    path.write_bytes(path.read_bytes()[:-9])
    found = recover([dead], NOW)
    assert any("line 41 is cut" in note for note in found.notes)
    assert len(analyse(found.folder, ["resource(target.cpu) <= 80%"]).resources) == 1

    path.write_bytes(b"\n".join(path.read_bytes().splitlines()[:12]) + b"\n")
    rules = analyse(recover([dead], NOW).folder, ["resource(target.cpu) <= 80%"]).rules
    [rule] = [rule for rule in rules if rule.rule.startswith("resource")]
    assert rule.verdict == "NO_DATA"


def test_a_run_that_was_stopped_before_its_master_died_stays_stopped(dead):
    """A wish to stop that the master noted makes the run INVALID, although its journals reach the plan's end."""
    with (dead / "events.jsonl").open("a") as file:
        line = {"at_us": None, "utc": "", "kind": "stop", "who": None, "text": "SIGINT: draining"}
        file.write(json.dumps(line) + "\n")
    verdict, reasons, *_ = judged(recover([dead], NOW).folder)

    assert verdict is Verdict.INVALID
    assert any(reason.code == "stopped" and "SIGINT" in reason.text for reason in reasons)


def test_a_run_that_a_rule_ended_before_its_master_died_is_fail(dead):
    """The event that tells of the abort is enough: FAIL with the rule and the time, as the master would have said."""
    with (dead / "events.jsonl").open("a") as file:
        line = {"at_us": 9_000_000, "utc": "", "kind": "abort", "who": "max <= 1s", "text": "max is 2 s"}
        file.write(json.dumps(line) + "\n")
    verdict, reasons, *_ = judged(recover([dead], NOW).folder)

    assert verdict is Verdict.FAIL
    assert reasons[0].text == "the abort rule max <= 1s ended the run after 9 s: max is 2 s"
    assert all(reason.code != "stopped" for reason in reasons)


def test_a_run_that_ended_early_says_that_its_master_died(dead):
    """Journals that end before the plan does make a stopped run, at the last interval that anyone wrote."""

    shutil.rmtree(dead / "journals")
    for worker in (EAST, WEST):
        path = journal(dead, worker)
        read = Journal(path)
        kept = list(read.intervals())[:20]
        path.unlink()
        write_journal(path, kept, read.header)
    report = analyse(recover([dead], NOW).folder)

    assert report.verdict is Verdict.INVALID
    assert report.stop.at_us == 20_000_000
    assert "master died" in report.stop.why


def test_a_closed_run_gains_the_journals_that_its_master_missed(lived, dead):
    """A worker given up by a living master may come back with its whole journal: the epoch is no longer torn."""
    cut = journal(lived, WEST, "journals")
    cut.write_bytes(cut.read_bytes()[:3_000])
    told = manifest(lived)["epochs"]
    for epoch in told:
        if epoch["worker"] == WEST:
            epoch |= {"how": "lost", "why": "its journal did not end in time"}
    change_manifest(lived, epochs=told)
    assert judged(lived)[0] is Verdict.INVALID
    (lived.parent / "host").mkdir()
    shutil.copy(journal(dead, WEST), lived.parent / "host")
    found = recover([lived, lived.parent / "host"], NOW)

    assert judged(found.folder)[0] is Verdict.PASS
    assert manifest(found.folder)["target_counts"] == manifest(lived)["target_counts"]


def test_a_file_that_tells_nothing_is_left_out_by_name(dead, tmp_path):
    """Rubbish with a journal's ending, and a header that would leave its folder, are named and not used."""

    place = tmp_path / "odd"
    place.mkdir()
    (place / "notes.journal").write_bytes(b"dear diary")
    write_journal(place / "a-1.journal", [], replace(header(), worker="../../evil", run="made-up"))
    found = recover([dead, place], NOW)

    assert judged(found.folder)[0] is Verdict.PASS
    assert sum("is left out" in note for note in found.notes) == 2


def test_nothing_is_overwritten(dead):
    """Each recovery has a folder of its own."""
    assert [recover([dead], NOW).folder.name for _ in range(3)] == [
        "dead-recovered",
        "dead-recovered-2",
        "dead-recovered-3",
    ]


def test_what_cannot_be_recovered_says_why(dead, tmp_path):
    """No folder, no plan: one message with what to do."""
    with pytest.raises(RunFolderError, match="there is no such folder"):
        recover([tmp_path / "nothing"], NOW)
    (dead / "plan.yaml").unlink()
    with pytest.raises(RunFolderError, match=r"no plan\.yaml in .*copy the plan that was run"):
        recover([dead], NOW)
