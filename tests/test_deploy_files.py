"""What is copied, mounted and typed to run loadproof in containers and in CI, as far as it needs no container."""

import os
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml
from commands import loadproof, wait_until

from analyzer.formats import writing
from loadproof.plan.builtin import resolve
from loadproof.plan.overrides import Overrides
from loadproof.plan.reader import read_plan

ROOT = Path(__file__).parent.parent
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
OURS = {"target": "target", "locust-master": "worker", "analyzer": "analyzer"} | {
    f"locust-worker-{number}": "worker" for number in range(1, 5)
}
WORKFLOWS = sorted((ROOT / "docs" / "ci").glob("*.yml"))
OVERLAY = ROOT / "deploy" / "cluster.yaml"


def test_the_compose_file_has_the_services_that_are_asked_for():
    """C55's, each worker for a region of its own, and what the target stands on."""
    assert set(SERVICES) == {*OURS, "postgres", "redis", "prometheus", "grafana"}
    regions = [SERVICES[f"locust-worker-{number}"]["environment"]["REGION"] for number in range(1, 5)]
    assert regions == [region.name for region in read_plan(resolve("distributed")).regions]


def test_old_and_new_compose_take_the_file(tmp_path):
    """docker-compose 1.29 reads it whole; neither `version` nor `name`, which one of them complains of, stands in it."""
    done = subprocess.run(
        ["docker-compose", "--file", ROOT / "docker-compose.yml", "config", "--quiet"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert not {"version", "name"} & set(COMPOSE)


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_locked_up(name):
    """Read-only, without capabilities, with limits, looked after, never restarted, and open to this machine alone."""
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert {"mem_limit", "pids_limit"} <= set(service)
    assert not {"restart", "privileged", "cap_add", "pid", "ipc"} & set(service)
    assert service.get("network_mode", "none") == "none"
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    image = ROOT / f"Dockerfile.{OURS[name]}" if name in OURS else None
    assert "healthcheck" in service if image is None else "\nHEALTHCHECK " in image.read_text()


def test_what_measures_and_what_is_measured_has_no_quota():
    """A quota on processors would be what the run measures."""
    assert {name for name, service in SERVICES.items() if "cpus" in service} == {"prometheus", "grafana"}


def test_stopping_gives_time_for_journals_and_reports():
    """Workers drain, the master closes its books after them, the analyzer judges after the master."""
    grace = {name: int(service.get("stop_grace_period", "10s")[:-1]) for name, service in SERVICES.items()}

    assert all(grace[name] == 60 for name in grace if name.startswith("locust-worker"))
    assert 60 < grace["locust-master"] < grace["analyzer"]
    assert "analyzer" in SERVICES["locust-master"]["depends_on"]
    assert "depends_on" not in SERVICES["analyzer"]


def test_secrets_are_files_that_are_no_part_of_the_repository():
    """Each that is used is defined, below deploy/keys, and git keeps that folder and .env out."""
    used = {secret for service in SERVICES.values() for secret in service.get("secrets", ())}

    assert used == set(COMPOSE["secrets"])
    assert all(one["file"] == f"./deploy/keys/{name}" for name, one in COMPOSE["secrets"].items())
    for path in ("deploy/keys/master.key", ".env", "deploy/journals/us-east-1"):
        assert subprocess.run(["git", "check-ignore", "-q", path], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("workers", ["", "1", "4"])
def test_the_overlay_fits_the_plan(workers):
    """The regions and their limits stay the plan's, sixteen workers unless said otherwise, and the target is allowed."""
    environ = {"WORKERS_PER_REGION": workers}
    plan = read_plan(resolve("distributed"), Overrides(config_file=OVERLAY), environ=environ)
    alone = read_plan(resolve("distributed"))

    expected = [region.model_copy(update={"workers": int(workers or 4)}) for region in alone.regions]
    assert list(plan.regions) == expected
    assert plan.rules == alone.rules
    assert plan.target == "http://target:8000"
    assert "target" in plan.allow_hosts
    assert set(plan.prometheus.resources) == {"target.cpu", "target.memory"}


def test_the_cluster_s_prometheus_is_configured_right():
    """promtool reads it; it scrapes the master with its token, and the target, every second."""
    file = ROOT / "deploy" / "prometheus" / "prometheus.yml"
    done = subprocess.run(
        ["promtool", "check", "config", "--syntax-only", file], capture_output=True, text=True, check=False
    )
    jobs = {job["job_name"]: job for job in yaml.safe_load(file.read_text())["scrape_configs"]}

    assert done.returncode == 0, done.stdout + done.stderr
    assert jobs["loadproof"]["authorization"] == {"credentials_file": "/run/secrets/metrics.token"}
    assert jobs["target"]["static_configs"] == [{"targets": ["target:8000"]}]


@pytest.mark.parametrize("image", ["worker", "analyzer", "target"])
def test_an_image_has_locked_libraries_and_no_others(image):
    """Each of its lines is one of `requirements-run.lock`, and what its verbs never load is not in it."""
    whole = (ROOT / "requirements-run.lock").read_text()
    lock = (ROOT / "deploy" / "locks" / f"{image}.lock").read_text()
    names = set(re.findall(r"^([\w.-]+)==", lock, re.MULTILINE))
    # Which platforms need a library differs with what needs it.
    lines = {
        line.partition(" ;")[0].removesuffix(" \\")
        for line in lock.splitlines()
        if "==" in line or "--hash" in line
    }

    assert lines <= {line.partition(" ;")[0].removesuffix(" \\") for line in whole.splitlines()}
    unwanted = {
        "worker": {
            "vl-convert-python",
            "junitparser",
            "starlette",
            "uvicorn",
            "z3-solver",
            "psycopg",
            "redis",
        },
        "analyzer": {"locust", "gevent", "pyzmq", "starlette", "z3-solver", "psycopg"},
        "target": {"locust", "gevent", "numpy", "scipy", "vl-convert-python"},
    }
    assert len(names) > 15
    assert not names & unwanted[image]


@pytest.fixture
def clone(tmp_path):
    """As far as `make keys` goes."""
    for name in ("deploy", "reports", "charts"):
        (tmp_path / name).mkdir()
    shutil.copy2(ROOT / "deploy" / "make-keys", tmp_path / "deploy")
    return tmp_path


def make_keys(folder):
    return subprocess.run(
        ["deploy/make-keys"],
        cwd=folder,
        env={**os.environ, "LOADPROOF": str(Path(sys.executable).with_name("loadproof"))},
        capture_output=True,
        text=True,
        check=False,
    )


def test_one_command_makes_every_secret(clone):
    """All that the compose file mounts, closed to others, for the user whom .env names; never a second time."""
    (clone / ".env").write_text("GRAFANA_PASSWORD=other\nLOADPROOF_USER=1:1\n")
    made = make_keys(clone)
    keys = clone / "deploy" / "keys"
    user = "10001:10001" if os.geteuid() == 0 else f"{os.getuid()}:{os.getgid()}"

    assert made.returncode == 0, made.stderr
    assert {path.name for path in keys.iterdir()} == set(COMPOSE["secrets"])
    assert (clone / ".env").read_text() == f"GRAFANA_PASSWORD=other\nLOADPROOF_USER={user}\n"
    assert stat.S_IMODE(keys.stat().st_mode) == 0o700
    for path in [*keys.glob("*.key"), keys / "web.token", keys / "target.pgpass"]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for path in (*keys.iterdir(), keys, clone / "reports", clone / "charts", clone / "deploy" / "journals"):
        assert f"{path.stat().st_uid}:{path.stat().st_gid}" == user
    tokens = {(keys / name).read_text() for name in ("web.token", "metrics.token", "postgres.password")}
    assert [len(token) for token in tokens] == [48, 48, 48]
    again = make_keys(clone)
    assert again.returncode == 2
    assert "remove it" in again.stderr


def region(tmp_path, worker):
    """The script that starts a region's workers, three of them, with a program in their place."""
    program = tmp_path / "loadproof"
    program.write_text(f'#!/bin/sh\necho "$*"\n{worker}\n')
    program.chmod(0o755)
    return subprocess.Popen(
        [ROOT / "deploy" / "images" / "region"],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "REGION": "eu-west-1", "WORKERS_PER_REGION": "3"},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_region_starts_a_worker_for_each_key(tmp_path):
    """Each with its own key; the exit status is that of the one that failed."""
    started = region(tmp_path, 'case "$*" in *-02.key*) exit 4;; esac')
    output, _ = started.communicate(timeout=30)

    assert started.returncode == 4
    assert sorted(shlex.split(line)[4] for line in output.splitlines()) == [
        f"/run/secrets/eu-west-1-0{number}.key" for number in (1, 2, 3)
    ]


def test_a_region_tells_its_workers_to_leave_and_waits_for_them(tmp_path):
    """SIGTERM reaches every worker, and none is left behind."""
    leave = "trap 'sleep 0.2; echo left; exit 0' TERM\nwhile :; do sleep 0.05; done"
    started = region(tmp_path, leave)
    for _ in range(3):
        wait_until(lambda: "worker" in started.stdout.readline())
    # The line is printed before the trap is set.
    wait_until(lambda: all(catches_term(pid) for pid in children(started.pid)))

    started.send_signal(signal.SIGTERM)
    output, _ = started.communicate(timeout=30)

    assert output.split() == ["left"] * 3
    assert started.returncode == 0


def children(pid):
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def catches_term(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    caught = int(re.search(r"^SigCgt:\t(\w+)$", status, re.MULTILINE)[1], 16)
    return caught >> (signal.SIGTERM - 1) & 1


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_a_workflow_can_be_copied(file):
    """GitHub's keys, fixed actions, few rights, no secret, and artifacts in any case; it is not live here."""
    # YAML 1.1 reads the key `on` as true.
    flow = yaml.safe_load(file.read_text())
    [job] = flow["jobs"].values()
    uploads = [step for step in job["steps"] if "upload-artifact" in step.get("uses", "")]

    assert set(flow) <= {"name", True, "permissions", "concurrency", "jobs"}
    assert flow["permissions"] == {"contents": "read"}
    assert job["timeout-minutes"] <= 60
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", step["uses"]) for step in job["steps"] if "uses" in step)
    assert all(("uses" in step) != ("run" in step) for step in job["steps"])
    assert [step["if"] for step in uploads] == ["always()"]
    assert "secrets." not in file.read_text()
    assert not (ROOT / ".github" / "workflows").exists()


def test_the_schedules_are_those_that_are_asked_for():
    """A pull request brings the spike test, Monday at two the heavy load."""
    triggers = {file.stem: yaml.safe_load(file.read_text())[True] for file in WORKFLOWS}

    assert set(triggers) == {"spike", "heavy-load"}
    assert "pull_request" in triggers["spike"]
    assert triggers["heavy-load"] == {"schedule": [{"cron": "0 2 * * 1"}], "workflow_dispatch": None}


def test_the_heavy_load_s_files_have_the_names_that_are_looked_for():
    """What `--format writing` writes fits the glob of B32, and that is what the workflow keeps."""
    paths = (ROOT / "docs" / "ci" / "heavy-load.yml").read_text()

    assert fnmatch(f"{writing.NAME}.json", "*stress*report*")
    assert "reports/**/*stress*report*" in paths
    assert "--format writing" in paths


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_a_workflow_types_what_can_be_typed(tmp_path, file):
    """The plan and the flags of its `loadproof run` are understood."""
    [line] = re.findall(r"run: (loadproof run .*)$", file.read_text(), re.MULTILINE)
    plan, *flags = shlex.split(line)[2:]
    known = loadproof("run", "--help", cwd=tmp_path).stdout
    done = loadproof("validate", plan, cwd=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert all(f"{flag} " in known for flag in flags)
