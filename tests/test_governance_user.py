"""The policy scenario against the real target, and against one that lies."""

from __future__ import annotations

import csv
import os
import subprocess
import sys

import httpx
import pytest
from playing import played, played_against
from serving import HASH, ROOT, serving

POLICIES = "policies.PolicyGovernanceUser"
ROUNDS = 20
NAMES = {
    "POST /policies",
    "PUT /policies/:id",
    "GET /policies/:id",
    "GET /policies",
    "POST /policies/:id/decisions",
}


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    with serving(folder=tmp_path_factory.mktemp("user")) as served:
        yield served


def test_every_request_and_check_succeeds_on_the_real_target(target):
    """All five endpoints are requested by their templates, and what they answer is as expected."""
    seen = played(POLICIES, target.url, ROUNDS)

    assert set(seen) == NAMES
    assert all(entry["failed"] == 0 for entry in seen.values()), seen
    assert seen["POST /policies/:id/decisions"]["ok"] == ROUNDS


def lie_in_header(status, _, body):
    return status, "0000", body


def lie_in_body(status, header, body):
    return status, header, {**body, "constitutional_hash": "0000"}


def lie_in_content(status, header, body):
    if "policy" in body:
        body["policy"]["priority"] += 1
    return status, header, body


def lie_in_type(status, header, body):
    for condition in body.get("policy", {}).get("conditions", []):
        if condition["value"] is True:
            condition["value"] = 1
    return status, header, body


def lie_in_version(status, header, body):
    if "version" in body:
        body["version"] += 1
    return status, header, body


def lie_in_digest(status, header, body):
    for item in [body, *body.get("items", [])]:
        if "digest" in item:
            item["digest"] = "0" * 64
    return status, header, body


def lie_in_order(status, header, body):
    if "items" in body:
        body["items"].reverse()
    return status, header, body


def lie_in_decision(status, header, body):
    if "decision" in body:
        body["decision"] = {"allow": "deny", "deny": "not_applicable", "not_applicable": "allow"}[
            body["decision"]
        ]
    return status, header, body


def lie_in_conditions(status, header, body):
    if "matched_conditions" in body:
        body["matched_conditions"].append(9)
    return status, header, body


@pytest.mark.parametrize(
    ("lie", "check"),
    [
        (lie_in_header, "hash_consistency"),
        (lie_in_body, "hash_consistency"),
        (lie_in_content, "policy_content"),
        (lie_in_type, "policy_content"),
        (lie_in_version, "policy_content"),
        (lie_in_digest, "policy_content"),
        (lie_in_order, "policy_content"),
        (lie_in_decision, "decision"),
        (lie_in_conditions, "decision"),
    ],
)
def test_a_lie_is_found_by_its_check(target, lie, check):
    """A target that answers 200 with something wrong in it fails the check that is there for it."""
    seen = played_against(target, lie, POLICIES, ROUNDS)

    assert all(seen[name]["failed"] == 0 for name in NAMES & set(seen))
    assert seen[f"CHECK {check}"]["failed"] > 0
    if check != "policy_content":
        assert [name for name in seen if name.startswith("CHECK")] == [f"CHECK {check}"]


def test_a_wrong_decision_is_shown_with_its_evidence(target):
    """The failed check's text has what was expected and what came."""
    text = played_against(target, lie_in_decision, POLICIES, ROUNDS)["CHECK decision"]["text"]

    assert "expected ('" in text
    assert '"decision": "' in text


def test_a_refused_update_makes_the_user_forget_the_policy(target):
    """After an answer that leaves open what is stored, nothing more is expected of that policy."""

    def lie(status, header, body):
        return (
            (503, header, {"error": {}})
            if body.get("version", 1) > 1 and "items" not in body
            else (status, header, body)
        )

    seen = played_against(target, lie, POLICIES, ROUNDS)

    assert seen["PUT /policies/:id"] == {"ok": 0, "failed": ROUNDS, "text": seen["PUT /policies/:id"]["text"]}
    assert seen["GET /policies/:id"]["failed"] == 0
    assert not [name for name in seen if name.startswith("CHECK")]


def test_the_folder_works_in_plain_locust(target, tmp_path):
    """`locust -f locustfiles/governance` loads every module of the folder and makes a clean run."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "locust", "-f", "locustfiles/governance", "--headless", "--only-summary"),
            *("-u", "20", "-r", "20", "-t", "2s", "-H", target.url, "--csv", str(tmp_path / "run")),
        ],
        cwd=ROOT,
        capture_output=True,
        timeout=120,
        check=False,
    )
    with (tmp_path / "run_stats.csv").open() as file:
        rows = {row["Name"]: row for row in csv.DictReader(file)}

    assert done.returncode == 0, done.stderr.decode()
    assert {"POST /policies", "POST /tenants", "POST /audit/entries"} <= set(rows)
    assert not any(letter.isdigit() for name in rows for letter in name), "names are templates"
    assert rows["Aggregated"]["Failure Count"] == "0"


def test_the_books_close(target):
    """What Locust saw answered is what the target counted, endpoint by endpoint."""
    seen = played(POLICIES, target.url, ROUNDS, "books")
    counted = httpx.get(target.url + "/counts", params={"run": "books"}).json()["counts"]

    assert counted == {name: entry["ok"] for name, entry in seen.items()}


def test_the_hash_is_the_one_of_the_environment():
    """Scenario and target take CONSTITUTIONAL_HASH from the environment, and the same default."""
    script = "from locustfiles.governance.constitution import CONSTITUTIONAL_HASH as value; print(value)"
    values = [
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env={**os.environ, **environment},
            capture_output=True,
            check=True,
        ).stdout.decode()
        for environment in ({}, {"CONSTITUTIONAL_HASH": "mine"})
    ]

    assert values == [HASH + "\n", "mine\n"]
