"""Whole runs whose workers go by the proxy that makes faults: to an https:// target, and from hosts of their own."""

import csv
import json
import re

import msgspec
import pytest
from breaking import ended, launch, way
from commands import kill, loadproof, manifest, results, run_folder, start, wait_until
from hosting import begin_master, finish

from distributed.messages import FaultProxy, read
from loadproof.cli.host_port import fault_proxy_at
from loadproof.errors import UsageError

pytest_plugins = ("conforming",)

USERS = """\
from locust import FastHttpUser, HttpUser, constant

from loadproof.client.user import LoadUser


def ask(user):
    with user.client.get("/small.txt", catch_response=True) as answer:
        if answer.status_code == 200 and answer.headers.get("X-Server-Name") != "localhost":
            answer.failure(f"the target was told another name: {answer.headers}")


class Ours(LoadUser):
    wait_time = constant(0.05)
    tasks = [ask]


class Requests(HttpUser):
    wait_time = constant(0.05)
    tasks = [ask]

    def on_start(self):
        self.client.verify = "authority.pem"


class Fast(FastHttpUser):
    wait_time = constant(0.05)
    tasks = [ask]
"""
PLAN = """\
name: proxied
locustfile: users.py
target: {target}
load: [{{phase: steady, duration: {seconds}s, users: 6}}]
{regions}scenarios: {{Ours: 1, Requests: 1, Fast: 1}}
faults: [{{kind: latency, at: 2s, for: {lasting}s, latency: 400ms}}]
"""


@pytest.fixture
def folder(tmp_path, nginx, authority):
    """A folder of work with the users and the authority that the target's certificate is from."""
    (tmp_path / "users.py").write_text(USERS)
    (tmp_path / "authority.pem").write_bytes(authority.file.read_bytes())
    return tmp_path


def write(folder, nginx, seconds, lasting, regions=""):
    text = PLAN.format(
        target=nginx.url("secure", "localhost"), seconds=seconds, lasting=lasting, regions=regions
    )
    (folder / "plan.yaml").write_text(text)


def trusting(folder):
    """The environment in which the system's authorities are those of the tests."""
    return {"SSL_CERT_FILE": str(folder / "authority.pem")}


def assert_felt_by_all(folder):
    """Every kind of user was slow in the fault and not outside of it, none failed, and the books are closed."""
    run = run_folder(folder)
    found = results(run)
    with (run / "requests.csv").open(newline="") as table:
        rows = [row for row in csv.DictReader(table) if row["method"] == "GET"]
    for faults, slow in (("latency", True), ("", False)):
        medians = {row["scenario"]: float(row["p50_ms"]) for row in rows if row["faults"] == faults}
        assert medians.keys() == {"Ours", "Requests", "Fast"}
        assert all((median >= 400) == slow for median in medians.values()), medians
    accounting = found["accounting"]
    assert (accounting["failed"], accounting["unfinished"]) == (0, 0)
    assert accounting["exchanges_answered"] == accounting["ok"] > 0
    assert not {"fault_failed", "books_open"} & {reason["code"] for reason in found["reasons"]}
    [fault] = found["faults"]
    assert fault["requests"] > 0
    return found


def test_an_https_target_is_broken_by_a_run(folder, nginx):
    """By its own name, for our users and stock ones, and what it answered is what was counted."""
    write(folder, nginx, 6, 2)
    before = nginx.counted()
    done = loadproof("run", "./plan.yaml", cwd=folder, **trusting(folder))
    found = assert_felt_by_all(folder)

    assert done.returncode == 0, done.stdout + done.stderr
    # Of its health, its counts and its resources it is asked, and has none.
    assert nginx.counted() - before == found["accounting"]["exchanges_answered"] + 3


def test_workers_elsewhere_go_by_the_masters_proxy(folder, nginx):
    """At the address that the master's user has named; the worker hears of it from its master."""
    write(folder, nginx, 8, 3)
    env = trusting(folder)
    master, place = begin_master("./plan.yaml", "--fault-proxy", "127.0.0.1", cwd=folder, **env)
    worker = start("worker", "--master", place, "--region", "local", "-f", "users.py", cwd=folder, **env)
    code, said = finish(master)
    ended, told = finish(worker)

    assert (code, ended) == (0, 0), said + told
    assert_felt_by_all(folder)
    assert manifest(run_folder(folder))["fault_proxy"]["host"] == "127.0.0.1"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ((), "workers elsewhere must reach: name its address with --fault-proxy HOST[:PORT]"),
        (
            ("--fault-proxy", "198.51.100.7"),
            "cannot listen at 198.51.100.7:0: Cannot assign requested address",
        ),
    ],
)
def test_a_master_says_what_its_proxy_lacks(folder, nginx, flags, said):
    """Before any load, in one line."""
    write(folder, nginx, 8, 3)
    done = loadproof("master", "./plan.yaml", "--port", "0", *flags, cwd=folder, **trusting(folder))

    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert said in done.stderr
    assert list((folder / "reports").iterdir()) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0.0.0.0:7000", "workers dial it, so name one address of this machine"),
        ("[::]", "workers dial it, so name one address of this machine"),
        ("127.0.0.1:0", "a port is a number from 1 to 65535"),
        ("a b", "write a host and perhaps a port"),
    ],
)
def test_what_no_worker_could_dial_is_refused(text, said):
    """As it is written."""
    with pytest.raises(UsageError, match=re.escape(said)):
        fault_proxy_at(text)


def test_an_address_is_read():
    """A port that is left out is a free one; a worker takes no other form than these."""
    assert fault_proxy_at("10.0.0.5") == ("10.0.0.5", 0)
    assert fault_proxy_at("master.test:7000") == ("master.test", 7000)
    assert fault_proxy_at("[fd00::5]:7000") == ("fd00::5", 7000)
    for host, port in (("", 7000), ("a b", 7000), ("a\n", 7000), ("a" * 254, 7000), ("a", 0), ("a", 65_536)):
        with pytest.raises(msgspec.ValidationError):
            read({"host": host, "port": port}, FaultProxy)


def test_the_proxy_shares_no_port():
    """Another of the same user's is told, too: they would share each other's connections."""
    with way() as other:
        words = ("--host", "127.0.0.1", "--port", 1, "--orders", "unused", "--listen-port", other.port)
        process, lifeline = launch("loadproof.faults.proxy", *words)
        with ended(process, lifeline):
            assert json.loads(process.stdout.readline()) == {"error": "Address already in use"}


@pytest.mark.long
def test_a_master_that_is_back_has_its_proxy_where_it_was(folder, nginx):
    """Its workers know no other address: they reach the target again, and the run says that a fault was cut short."""
    write(folder, nginx, 40, 10, "regions: [{name: east}]\n")
    env = trusting(folder)
    assert loadproof("keys", "set", "./plan.yaml", cwd=folder).returncode == 0
    flags = ("--keys", "set", "--fault-proxy", "127.0.0.1")
    master, place = begin_master("./plan.yaml", *flags, cwd=folder, **env)
    own = ("--key", "set/east-01.key", "--master-key", "set/master.pub")
    words = ("worker", "--master", place, "--region", "east", "-f", "users.py", *own)
    worker = start(*words, cwd=folder, **env)
    run = wait_until(lambda: next((folder / "reports").glob("proxied-*"), None))
    wait_until(lambda: "fault_begins" in (run / "events.jsonl").read_text(), 60)
    kill(master.pid)
    master.communicate()
    port = place.rpartition(":")[2]
    back = ("--resume", run, "--keys", "set", "--port", port)
    code, said = finish(start("master", *back, cwd=folder, **env))
    finish(worker)

    assert code == 4, said
    found = results(run)
    assert "it ended" in " ".join(reason["text"] for reason in found["reasons"])
    last = [row for row in csv.DictReader((run / "metrics.csv").open()) if int(row["second"]) >= 35]
    assert sum(int(row["requests"]) for row in last if row["outcome"] == "ok") > 0
