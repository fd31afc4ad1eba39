"""Twenty planted secrets are found nowhere: not in the run folder, not in output, not in what processes say to each other."""

import json
import os
import urllib.parse

import pytest
from commands import loadproof, results, run_folder
from echoing import echoing

WIRE = """
import os

try:
    import msgpack
except ImportError:
    msgpack = None
if msgpack is not None and "WIRE_LOG" in os.environ:
    real = msgpack.dumps

    def dumps(data, *args, **options):
        packed = real(data, *args, **options)
        with open(os.environ["WIRE_LOG"], "ab") as log:
            log.write(packed)
        return packed

    msgpack.dumps = dumps
"""
AWKWARD = (
    "p@ss/w0rd+&%=?#[]",
    'quo"ted\\back',
    "ünïcödé-wört",
    "with blank and\ttab",
    "a" * 120,
    "x'y`z$HOME{}",
)
SECRETS = {f"SECRET_{n:02}": f"s3cr3t-{n:02}-" + os.urandom(6).hex() for n in range(14)}
SECRETS |= {f"SECRET_{14 + n}": f"{text}{n}" for n, text in enumerate(AWKWARD)}
PASSWORD = "hunter2-" + os.urandom(6).hex()

LOCUSTFILE = """
import logging
import os
import sys

from locust import FastHttpUser, HttpUser, constant, task
from loadproof.client.user import LoadUser

SECRETS = [value for name, value in sorted(os.environ.items()) if name.startswith("SECRET_")]
logging.getLogger("mine").warning("at import")


class Careless(LoadUser):
    wait_time = constant(0.1)
    checks = ("told",)

    @task
    def tell(self):
        for value in SECRETS:
            self.client.get("/x", headers={"Authorization": "Bearer " + value.encode().hex()}, name="GET /x " + value)
            self.check("told", False, detail=f"the answer holds {value!r}")
            logging.getLogger("mine").error("logged %s", value)
            print("printed", value, flush=True)
            sys.stderr.write(f"error {value}\\n")

    @task
    def raise_it(self):
        raise RuntimeError("http://bob:PASSWORD@db/ said no to " + SECRETS[3] + " and " + SECRETS[14])


class Stock(FastHttpUser):
    wait_time = constant(0.1)

    @task
    def fetch(self):
        with self.client.get("/y?token=" + SECRETS[5], catch_response=True) as response:
            response.failure("no " + SECRETS[6] + " in http://bob:PASSWORD@host/")
        raise ValueError({"token": SECRETS[7]})
"""


def spellings(value):
    """As a URL, JSON and Python write it."""
    return {
        value,
        urllib.parse.quote(value),
        urllib.parse.quote(value, safe=""),
        urllib.parse.quote_plus(value),
        json.dumps(value)[1:-1],
        repr(value)[1:-1],
    }


def leaks(data, where):
    found = []
    for name, value in {**SECRETS, "PASSWORD": PASSWORD}.items():
        found += [f"{name} in {where}" for spelling in spellings(value) if spelling.encode() in data]
    return found


def flow_plan(url):
    steps = []
    for name in SECRETS:
        value = f"${{{name}}}"
        steps.append(
            {"post": f"/in/{value.replace('$', '$')}", "json": {"pin": value}}
            if name < "SECRET_14"
            else {"post": "/in", "json": {"pin": value}, "expect": {"text": f"never {value}"}}
        )
    return {
        "name": "planted",
        "target": url,
        "locustfile": "careless.py",
        "load": [{"phase": "steady", "duration": "6s", "users": 6}],
        "secrets": list(SECRETS),
        "flows": {"Flow": {"headers": {"X-Token": "Bearer ${SECRET_00}"}, "steps": steps}},
        "rules": ["p95 <= 5s", "error_ratio <= 90%"],
        "regions": [{"name": "east"}, {"name": "west"}],
        "stop_timeout": "5s",
    }


@pytest.fixture
def here(tmp_path):
    (tmp_path / "careless.py").write_text(LOCUSTFILE.replace("PASSWORD", PASSWORD))
    (tmp_path / "shim").mkdir()
    (tmp_path / "shim" / "sitecustomize.py").write_text(WIRE)
    return tmp_path


@pytest.mark.parametrize("more", [(), ("--smoke",)], ids=["run", "smoke"])
def test_no_planted_secret_is_written_or_sent_anywhere(here, more):
    """Values in headers, paths, bodies, checks, errors, logs, prints, names and tracebacks: none of 20 is kept."""
    paths = os.pathsep.join(filter(None, [str(here / "shim"), os.environ.get("PYTHONPATH")]))
    with echoing() as url:
        (here / "plan.json").write_text(json.dumps(flow_plan(url)))
        environ = {"PYTHONPATH": paths, "WIRE_LOG": str(here / "wire"), **SECRETS}
        done = loadproof("run", "./plan.json", *more, "--verbose", cwd=here, **environ)
    folder = run_folder(here)

    assert done.returncode in {0, 3, 4}, done.stdout + done.stderr
    found = leaks((done.stdout + done.stderr).encode(), "output")
    for path in sorted([*folder.rglob("*"), *(here / "charts").rglob("*")]):
        if path.is_file():
            found += leaks(path.read_bytes(), path.name)
    wire = (here / "wire").read_bytes()
    found += leaks(wire, "wire")
    assert found == []
    assert wire.count(b"loadproof_record") >= 3
    text = (folder / "run.log").read_text() + done.stdout
    assert "printed ***" in text
    asked = results(folder)["by_scenario"]
    assert set(asked) >= {"Flow", "Careless", "Stock"}, asked.keys()
    assert "***" in (folder / "results.json").read_text()


def test_a_secret_typed_into_the_plan_is_refused(here):
    """A value that stands in the plan itself would be written down: a mistake that does not repeat it."""
    with echoing() as url:
        (here / "plan.json").write_text(json.dumps(flow_plan(url)))
        done = loadproof(
            "run", "./plan.json", "--set", f"title=of {SECRETS['SECRET_01']}", cwd=here, **SECRETS
        )

    assert done.returncode == 2
    assert "the value of the secret `SECRET_01` stands in the plan" in done.stderr
    assert leaks((done.stdout + done.stderr).encode(), "output") == []
    assert not (here / "reports").exists()


def test_flows_send_what_they_must_not_write(here):
    """The target is given the true value: it echoes all but the last character of it, which the plan may hold."""
    value = SECRETS["SECRET_18"]
    with echoing() as url:
        plan = flow_plan(url) | {"secrets": ["SECRET_18"]}
        del plan["locustfile"]
        plan["flows"] = {
            "Flow": {
                "steps": [{"post": "/in", "json": {"pin": "${SECRET_18}"}, "expect": {"text": value[:-1]}}]
            }
        }
        (here / "plan.json").write_text(json.dumps(plan))
        done = loadproof("run", "./plan.json", "--smoke", cwd=here, SECRET_18=value)

    [check] = results(run_folder(here))["checks"].values()
    assert check["passed"] >= 1, done.stdout + done.stderr
    assert check["failed"] == 0


def test_a_worker_without_a_secret_never_joins(here):
    """A plan whose secret is not set is a mistake with its place; nothing is run."""
    with echoing() as url:
        (here / "plan.json").write_text(json.dumps(flow_plan(url)))
        environ = {name: value for name, value in SECRETS.items() if name != "SECRET_09"}
        done = loadproof("run", "./plan.json", cwd=here, **environ)

    assert done.returncode == 2
    assert "SECRET_09" in done.stderr
    assert leaks((done.stdout + done.stderr).encode(), "output") == []
    assert not (here / "reports").exists()
