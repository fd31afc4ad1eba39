"""Master and workers typed by hand, as on hosts of their own: with keys, without, refused, and leaving in order."""

import json
import signal
import socket
from types import SimpleNamespace

import pytest
from commands import (
    VISITOR,
    active_users,
    loadproof,
    manifest,
    results,
    run_folder,
    seconds_of_load,
    start,
    wait_until,
)
from hosting import begin_master, finish

from loadproof.measure.journal import Journal

PLAN = """\
name: small
suite: governance
load:
  - {phase: ramp, duration: 2s, users: 0..20, warmup: true}
  - {phase: steady, duration: 22s, users: 20}
regions: [{name: east}, {name: west}]
rules: [p95 <= 2s, error_ratio <= 1%]
seed: 7
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Two workers, each in a folder of its own with no file but its keys, and their master."""
    folder = tmp_path_factory.mktemp("hosts")
    (folder / "small.yaml").write_text(PLAN)
    assert loadproof("keys", "set", "./small.yaml", cwd=folder).returncode == 0
    master, place = begin_master("./small.yaml", "--keys", "set", cwd=folder)
    workers = {}
    for region in ("east", "west"):
        home = folder / region
        home.mkdir()
        (home / "own.key").write_bytes((folder / "set" / f"{region}-01.key").read_bytes())
        (home / "own.key").chmod(0o600)
        (home / "master.pub").write_bytes((folder / "set" / "master.pub").read_bytes())
        keys = ("--key", "own.key", "--master-key", "master.pub")
        workers[region] = start("worker", "--master", place, "--region", region, *keys, cwd=home)
    ended = finish(master)
    return SimpleNamespace(
        folder=folder,
        master=ended,
        workers={region: finish(worker) for region, worker in workers.items()},
        run=run_folder(folder),
    )


def test_a_run_over_hosts_passes(ran):
    """Exit 0 everywhere, the verdict on the master's terminal, nothing lost."""
    assert ran.master[0] == 0, ran.master[1]
    assert "PASS  small" in ran.master[1]
    assert {region: code for region, (code, _) in ran.workers.items()} == {"east": 0, "west": 0}
    for region, (_, output) in ran.workers.items():
        assert f"{region}-01: done" in output


def test_its_accounting_is_closed(ran):
    """Started, ended, Locust's total and the target's count are one number; both workers were seen."""
    accounting = results(ran.run)["accounting"]

    assert accounting["started"] > 300
    assert accounting["started"] == accounting["ok"] + accounting["failed"]
    assert accounting["started"] == accounting["target_counted"] == accounting["locust_counted"]
    assert accounting["unfinished"] == accounting["workers_lost"] == 0
    assert accounting["workers_planned"] == accounting["workers_seen"] == 2


def test_each_worker_keeps_its_own_journal(ran):
    """In a folder named by the run, byte for byte what the master has."""
    for region in ("east", "west"):
        [own] = (ran.folder / region / "journals").rglob("*.journal")
        copy = ran.run / "journals" / own.name

        assert own.read_bytes() == copy.read_bytes()
        assert Journal(own).state.complete


def test_the_manifest_names_the_keys_and_the_clocks(ran):
    """Fingerprints as `loadproof keys` printed them, no secret, and how far apart the clocks may be."""
    told = manifest(ran.run)

    assert set(told["key_fingerprints"]) == {"master", "east-01", "west-01"}
    assert 0 <= told["clock_offset_us_max"] < 1_000_000
    shown = results(ran.run)["generator"]["clock_offset_ms_max"]
    assert shown == pytest.approx(told["clock_offset_us_max"] / 1_000)
    assert told["refused_connections"] == {}
    assert told["dropped_messages"] == 0


def test_no_secret_key_reaches_the_run_folder(ran):
    """Not a file of it, nor what was printed, holds a secret of the set."""
    secrets = [
        line.split()[1]
        for path in (ran.folder / "set").glob("*.key")
        for line in path.read_text().splitlines()
        if line.startswith("secret ")
    ]
    written = b"".join(path.read_bytes() for path in ran.run.rglob("*") if path.is_file())
    printed = ran.master[1] + "".join(output for _, output in ran.workers.values())

    assert len(secrets) == 3
    assert not [secret for secret in secrets if secret.encode() in written or secret in printed]


def test_a_worker_without_keys_leaves_in_order(tmp_path):
    """On loopback no keys are typed; SIGTERM ends a worker with its FIN, the other takes its users, the run says so."""
    (tmp_path / "visitor.py").write_text(VISITOR)
    plan = ("-f", "visitor.py", "-u", "10", "-t", "30s", "--rule", "p95 <= 2s")
    master, place = begin_master(*plan, "--set", "regions=[{name: local, workers: 2}]", cwd=tmp_path)
    workers = [
        start("worker", "--master", place, "--region", "local", "-f", "visitor.py", cwd=tmp_path)
        for _ in range(2)
    ]
    folder = run_folder(tmp_path)
    wait_until(lambda: seconds_of_load(folder) >= 4, seconds=60)
    extra = loadproof("worker", "--master", place, "--region", "local", "-f", "visitor.py", cwd=tmp_path)
    assert extra.returncode == 2
    assert "has no free worker in region local" in extra.stderr
    workers[0].send_signal(signal.SIGTERM)
    code, output = finish(workers[0])
    assert code == 0
    assert "done" in output
    assert finish(workers[1])[0] == 0
    code, output = finish(master)

    assert code == 0, output
    assert "local-02 left in order" in output or "local-01 left in order" in output
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    left = [event for event in events if event["kind"] == "worker_left"]
    assert [event["text"] for event in left] == ["in order"] * 2
    users = active_users(folder)
    after = users[left[0]["at_us"] // 1_000_000 + 2 : -3]
    assert after, users
    assert all(abs(count - 10) <= 0.5 for count in after), users
    assert all(Journal(path).state.complete for path in (folder / "journals").iterdir())
    accounting = results(folder)["accounting"]
    assert accounting["started"] == accounting["target_counted"]


@pytest.fixture(scope="module")
def waiting(tmp_path_factory):
    """A master with keys that waits for a worker with the right locustfile, and never gets it."""
    folder = tmp_path_factory.mktemp("waiting")
    (folder / "visitor.py").write_text(VISITOR)
    for name in ("set", "others"):
        loadproof("keys", name, "--region", "local", cwd=folder)
    words = ("-f", "visitor.py", "-t", "25s", "--rule", "p95 <= 2s", "--keys", "set")
    master, place = begin_master(*words, cwd=folder)
    yield folder, place
    master.send_signal(signal.SIGINT)
    assert finish(master)[0] == 130


def keys(own, master):
    return ("--region", "local", "--key", f"{own}/local-01.key", "--master-key", f"{master}/master.pub")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((*keys("set", "set"), "-f", "other/visitor.py"), "it has other user classes"),
        (keys("set", "set"), "give this worker its copy with -f visitor.py"),
        ((*keys("others", "set"), "-f", "visitor.py"), "the master refuses our key"),
        ((*keys("set", "others"), "-f", "visitor.py"), "the master is not the one whose key we were given"),
        ((*keys("set", "set"), "-f", "nowhere.py"), "nowhere.py does not exist"),
        (("--region", "west", *keys("set", "set")[2:]), "is the key of worker local-01"),
        (("--region", "local"), "no master on this machine has left keys"),
        (("--region", "local", "--key", "set/local-01.key"), "--key and --master-key belong together"),
    ],
    ids=["suite", "no suite", "key", "master key", "no file", "region", "no keys", "half the keys"],
)
def test_a_worker_that_does_not_fit_is_refused(waiting, words, says):
    """Exit 2 and one line that says why; the master goes on waiting."""
    folder, place = waiting
    (folder / "other").mkdir(exist_ok=True)
    (folder / "other" / "visitor.py").write_text(VISITOR + "\n# changed\n")
    # What a killed master of another test has left for workers at the same port is none of theirs.
    done = loadproof("worker", "--master", place, *words, cwd=folder, TMPDIR=str(folder))

    assert done.returncode == 2, done.stdout + done.stderr
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "worker_joined" not in (run_folder(folder) / "events.jsonl").read_text()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("master", "enterprise", "--bind", "0.0.0.0"), "without keys a master listens on loopback only"),
        (("master", "enterprise", "--bind", "0.0.0.0", "--keys", "set"), "the embedded target"),
        (("master", "enterprise", "--keys", "nowhere"), "cannot read nowhere/master.key"),
        (("master", "enterprise", "--keys", "set"), "the key set has no key for"),
        (
            ("master", "-f", "visitor.py", "--join-timeout", "1s", "--port", "0"),
            "no worker joined within 1 s",
        ),
        (
            ("worker", "--region", "a", "--master", "10.0.0.5"),
            "without keys a worker connects to loopback only",
        ),
        (("worker", "--region", "a", "--master", "host:0"), "a port is a number from 1 to 65535"),
        (("worker", "--region", "a", "--master", "host:port"), "write a host and perhaps a port"),
    ],
)
def test_what_cannot_be_linked_is_said(tmp_path, words, says):
    """Exit 2 and one line before anything listens, connects or loads."""
    (tmp_path / "visitor.py").write_text(VISITOR)
    loadproof("keys", "set", "--region", "local", cwd=tmp_path)
    done = loadproof(*words, cwd=tmp_path)

    assert done.returncode == 2, done.stdout + done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_named(tmp_path):
    """The line says which, and how to name another."""
    (tmp_path / "visitor.py").write_text(VISITOR)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = loadproof("master", "-f", "visitor.py", "--port", port, cwd=tmp_path)

    assert done.returncode == 2
    assert f"cannot listen at 127.0.0.1 port {port}" in done.stderr
