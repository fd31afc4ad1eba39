"""The multi-tenant scenario against the real target, its planted faults, and one that lies."""

from __future__ import annotations

import json
import re

import httpx
import pytest
from playing import played, played_against
from serving import serving

TENANTS = "tenants.MultiTenantUser"
ROUNDS = 12
USERS = 2
NAMES = {
    "POST /tenants",
    "POST /tenants/:id/rows",
    "GET /tenants/:id/rows/:row",
    "GET /tenants/:id/rows",
    "PUT /tenants/:id/configuration",
    "GET /tenants/:id/configuration",
}
STRANGE = "canary-0123456789abcdef"


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    with serving("--processes", "2", folder=tmp_path_factory.mktemp("tenants")) as served:
        yield served


def failed(seen: dict[str, dict]) -> set[str]:
    return {name for name, entry in seen.items() if entry["failed"]}


def test_every_request_and_check_succeeds_on_the_real_target(target):
    """All six endpoints are requested by their templates; to be refused a stranger's row is a success."""
    seen = played(TENANTS, target.url, ROUNDS, "all", users=USERS)
    counts = httpx.get(target.url + "/counts", params={"run": "all"}).json()["counts"]
    metrics = httpx.get(target.url + "/metrics").text
    refused = re.findall(r'endpoint="GET /tenants/:id/rows/:row",status="40([34])"\} (\d+)', metrics)

    assert set(seen) == NAMES
    assert failed(seen) == set()
    assert counts == {name: entry["ok"] for name, entry in seen.items()}
    # Every user looks for a stranger's row each round, by both ways, from when there is a stranger.
    assert {status for status, _ in refused} == {"3", "4"}
    assert sum(int(count) for _, count in refused) >= ROUNDS * USERS - 1


@pytest.mark.parametrize(
    ("switch", "checks"),
    [
        ("leaked_row", {"CHECK isolation", "CHECK tenant_data"}),
        ("wrong_hash", {"CHECK hash_consistency"}),
    ],
)
def test_a_planted_fault_is_found_each_time(target, switch, checks):
    """What the target is told to get wrong three times fails its check three times, and no request."""
    httpx.put(target.url + "/switches", json={switch: 3})
    seen = played(TENANTS, target.url, ROUNDS, users=USERS)

    assert failed(seen) == checks
    assert [seen[name]["failed"] for name in checks] == [3] * len(checks)
    assert httpx.get(target.url + "/switches").json()[switch] == 0


def lie_by_giving(status, header, body):
    """Strangers are given rows in place of being refused."""
    if status in {403, 404}:
        return 200, header, {"id": 1, "tenant": 1, "fields": {}, "constitutional_hash": header}
    return status, header, body


def lie_in_an_error(status, header, body):
    """An answer that refuses shows what it refuses."""
    if status in {403, 404}:
        body["error"]["message"] += STRANGE
    return status, header, body


def lie_in_a_configuration(status, header, body):
    if "configuration" in body:
        body["note"] = STRANGE
    return status, header, body


def lie_in_a_refusals_hash(status, header, body):
    return status, header, {**body, "constitutional_hash": "0000"} if status == 403 else body


def lie_in_a_row(status, header, body):
    if "fields" in body:
        body["fields"]["amount"] += 1
    return status, header, body


def lie_in_an_id(status, header, body):
    if "fields" in body and status == 200:
        body["id"] += 1
    return status, header, body


def lie_in_an_owner(status, header, body):
    for item in body.get("items", []):
        item["tenant"] += 1
    return status, header, body


def lie_in_a_total(status, header, body):
    if "items" in body:
        body["total"] += 1
    return status, header, body


def lie_by_cutting(status, header, body):
    """A row is lost from a list, which is otherwise sound."""
    if len(body.get("items", [])) > 1:
        del body["items"][0]
    return status, header, body


def lie_by_an_old_list(status, header, body):
    """A list is as it was before the latest row, as a stale cache would have it."""
    if body.get("items") and body["total"] > 1 and len(body["items"]) > 1:
        del body["items"][-1]
        body["total"] -= 1
    return status, header, body


def lie_in_order(status, header, body):
    if "items" in body:
        body["items"].reverse()
    return status, header, body


def lie_in_a_listed_row(status, header, body):
    for item in body.get("items", []):
        item["fields"]["amount"] += 1
    return status, header, body


def lie_by_an_old_configuration(status, header, body):
    if "configuration" in body and status == 200 and body["version"] > 1:
        body["version"] -= 1
    return status, header, body


def lie_in_a_setting(status, header, body):
    if "retention_days" in body.get("configuration", {}):
        body["configuration"]["retention_days"] += 1
    return status, header, body


@pytest.mark.parametrize(
    ("lie", "check"),
    [
        (lie_in_an_error, "isolation"),
        (lie_in_a_configuration, "isolation"),
        (lie_in_a_refusals_hash, "hash_consistency"),
        (lie_in_a_row, "tenant_data"),
        (lie_in_an_id, "tenant_data"),
        (lie_in_an_owner, "tenant_data"),
        (lie_in_a_total, "tenant_data"),
        (lie_by_cutting, "tenant_data"),
        (lie_by_an_old_list, "tenant_data"),
        (lie_in_order, "tenant_data"),
        (lie_in_a_listed_row, "tenant_data"),
        (lie_by_an_old_configuration, "tenant_data"),
        (lie_in_a_setting, "tenant_data"),
    ],
)
def test_a_lie_is_found_by_its_check(target, lie, check):
    """An answer with something wrong in it fails the check that is there for it and no other."""
    seen = played_against(target, lie, TENANTS, ROUNDS, users=USERS)

    assert failed(seen) - {"PUT /tenants/:id/configuration"} == {f"CHECK {check}"}


def test_a_stranger_who_is_let_in_is_found(target):
    """A stranger's row that is given fails the request as well as the check."""
    seen = played_against(target, lie_by_giving, TENANTS, ROUNDS, users=USERS)

    assert failed(seen) == {"CHECK isolation", "GET /tenants/:id/rows/:row"}
    assert seen["CHECK isolation"]["failed"] >= ROUNDS
    assert "a stranger's row was given" in seen["GET /tenants/:id/rows/:row"]["text"]


def test_errors_are_no_findings(tmp_path):
    """A target that answers some requests with 500 fails these and no check; what was perhaps written is allowed."""
    with serving("--switch", "errors=0.2", folder=tmp_path) as served:
        seen = played(TENANTS, served.url, ROUNDS, users=USERS)

    assert failed(seen)
    assert failed(seen) <= NAMES


def test_a_write_that_was_carried_out_all_the_same_is_no_finding(target):
    """Writes whose answers were lost count as perhaps made; lists and configurations go on being checked."""
    lost = iter(range(10**6))

    def lie(status, header, body):
        written = (status == 201 and "fields" in body) or body.get("version", 1) > 1
        return (503, header, {}) if written and next(lost) % 3 == 0 else (status, header, body)

    seen = played_against(target, lie, TENANTS, ROUNDS, users=USERS)

    assert {name for name in failed(seen) if name.startswith("CHECK")} == set()
    assert {"POST /tenants/:id/rows", "PUT /tenants/:id/configuration"} <= failed(seen)


def test_a_leak_in_an_error_is_found(target):
    """An answer that fails is looked at as well: a stranger's canary in it is a leak."""

    def lie(status, header, body):
        return (
            (500, header, {"error": {"message": STRANGE}})
            if "configuration" in body
            else (status, header, body)
        )

    seen = played_against(target, lie, TENANTS, 3)

    assert failed(seen) == {
        "CHECK isolation",
        "GET /tenants/:id/configuration",
        "PUT /tenants/:id/configuration",
    }


@pytest.mark.parametrize(
    ("wrong", "checks"),
    [
        ({"name": "another"}, {"CHECK tenant_data"}),
        ({"items": []}, {"CHECK tenant_data"}),
        ({"name": STRANGE, "items": STRANGE}, {"CHECK tenant_data", "CHECK isolation"}),
    ],
)
def test_no_evidence_shows_a_token(target, wrong, checks):
    """Whatever fails, the texts of failures have no tenant's token in them."""
    tokens: list[str] = []

    def lie(status, header, body):
        tokens.extend([body["token"]] if "token" in body else [])
        return status, header, {**body, **{name: wrong[name] for name in wrong if name in body}}

    seen = played_against(target, lie, TENANTS, 2)

    assert {name for name in failed(seen) if name.startswith("CHECK")} >= checks
    assert len(tokens) == 1
    assert tokens[0] not in json.dumps(seen)
