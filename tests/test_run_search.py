"""Runs that search for the capacity of a real server whose capacity is known, from the command to the report."""

import json

import pytest
from commands import loadproof, results, run_folder
from counter_hall import hall

ASKER = """\
from locust import task

from loadproof.client.user import LoadUser


class Asker(LoadUser):
    @task
    def ask(self):
        self.client.get("/", name="GET /")
"""
PLAN = """\
name: searched
locustfile: asker.py
target: {target}
load: [{{phase: search, duration: {seconds}s, {load}}}]
rules: [{rules}]
search: {{{search}}}
"""


def search(here, target, seconds, load, rules, search, guards=None):
    (here / "asker.py").write_text(ASKER)
    text = PLAN.format(target=target, seconds=seconds, load=load, rules=rules, search=search)
    (here / "plan.yaml").write_text(text + (f"guards: {guards}\n" if guards else ""))
    done = loadproof("run", "plan.yaml", cwd=here, timeout=seconds + 90)
    folder = run_folder(here)
    return done, folder, results(folder)


def test_a_search_is_in_every_report_and_the_folder_alone_tells_it_again(tmp_path):
    """Sixteen counters of 200 ms serve 48 users in 600 ms, and one more in 800; half a minute is enough to come near."""
    with hall(16, 0.2) as url:
        rules = "p95 <= 780ms, capacity >= 20"
        load = "users: 64"
        done, folder, found = search(
            tmp_path, url, 34, load, rules, "from: 32, settle: 1s, hold: 2s, precision: 25%, confirm: 1"
        )
    known = found["search"]

    assert done.returncode == 0, done.stdout + done.stderr
    assert 32 <= known["capacity"] <= 50
    assert known["interval"][0] <= 48 <= (known["interval"][1] or 48)
    assert (known["unit"], known["recovered"]) == ("users", True)
    assert known["limited_by"].startswith("p95")
    assert known["ending"] in {"found", "time"}
    assert found["stop"] is None
    assert "capacity >= 20" in [rule["rule"] for rule in found["rules"]]
    assert "p95 <= 780ms" not in [rule["rule"] for rule in found["rules"]]
    assert max(probe["load"] for probe in known["probes"]) <= 64
    assert not {"load_not_offered", "torn_epoch", "books_open"} & {
        reason["code"] for reason in found["reasons"]
    }
    kinds = [json.loads(line)["kind"] for line in (folder / "events.jsonl").read_text().splitlines()]
    assert kinds.count("probe") == len(known["probes"])
    assert kinds.count("search_over") == 1
    for file in ("summary.md", "report.html"):
        assert known["text"][:20] in (folder / file).read_text(), file
    assert "search: " in done.stdout
    assert loadproof("report", folder, cwd=tmp_path).returncode == 0
    assert results(folder)["search"] == known

    given = loadproof("report", folder, "--rule", "p95 <= 1ms", cwd=tmp_path)
    assert "p95 <= 1ms is not judged" in given.stdout
    assert results(folder)["verdict"] != "PASS"
    against = loadproof("run", "plan.yaml", "--baseline", folder, cwd=tmp_path)
    assert against.returncode == 2
    assert "not alike" not in against.stderr
    assert url in against.stderr
    manifest = json.loads((folder / "manifest.json").read_text())
    for wrong in (
        {"to_us": 10**15},
        {"level": 0, "guard": "x", "guarded": "target.cpu"},
        {"from_us": -1},
        {},
    ):
        probes = [manifest["search"]["probes"][0] | wrong, *manifest["search"]["probes"][1:]]
        ended_us = manifest["search"]["ended_us"] if wrong else 3_000_000
        damaged = manifest | {"search": manifest["search"] | {"probes": probes, "ended_us": ended_us}}
        (folder / "manifest.json").write_text(json.dumps(damaged))
        again = loadproof("report", folder, cwd=tmp_path)
        assert (again.returncode, results(folder)["verdict"]) == (4, "INVALID"), again.stderr
        assert "its probes cannot have been made" in (folder / "summary.md").read_text()


@pytest.mark.long
@pytest.mark.alone
@pytest.mark.parametrize("refuse", [None, 6])
def test_the_capacity_of_a_real_server_is_found_within_5_percent(tmp_path, refuse):
    """Ten counters of 250 ms serve four rounds within 1.1 s, so 40 users; and no more than 16 users, if 6 may wait."""
    with hall(10, 0.25, refuse) as url:
        rules = "p95 <= 1100ms, error_ratio <= 1%, capacity >= 10"
        _, _, found = search(
            tmp_path, url, 240, "users: 120", rules, "from: 5, settle: 2s, hold: 4s, confirm: 2"
        )
    known = found["search"]
    capacity = 40 if refuse is None else 16

    assert known["ending"] == "found"
    assert known["capacity"] == pytest.approx(capacity, rel=0.05, abs=1)
    assert known["interval"][0] - 1 <= capacity <= known["interval"][1] + 1
    assert known["shape"] == ("knee" if refuse is None else "cliff")
    assert known["limited_by"].startswith("p95" if refuse is None else "error_ratio")
    assert found["verdict"] in {"PASS", "WARN"}


@pytest.mark.long
@pytest.mark.alone
def test_arrivals_are_searched_too(tmp_path):
    """Ten counters of 250 ms serve 40 arrivals a second."""
    with hall(10, 0.25) as url:
        rules = "p95 <= 400ms, capacity >= 10/s"
        _, _, found = search(
            tmp_path, url, 240, "arrivals: 120/s, users: 200", rules, "from: 4/s, settle: 2s, hold: 5s"
        )
    known = found["search"]

    assert known["unit"] == "per_s"
    assert known["capacity"] == pytest.approx(40, rel=0.05)
    assert known["interval"][0] <= 41
    assert known["ending"] in {"found", "time"}
    assert found["verdict"] in {"PASS", "WARN"}


def test_a_guard_ends_a_search_that_goes_past_it(tmp_path):
    """Exit 5, nothing above the load that tripped it, and a search that says that it was stopped."""
    with hall(4, 0.1, refuse=2) as url:
        done, _, found = search(
            tmp_path,
            url,
            60,
            "users: 64",
            "p95 <= 10s",
            "from: 8, settle: 1s, hold: 5s",
            guards="{errors: 40%, users: 60}",
        )
    assert done.returncode == 5, done.stdout + done.stderr
    assert found["verdict"] == "INVALID"
    assert found["search"]["ending"] == "stopped"
    assert found["stop"]["by"] == "guard"
