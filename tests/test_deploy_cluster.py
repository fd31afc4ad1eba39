"""The committed compose file on a real Docker engine: a clean run through CI's exit code, then one with a worker killed.

Images of PostgreSQL, Redis and Prometheus are made of Debian's packages. Grafana's service is not started.
"""

import contextlib
import datetime
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from commands import manifest, results, wait_until
from docker_engine import ROOT, bridges, engine, mounts, pip_settings, tables, told

from loadproof.measure.journal import Journal

pytestmark = [pytest.mark.alone, pytest.mark.timeout(900)]

USERS, SECONDS = 40, 34
WORKERS = {
    "locust-worker-1": "us-east-1",
    "locust-worker-2": "us-west-2",
    "locust-worker-3": "eu-west-1",
    "locust-worker-4": "ap-southeast-1",
}
KILLED, CUT = "locust-worker-4", "locust-worker-2"
OURS = ("target", "locust-master", "analyzer", *WORKERS)
STARTED = (*OURS, "postgres", "redis", "prometheus")
"""All of the file but Grafana, whose image is nobody's to make here."""
TOO_HIGH = re.compile(r"(peak_)?rate >=|p99 ")
"""Rules that 40 users cannot keep, or have too few requests for where some are slow together."""


class Cluster:
    """A user's clone of the project, and docker-compose in it."""

    def __init__(self, folder, docker):
        self.folder = folder
        self.docker = docker
        for name in told(["git", "ls-files", "-z"], cwd=ROOT).split("\0"):
            if name and (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        command = Path(sys.executable).with_name("loadproof")
        told(["deploy/make-keys"], cwd=folder, env={**os.environ, "LOADPROOF": str(command)})
        overlay = yaml.safe_load((folder / "deploy" / "cluster.yaml").read_text())
        plan = yaml.safe_load((folder / "locustfiles" / "governance" / "distributed.yaml").read_text())
        overlay["rules"] = [rule for rule in plan["rules"] if not TOO_HIGH.match(rule)]
        (folder / "short.yaml").write_text(yaml.safe_dump(overlay))
        self.environment = {
            **docker.environment,
            **pip_settings(),
            "COMPOSE_PROJECT_NAME": "loadproof",
            "COMPOSE_FILE": f"docker-compose.yml:{ROOT}/tests/deploy/override.yml",
            "PYTHON_IMAGE": "local/python:3.11-bookworm",
            "POSTGRES_IMAGE": "test-postgres",
            "REDIS_IMAGE": "test-redis",
            "PROMETHEUS_IMAGE": "test-prometheus",
            "LOADPROOF_USERS": str(USERS),
            "LOADPROOF_DURATION": f"{SECONDS}s",
            "LOADPROOF_OVERLAY": "./short.yaml",
            "WORKERS_PER_REGION": "1",
            "WEB_PORT": "0",
            "PROMETHEUS_PORT": "0",
        }

    def command(self, *words):
        return ["docker-compose", "--ansi", "never", *words]

    def compose(self, *words):
        return told(self.command(*words), cwd=self.folder, env=self.environment)

    def begin(self, *words):
        return subprocess.Popen(
            self.command(*words),
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def container(self, service):
        return f"loadproof_{service}_1"

    def inspect(self):
        """What Docker knows of each container, by service."""
        return dict(zip(STARTED, self.docker.inspect(*map(self.container, STARTED)), strict=True))

    def health(self):
        return [one["State"]["Health"]["Status"] for one in self.inspect().values()]

    def in_container(self, service, *words):
        """Exit code and output of a command in a container."""
        done = subprocess.run(
            ["docker", "exec", self.container(service), *words],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def address(self, service, port):
        return self.compose("port", service, str(port)).strip()

    def runs(self):
        return {path for path in (self.folder / "reports").iterdir() if path.is_dir()}

    def await_phase(self, name, *, beside=frozenset()):
        """The run that is not one of those, when it has come to this phase."""

        def found():
            for run in self.runs() - beside:
                events = run / "events.jsonl"
                if events.is_file() and f'"phase {name}' in events.read_text():
                    return run
            return None

        return wait_until(found, seconds=120)

    def ask_prometheus(self, expression):
        """The series of an answer, each with its value."""
        query = urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(
            f"http://{self.address('prometheus', 9090)}/api/v1/query?{query}"
        ) as answer:
            found = json.load(answer)["data"]["result"]
        return [(series["metric"], float(series["value"][1])) for series in found]

    def secrets(self):
        """Everything in deploy/keys that nobody else may know, by file."""
        keys = self.folder / "deploy" / "keys"
        found = {
            path.name: path.read_text().strip().rpartition(":")[2]
            for path in keys.glob("*.[tp]*")
            if "pub" not in path.name
        }
        for path in keys.glob("*.key"):
            found[path.name] = re.search(r"^secret (\S+)$", path.read_text(), re.MULTILINE)[1]
        return found


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """Both runs and all that was seen of them; nothing of it is left when the tests look at it."""
    base = tmp_path_factory.mktemp("docker")
    before = tables()
    with engine(base / "engine") as docker:
        folder = base / "clone"
        folder.mkdir()
        cluster = Cluster(folder, docker)
        docker.make_images(cluster.compose)
        seen = SimpleNamespace(cluster=cluster, folder=folder, engine=base / "engine", before=before)
        try:
            play_clean_run(cluster, seen)
            play_faults(cluster, seen)
        finally:
            with contextlib.suppress(AssertionError):
                seen.logs = {name: cluster.compose("logs", "--no-color", name) for name in STARTED}
            seen.down = cluster.compose("down", "--volumes", "--timeout", "5")
            seen.left = {
                "containers": docker.docker("ps", "--all", "--quiet"),
                "networks": docker.docker("network", "ls", "--quiet", "--filter", "type=custom"),
                "volumes": docker.docker("volume", "ls", "--quiet"),
            }
    return seen


def play_clean_run(cluster, seen):
    """As CI runs it. While it goes on, look into the containers."""
    up = cluster.begin("up", "--no-build", "--exit-code-from", "analyzer", *STARTED)
    try:
        seen.clean = cluster.await_phase("steady")
        wait_until(lambda: all(health == "healthy" for health in cluster.health()), seconds=20)
        seen.inspected = cluster.inspect()
        seen.status = {
            service: dict(
                line.split(":\t", 1)
                for line in cluster.in_container(service, "cat", "/proc/1/status")[1].splitlines()
            )
            for service in STARTED
        }
        seen.written = {
            service: cluster.in_container(service, "sh", "-c", "echo x >/etc/x") for service in STARTED
        }
        seen.history = [
            cluster.docker.docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", image)
            for image in ("loadproof-worker", "loadproof-analyzer", "loadproof-target")
        ]
        seen.web = {
            token: ask_web(cluster, token) for token in (None, "wrong", cluster.secrets()["web.token"])
        }
        seen.stores = cluster.in_container("target", "sh", "-c", "cat /proc/net/tcp")[1]
        seen.tables = cluster.in_container(
            "postgres",
            *("psql", "--host", "/run/postgresql", "--username", "loadproof", "--tuples-only", "--no-align"),
            *("--command", "SELECT count(*) FROM policies"),
        )
        seen.sessions = cluster.in_container("redis", "redis-cli", "dbsize")
        seen.output, _ = up.communicate(timeout=180)
    finally:
        if up.poll() is None:
            up.terminate()
            up.wait(120)
    seen.clean_code = up.returncode


def play_faults(cluster, seen):
    """Kill a worker, cut another off for some seconds, and let the others bring the run to its end."""
    cluster.compose("up", "--detach", "--no-build", *STARTED)
    seen.hurt = cluster.await_phase("steady", beside={seen.clean})
    cluster.docker.docker("kill", cluster.container(KILLED))
    seen.killed_s = time.time()
    [network] = [
        name for name in seen.inspected[CUT]["NetworkSettings"]["Networks"] if name.endswith("_load")
    ]
    place = cluster.docker.inspect(cluster.container(CUT))[0]["NetworkSettings"]["Networks"][network]
    cluster.docker.docker("network", "disconnect", network, cluster.container(CUT))
    wait_until(lambda: cluster.in_container(CUT, "linked")[0] != 0, seconds=30)
    seen.cut_s = time.time() - seen.killed_s
    names = [word for name in place["Aliases"] for word in ("--alias", name)]
    cluster.docker.docker(
        "network", "connect", *names, "--ip", place["IPAddress"], network, cluster.container(CUT)
    )
    seen.hurt_code = int(cluster.docker.docker("wait", cluster.container("analyzer")))
    seen.fired = cluster.ask_prometheus('max_over_time(ALERTS{alertstate="firing"}[10m])')
    seen.scraped = cluster.ask_prometheus("max_over_time(up[10m])")
    seen.rules = cluster.ask_prometheus("sum_over_time(loadproof:requests:rate30s[10m])")
    ended = cluster.inspect()
    seen.worker_codes = {name: ended[name]["State"]["ExitCode"] for name in WORKERS}


def ask_web(cluster, token):
    """Status of the web UI's statistics for who shows this token."""
    request = urllib.request.Request(f"http://{cluster.address('locust-master', 8089)}/stats/requests")
    if token is not None:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_a_clean_run_hands_its_verdict_to_ci(played):
    """`docker-compose up --exit-code-from analyzer` ends with 0, and a whole report lies on the host, as its owner's."""
    assert played.clean_code == 0, played.output
    told = results(played.clean)
    assert told["verdict"] in {"PASS", "WARN"}, told["reasons"]
    assert told["accounting"]["workers_seen"] == told["accounting"]["workers_planned"] == 4
    assert manifest(played.clean)["stop"] is None
    for name in ("report.html", "summary.md", "junit.xml", "requests.csv"):
        assert (played.clean / name).stat().st_size > 0
    assert list((played.folder / "charts" / played.clean.name).glob("*.png"))
    assert (played.clean / "report.html").stat().st_uid == 10001


def test_its_books_are_the_target_s(played):
    """Started, ended, Locust's total and what the target counted are one number, endpoint by endpoint."""
    accounting = results(played.clean)["accounting"]

    assert accounting["started"] > 500
    assert accounting["started"] == accounting["ok"] + accounting["failed"]
    assert accounting["started"] == accounting["target_counted"] == accounting["locust_counted"]
    for name, counts in accounting["endpoints"].items():
        assert counts["answered"] == counts["target_counted"], name


def test_its_resources_come_from_prometheus(played):
    """The rules on the target's processor and memory are judged, though no process of it can be seen from the master."""
    rules = {rule["rule"]: rule for rule in results(played.clean)["rules"]}

    for name in ("resource(target.cpu) <= 80%", "resource(target.memory) <= 85%"):
        assert rules[name]["verdict"] == "PASS", rules[name]
        assert 0 < rules[name]["value"] < 0.8


def test_the_target_stands_on_postgresql_and_redis(played):
    """What the scenarios wrote is in PostgreSQL, and sessions are in Redis."""
    assert played.tables[0] == 0, played.tables[1]
    assert int(played.tables[1]) > 0
    assert int(played.sessions[1].split()[-1]) > 0


def test_a_killed_worker_makes_the_run_invalid(played):
    """Its journal is torn: the analyzer ends with 4 and names it, and the other workers end in order."""
    told = results(played.hurt)

    assert played.hurt_code == 4
    assert told["verdict"] == "INVALID"
    torn = f"{WORKERS[KILLED]}-01 (epoch 0) is torn"
    assert any(torn in reason["text"] for reason in told["reasons"]), told["reasons"]
    assert played.worker_codes == {**dict.fromkeys(WORKERS, 0), KILLED: 137}
    torn = [path.name for path in (played.hurt / "journals").iterdir() if not Journal(path).state.complete]
    assert torn == [f"{WORKERS[KILLED]}-01-0.journal"]


def test_a_worker_that_was_cut_off_loses_nothing(played):
    """Off the network for some seconds: its journal is whole, and byte for byte what it wrote itself."""
    assert played.cut_s < 15, "a cut longer than a lease is another story"
    name = f"{WORKERS[CUT]}-01-0.journal"
    [own] = (played.folder / "deploy" / "journals" / WORKERS[CUT] / manifest(played.hurt)["run"]).glob(
        "*.journal"
    )

    assert own.name == name
    assert own.read_bytes() == (played.hurt / "journals" / name).read_bytes()


def test_what_the_target_counted_more_is_the_killed_worker_s(played):
    """No answer was invented, and what nobody tells of fits into the seconds between its last word and its death."""
    accounting = results(played.hurt)["accounting"]
    journal = Journal(played.hurt / "journals" / f"{WORKERS[KILLED]}-01-0.journal")
    intervals = list(journal.intervals())
    [first, *_] = [
        json.loads(line)
        for line in (played.hurt / "events.jsonl").read_text().splitlines()
        if '"kind": "phase"' in line
    ]
    began_s = datetime.datetime.fromisoformat(first["utc"]).timestamp() - first["at_us"] / 1e6
    untold_s = played.killed_s - began_s - journal.state.last_us / 1e6
    most = max(interval.started for interval in intervals) + USERS / len(WORKERS)

    for name, counts in accounting["endpoints"].items():
        assert counts["target_counted"] >= counts["answered"], name
    lost = accounting["target_counted"] - accounting["exchanges_answered"]
    assert 0 <= lost <= most * (untold_s + 1) + accounting["exchanges_unanswered"]


def test_prometheus_scraped_everything_and_told_of_the_lost_worker(played):
    """Each of its targets was up, its recording rules gave values, and the alert for the killed worker fired."""
    assert {series["job"] for series, value in played.scraped if value == 1} == {
        "loadproof",
        "target",
        "prometheus",
    }
    assert sum(value for _, value in played.rules) > 0
    alerts = {(series["alertname"], series.get("worker")) for series, _ in played.fired}
    assert ("LoadproofWorkerLost", f"{WORKERS[KILLED]}-01") in alerts


@pytest.mark.parametrize("service", STARTED)
def test_a_container_can_do_no_more_than_it_must(played, service):
    """No root, no capability, none to be had, a root file system that cannot be written, and limits."""
    status, inspected = played.status[service], played.inspected[service]

    assert "0" not in status["Uid"].split()
    assert [int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")] == [0] * 5
    assert status["NoNewPrivs"].strip() == "1"
    code, said = played.written[service]
    assert code != 0
    assert "Read-only file system" in said
    assert inspected["HostConfig"]["Memory"] > 0
    assert inspected["HostConfig"]["RestartPolicy"]["Name"] in {"", "no"}
    assert inspected["State"]["Health"]["Status"] == "healthy"


def test_ports_are_open_on_loopback_only(played):
    """Of all containers, the web UI and Prometheus are published, and to this machine alone."""
    published = {
        (service, place["HostIp"])
        for service, inspected in played.inspected.items()
        for places in inspected["NetworkSettings"]["Ports"].values()
        for place in places or ()
    }

    assert published == {("locust-master", "127.0.0.1"), ("prometheus", "127.0.0.1")}


def test_the_web_ui_asks_for_its_token(played):
    """Nobody sees the run without the token of deploy/keys."""
    refused = {token: status for token, status in played.web.items() if status != 200}

    assert refused == {None: 401, "wrong": 401}


def test_secrets_stay_in_their_files(played):
    """Not in an image's history, a container's environment or arguments, a log or a run folder."""
    secrets = played.cluster.secrets()
    shown = [*played.history, *played.logs.values(), played.output]
    shown += [json.dumps(inspected) for inspected in played.inspected.values()]
    shown += [
        path.read_text(errors="replace")
        for run in (played.clean, played.hurt)
        for path in run.rglob("*")
        if path.is_file()
    ]

    assert len(secrets) == 1 + 16 + 4
    assert [name for name, secret in secrets.items() for text in shown if secret in text] == []


def test_the_logs_can_be_read(played):
    """`docker-compose logs SERVICE` tells in a few lines what each did; nothing of ours fails with a traceback."""
    for name, region in WORKERS.items():
        assert f"{region}-01: waiting for the master at locust-master:5557" in played.logs[name]
        assert played.logs[name].count(f"{region}-01: done") == (1 if name == KILLED else 2)
    assert "4 of 4" in played.logs["locust-master"]
    assert "PASS  " in played.logs["analyzer"] or "WARN  " in played.logs["analyzer"]
    assert "INVALID  " in played.logs["analyzer"]
    for name in OURS:
        assert "Traceback" not in played.logs[name]
        assert len(played.logs[name].splitlines()) < 100


def test_everything_is_down_again(played):
    """No container, network or volume, no daemon, no mount, no bridge, no rule of the firewall."""
    assert {what: found.split() for what, found in played.left.items()} == {
        "containers": [],
        "networks": [],
        "volumes": [],
    }
    assert not played.engine.exists()
    assert mounts(played.engine) == []
    assert bridges() == []
    assert [line for line in tables().splitlines() if line[:1] in {"-", ":"} and "ACCEPT" not in line] == [
        line for line in played.before.splitlines() if line[:1] in {"-", ":"} and "ACCEPT" not in line
    ]
    assert not Path(played.engine, "docker.sock").exists()
