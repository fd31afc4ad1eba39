"""A run folder with any damage is read, and the damage is named."""

import datetime
import hashlib
import json
import shutil

import pytest
from made_runs import make_requests, make_run

from analyzer.folder import open_run
from analyzer.manifest import SCHEMA_VERSION
from analyzer.recover import recover
from distributed import run_folder
from loadproof.errors import RunFolderError
from loadproof.verdict.facts import Unsampled
from loadproof.verdict.result import Verdict


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "clean", make_requests())


@pytest.fixture
def run(clean, tmp_path):
    return shutil.copytree(clean, tmp_path / "run")


def journal(run, worker="eu-west-1-01"):
    return run / "journals" / f"{worker}-1.journal"


def epochs(run):
    """What the judge would be told of every epoch, after its journal was read."""
    folder = open_run(run)
    for source in folder.sources():
        assert all(interval.second >= 0 for interval in source.intervals)
    return {epoch.worker: epoch for epoch in folder.facts().epochs}


def change_manifest(run, /, **changes):
    path = run / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_clean_folder_has_nothing_to_say(run):
    """A folder as the master leaves it gives no note and no reason, and complete epochs."""
    folder = open_run(run)

    assert (folder.notes, folder.reasons) == ([], [])
    assert {epoch.complete for epoch in epochs(run).values()} == {True}
    assert [event.kind for event in folder.events] == ["phase", "phase"]
    assert len(folder.samples.values["target.cpu"]) == 41


@pytest.mark.parametrize("name", ["nothing", "file"])
def test_what_is_no_folder_is_said(tmp_path, name):
    """A path that is no folder is one message with the path in it."""
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match=name):
        open_run(tmp_path / name)


def test_a_folder_without_a_plan_is_no_run_folder(tmp_path):
    """An empty folder is refused, saying what is missing."""
    with pytest.raises(RunFolderError, match=r"no run folder: it has neither plan\.yaml nor manifest\.json"):
        open_run(tmp_path)


def test_a_newer_folder_is_refused(run):
    """What a later loadproof wrote may mean what nobody here knows, so it is not judged, put together or compared."""
    change_manifest(run, schema_version=SCHEMA_VERSION + 1)
    with pytest.raises(RunFolderError, match=r"newer loadproof.*take the loadproof that made"):
        open_run(run)
    with pytest.raises(RunFolderError, match="newer loadproof"):
        recover([run], datetime.datetime.now(datetime.UTC))

    assert not list(run.parent.glob("*-recovered"))


def test_a_manifest_is_read_at_the_version_that_is_written():
    """What the master writes is never newer than what the report reads."""
    assert run_folder.SCHEMA_VERSION == SCHEMA_VERSION


@pytest.mark.parametrize("text", ["", "load: [", "name: x\n", "\x00", "rules: 7"])
def test_an_unreadable_plan_is_said(run, text):
    """Without a plan nothing can be judged: one message, no traceback."""
    (run / "plan.yaml").write_text(text)
    with pytest.raises(RunFolderError, match="plan"):
        open_run(run)


def test_a_rule_that_cannot_be_read_is_said(run):
    """A plan edited to hold no rule of the grammar is refused with the rule's text."""
    path = run / "plan.yaml"
    path.write_text(path.read_text().replace("p95 <= 250ms", "p95 = 250ms"))
    with pytest.raises(RunFolderError, match="p95 = 250ms"):
        open_run(run)


def test_another_plan_is_a_reason(run):
    """A plan that was changed after the run makes the run INVALID."""
    path = run / "plan.yaml"
    path.write_text(path.read_text().replace("250ms", "900ms"))
    reasons = open_run(run).reasons

    assert [(reason.verdict, reason.code) for reason in reasons] == [(Verdict.INVALID, "plan")]


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"run": "made-up", "run": NaN}',
        b'{"run": 7, "workers": [], "epochs": [], "closed": true}',
        b'{"run": "made-up", "workers": [{"worker": 1}], "epochs": [], "closed": true}',
        b'{"run": "made-up"}',
        b'{"a":' * 100_000,
        b'{"run": ' + b"1" * 5_000 + b"}",
    ],
)
def test_a_damaged_manifest_is_a_reason(run, damage):
    """A manifest that is cut, or holds something else than it should, makes the run INVALID."""
    (run / "manifest.json").write_bytes(damage)
    folder = open_run(run)

    assert [reason.verdict for reason in folder.reasons] == [Verdict.INVALID]
    assert folder.reasons[0].text.startswith("manifest.json is ")
    assert folder.planned == (("us-east-1-01", "us-east-1"), ("eu-west-1-01", "eu-west-1"))


def test_a_manifest_that_was_never_closed_is_a_reason(run):
    """A master that died left an open manifest: INVALID, whatever its journals hold."""
    change_manifest(run, closed=False, epochs=[])

    assert [reason.code for reason in open_run(run).reasons] == ["manifest_open"]
    assert all(epoch.complete for epoch in epochs(run).values())


@pytest.mark.parametrize("size", [0, 3, 8, 40, 900, -1, -20])
def test_a_cut_journal_is_a_torn_epoch(run, size):
    """A journal cut anywhere is torn, and its damage is in words; the other epoch is whole."""
    path = journal(run)
    path.write_bytes(path.read_bytes()[:size])
    found = epochs(run)

    assert not found["eu-west-1-01"].complete
    assert found["eu-west-1-01"].damage
    assert found["us-east-1-01"].complete


def test_a_flipped_bit_is_a_torn_epoch(run):
    """A journal with one bit changed in its middle keeps what precedes and is torn."""
    path = journal(run)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    found = epochs(run)["eu-west-1-01"]

    assert not found.complete
    assert 0 < found.intervals < 41


def test_a_missing_journal_is_a_torn_epoch(run):
    """An epoch that the manifest admits and that has no journal is torn."""
    journal(run).unlink()
    found = epochs(run)["eu-west-1-01"]

    assert (found.complete, found.intervals) == (False, 0)
    assert "missing" in found.damage


def test_no_journals_at_all(run):
    """Without the journals' folder every epoch is torn."""
    shutil.rmtree(run / "journals")

    assert {epoch.damage is not None for epoch in epochs(run).values()} == {True}


def test_a_journal_of_another_run_is_refused(run):
    """A journal that another run wrote is not counted, and its epoch is torn."""
    change_manifest(run, run="another")

    assert {"belongs to run made-up" in epoch.damage for epoch in epochs(run).values()} == {True}


def test_a_journal_under_another_name_is_refused(run):
    """A copy of one worker's journal in another's place counts for neither."""
    shutil.copy(journal(run, "us-east-1-01"), journal(run, "eu-west-1-01"))
    found = epochs(run)

    assert not any(epoch.complete for epoch in found.values())
    assert {epoch.intervals for epoch in found.values()} == {0}


def test_a_journal_that_nobody_knows_is_refused(run):
    """A journal beside those that the closed manifest lists is not counted."""
    change_manifest(run, epochs=json.loads((run / "manifest.json").read_text())["epochs"][:1])

    assert "knows of no such epoch" in epochs(run)["us-east-1-01"].damage


def test_a_journal_against_other_limits_is_refused(run):
    """Counts over other limits than the run's would be read as the run's: the journal is not counted."""
    change_manifest(run, limits_us=[1, 2])

    assert {"other limits" in epoch.damage for epoch in epochs(run).values()} == {True}


@pytest.mark.parametrize(
    "line",
    [
        b'{"at_us": 1, "name": "target.cpu"',
        b"\xff\n",
        b'{"at_us": 1, "name": "a", "value": NaN}\n',
        b"7\n",
        b'{"a":' * 100_000,
    ],
)
def test_a_damaged_sample_leaves_no_samples(run, line):
    """With one sample unreadable none is used: the highest of the rest could hide a breach."""
    path = run / "samples.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:5], line.removesuffix(b"\n"), b"\n", *lines[5:]]))
    folder = open_run(run)

    assert folder.samples.values == {}
    assert "line 6" in folder.notes[0]


def test_what_a_prometheus_did_not_say_is_kept_with_its_reason(run):
    """A line without a value tells when and why; those of the same name around it are samples."""
    lines = [
        {"at_us": 3_000_000, "name": "promql(up)", "value": None, "why": "it gives no series"},
        {"at_us": 1_000_000, "name": "promql(up)", "value": 1},
        {"at_us": 2_000_000, "name": "db.lag", "value": None, "why": "gone"},
    ]
    with (run / "samples.jsonl").open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    facts = open_run(run).facts()

    assert [sample.value for sample in facts.resources["promql(up)"]] == [1]
    assert "db.lag" not in facts.resources
    assert facts.unsampled["promql(up)"] == (Unsampled(3_000_000, "it gives no series"),)
    assert facts.unsampled["db.lag"] == (Unsampled(2_000_000, "gone"),)


def test_damaged_events_are_noted_once(run):
    """Events that cannot be read are counted in one note, and the others are shown."""
    path = run / "events.jsonl"
    path.write_bytes(b"cut\n" + path.read_bytes() + b'{"at_us": 1' + b"\n{}\n" * 500)
    folder = open_run(run)

    assert len(folder.events) == 2
    assert folder.notes == ["events.jsonl: 502 lines from line 1 on are cut or damaged and are left out"]


def with_fault(run):
    plan = run / "plan.yaml"
    plan.write_text(plan.read_text() + "faults:\n- {kind: database-down, at: 15s, for: 5s}\n")
    change_manifest(run, plan_sha256=hashlib.sha256(plan.read_bytes()).hexdigest())
    return run / "events.jsonl"


def test_whole_events_of_a_plan_with_faults_are_no_reason(run):
    """A plan with faults whose events can all be read is as good as any other."""
    with_fault(run)

    assert open_run(run).reasons == []


@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_lost_events_of_a_plan_with_faults_make_the_run_invalid(run, damage):
    """The line that cannot be read may be the one that says that a fault failed."""
    events = with_fault(run)
    if damage == "cut":
        events.write_bytes(events.read_bytes() + b'{"at_us": 20000000, "kind": "fault_fa')
    else:
        events.unlink()
    [reason] = open_run(run).reasons

    assert reason.verdict is Verdict.INVALID
    assert "events.jsonl" in reason.text


def test_missing_side_files_are_noted(run):
    """Without events and samples the folder is read, and says what is not there."""
    (run / "events.jsonl").unlink()
    (run / "samples.jsonl").unlink()

    assert [note.partition(" ")[0] for note in open_run(run).notes] == ["events.jsonl", "samples.jsonl"]


def test_the_readers_environment_does_not_change_the_plan(run, monkeypatch):
    """A variable that would change a plan before a run does not change what was run."""
    monkeypatch.setenv("LOADPROOF_USERS", "7")
    monkeypatch.setenv("LOADPROOF_DURATION", "1h")

    assert open_run(run).plan.max_users == 100
