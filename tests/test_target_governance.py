"""Policies over HTTP: what is written is read, versions guard updates, every mistake has its answer."""

from __future__ import annotations

import httpx
import pytest
from databases import STORES, options_of
from serving import HASH, HEADERS, POLICY, serving

from locustfiles.governance.evaluator import policy_digest

ACTION = {
    "subject": {"role": "auditor"},
    "action": "read",
    "resource": "records/7",
    "context": {"hour": 10},
}


@pytest.fixture(scope="module", params=STORES)
def target(request, tmp_path_factory):
    options = options_of(request, request.param)
    with serving("--processes", "2", *options, folder=tmp_path_factory.mktemp("governance")) as served:
        yield served


@pytest.fixture
def client(target):
    with target.client() as client:
        yield client


@pytest.fixture
def made(client):
    return client.post("/policies", json=POLICY).json()


def refused(answer: httpx.Response, status: int, code: str) -> str:
    """The message of an error answer that has the form of all errors."""
    assert answer.status_code == status, answer.text
    assert answer.headers["X-Constitutional-Hash"] == HASH
    body = answer.json()
    assert body["constitutional_hash"] == HASH
    assert body["error"]["code"] == code
    message: str = body["error"]["message"]
    return message


def test_health_tells_who_answers(target):
    """Health needs no header and names status, version, hash, time and the store."""
    answer = httpx.get(target.url + "/gateway/health")

    assert answer.status_code == 200
    assert set(answer.json()) == {"status", "version", "constitutional_hash", "time", "store"}
    assert answer.json()["constitutional_hash"] == answer.headers["X-Constitutional-Hash"] == HASH


def test_what_is_created_is_read(client):
    """A created policy comes back with an id, version 1 and the digest of its canonical JSON."""
    created = client.post("/policies", json=POLICY)
    read = client.get(f"/policies/{created.json()['id']}")

    assert created.status_code == 201
    assert created.json() == {
        "id": created.json()["id"],
        "version": 1,
        "digest": policy_digest(POLICY),
        "policy": POLICY,
        "constitutional_hash": HASH,
    }
    assert read.status_code == 200
    assert read.json() == created.json()
    assert read.headers["X-Constitutional-Hash"] == HASH
    assert read.headers["content-type"] == "application/json"


def test_an_update_replaces_the_content_and_counts_versions(client, made):
    """PUT answers with the new content and version; without `if_version` it always succeeds."""
    new = {**POLICY, "effect": "deny", "conditions": []}
    first = client.put(f"/policies/{made['id']}", json={"policy": new, "if_version": 1})
    second = client.put(f"/policies/{made['id']}", json={"policy": POLICY})

    assert first.status_code == 200
    assert first.json()["version"] == 2
    assert first.json()["policy"] == new
    assert first.json()["digest"] == policy_digest(new)
    assert second.json()["version"] == 3
    assert client.get(f"/policies/{made['id']}").json() == second.json()


def test_an_update_of_another_version_is_refused(client, made):
    """`if_version` that is not the stored version: 409, and the policy stays as it was."""
    answer = client.put(f"/policies/{made['id']}", json={"policy": POLICY, "if_version": 2})

    assert "version 1, not 2" in refused(answer, 409, "version_conflict")
    assert client.get(f"/policies/{made['id']}").json() == made


def test_a_list_has_a_stable_order_and_a_total(client):
    """Pages of any size put together are all policies in order of creation."""
    for number in range(7):
        client.post("/policies", json={**POLICY, "title": f"Number {number}"})
    total = client.get("/policies").json()["total"]
    found: list[dict] = []
    while len(found) < total:
        page = client.get("/policies", params={"offset": len(found), "limit": 3}).json()
        assert (page["offset"], page["limit"], page["total"]) == (len(found), 3, total)
        assert page["constitutional_hash"] == HASH
        assert 0 < len(page["items"]) <= 3
        found += page["items"]

    assert [each["id"] for each in found] == list(range(1, total + 1))
    assert [each["policy"]["title"] for each in found[-7:]] == [f"Number {number}" for number in range(7)]
    assert client.get("/policies", params={"offset": total}).json()["items"] == []


def test_a_list_of_one_resource_has_only_it(client):
    """`resource` picks the policies with exactly that pattern, also after an update moved one there."""
    wanted = "only/these/*?&=é"
    ids = []
    for _ in range(3):
        ids.append(client.post("/policies", json={**POLICY, "resource": wanted}).json()["id"])
        client.post("/policies", json=POLICY)
    moved = client.post("/policies", json=POLICY).json()["id"]
    client.put(f"/policies/{moved}", json={"policy": {**POLICY, "resource": wanted}})
    page = client.get("/policies", params={"resource": wanted, "offset": 1, "limit": 2}).json()

    assert page["total"] == 4
    assert [each["id"] for each in page["items"]] == ids[1:]
    assert all(each["policy"]["resource"] == wanted for each in page["items"])
    rest = client.get("/policies", params={"resource": wanted, "offset": 3}).json()
    assert [each["id"] for each in rest["items"]] == [moved]


@pytest.mark.parametrize(
    ("change", "decision", "matched"),
    [
        ({}, "allow", [0, 1]),
        ({"context": {"hour": 8}}, "not_applicable", [0]),
        ({"resource": "cases/7"}, "not_applicable", [0, 1]),
        ({"subject": {}, "context": {}}, "not_applicable", []),
    ],
)
def test_an_action_is_decided_by_the_stored_policy(client, made, change, decision, matched):
    """The decision follows effect, resource and conditions, and names what it was based on."""
    answer = client.post(f"/policies/{made['id']}/decisions", json={**ACTION, **change})

    assert answer.status_code == 200
    assert answer.json() == {
        "decision": decision,
        "resource_matched": "resource" not in change,
        "matched_conditions": matched,
        "policy_id": made["id"],
        "policy_version": 1,
        "constitutional_hash": HASH,
    }


def test_a_decision_follows_an_update(client, made):
    """After an update actions are decided by the new content."""
    client.put(f"/policies/{made['id']}", json={"policy": {**POLICY, "effect": "deny"}})
    answer = client.post(f"/policies/{made['id']}/decisions", json=ACTION).json()

    assert (answer["decision"], answer["policy_version"]) == ("deny", 2)


ROUTES = [
    ("POST", "/policies", POLICY),
    ("GET", "/policies", None),
    ("GET", "/policies/1", None),
    ("PUT", "/policies/1", {"policy": POLICY}),
    ("POST", "/policies/1/decisions", ACTION),
]


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
def test_every_governance_request_names_the_hash(target, made, method, path, body):
    """Without the header 400, with another hash 412 that names both; nothing is done."""
    before = httpx.get(target.url + "/policies", headers=HEADERS).json()["total"]
    missing = httpx.request(method, target.url + path, json=body)
    other = httpx.request(method, target.url + path, json=body, headers={"X-Constitutional-Hash": "feed"})

    assert "X-Constitutional-Hash" in refused(missing, 400, "constitutional_hash_missing")
    message = refused(other, 412, "constitutional_hash_mismatch")
    assert "feed" in message
    assert HASH in message
    assert httpx.get(target.url + "/policies", headers=HEADERS).json()["total"] == before


@pytest.mark.parametrize("identity", ["0", "999999", "-1", "01", "x", "1e3", "9" * 30, "%F0%9F%98%80", "²"])
def test_what_is_no_policy_is_not_found(client, identity):
    """An id that does not exist, or cannot: 404 in every verb."""
    for answer in (
        client.get(f"/policies/{identity}"),
        client.put(f"/policies/{identity}", json={"policy": POLICY}),
        client.post(f"/policies/{identity}/decisions", json=ACTION),
    ):
        refused(answer, 404, "no_such_policy")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"title": ""}, "$.title"),
        ({"title": "x" * 201}, "$.title"),
        ({"title": 7}, "$.title"),
        ({"effect": "maybe"}, "$.effect"),
        ({"resource": ""}, "$.resource"),
        ({"priority": 1.5}, "$.priority"),
        ({"priority": 1001}, "$.priority"),
        ({"priority": True}, "$.priority"),
        ({"extra": 1}, "extra"),
        (
            {"conditions": [{"attribute": "role", "operator": "equals", "value": 1}]},
            "$.conditions[0].attribute",
        ),
        ({"conditions": [{"attribute": "action\n", "operator": "equals", "value": 1}]}, "attribute"),
        ({"conditions": [{"attribute": "action", "operator": "is", "value": 1}]}, "$.conditions[0].operator"),
        ({"conditions": [{"attribute": "action", "operator": "in", "value": "x"}]}, "a list"),
        ({"conditions": [{"attribute": "action", "operator": "at_most", "value": True}]}, "an integer"),
        ({"conditions": [{"attribute": "action", "operator": "starts_with", "value": 1}]}, "a string"),
        (
            {"conditions": [{"attribute": "action", "operator": "contains", "value": []}]},
            "a string, an integer",
        ),
        ({"conditions": [{"attribute": "action", "operator": "equals", "value": 0.5}]}, "value"),
        ({"conditions": [{"attribute": "action", "operator": "equals", "value": 2**53}]}, "value"),
        ({"conditions": [{"attribute": "action", "operator": "equals", "value": [[1]]}]}, "value"),
        ({"conditions": [{"attribute": "action", "operator": "equals"}]}, "value"),
        ({"conditions": {}}, "$.conditions"),
    ],
)
def test_a_wrong_field_is_named(client, change, said):
    """A policy with a wrong field: 422 whose message names the field, for POST and PUT alike."""
    body = {**POLICY, **change}

    assert said in refused(client.post("/policies", json=body), 422, "invalid_field")
    assert said.replace("$.", "$.policy.") in refused(
        client.put("/policies/1", json={"policy": body}), 422, "invalid_field"
    )


@pytest.mark.parametrize("missing", sorted(POLICY))
def test_a_missing_field_is_named(client, missing):
    """Every field of a policy is required."""
    body = {name: value for name, value in POLICY.items() if name != missing}

    assert missing in refused(client.post("/policies", json=body), 422, "invalid_field")


@pytest.mark.parametrize(
    "query",
    [
        "offset=-1",
        "offset=x",
        "limit=0",
        "limit=101",
        "limit=",
        "resource=",
        "resource=%00",
        "offset=null",
        "offset=1&offset=1",
        "page=2",
        "offset=9007199254740992",
    ],
)
def test_a_wrong_query_is_refused(client, query):
    """Paging that makes no sense, and parameters that do not exist or come twice: 422."""
    refused(client.get(f"/policies?{query}"), 422, "invalid_query")


def test_a_resource_may_be_called_null(client):
    """The text `null` in a query is a text, and not the lack of one."""
    made = client.post("/policies", json={**POLICY, "resource": "null"}).json()["id"]

    page = client.get("/policies?resource=null").json()
    assert ([each["id"] for each in page["items"]], page["total"]) == ([made], 1)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "malformed_json"),
        (b"{", 400, "malformed_json"),
        (b"\xff\xfe", 400, "malformed_json"),
        (b'{"title": "\xff"}', 400, "malformed_json"),
        (b"[" * 900_000, 422, "invalid_field"),
        (b"[]", 422, "invalid_field"),
        (b"null", 422, "invalid_field"),
        (b" " * 1_000_001, 413, "body_too_large"),
    ],
)
def test_a_body_that_is_no_policy_is_refused(client, body, status, code):
    """No JSON is 400, other JSON is 422, over a megabyte is 413; the connection serves on."""
    refused(client.post("/policies", content=body), status, code)

    assert client.get("/gateway/health").status_code == 200


def test_a_body_of_unknown_length_is_limited_too(client):
    """A chunked body is read as any other, and refused as soon as it is too large."""
    parts = (b" " * 100_000 for _ in range(11))
    refused(client.post("/policies", content=parts), 413, "body_too_large")

    assert client.get("/gateway/health").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "not_found"),
        ("GET", "/policies/", 404, "not_found"),
        ("GET", "/policies/1/decisions/2", 404, "not_found"),
        ("DELETE", "/policies/1", 405, "method_not_allowed"),
        ("GET", "/policies/1/decisions", 405, "method_not_allowed"),
        ("PATCH", "/gateway/health", 405, "method_not_allowed"),
    ],
)
def test_a_path_or_method_that_is_not_served(client, method, path, status, code):
    """Errors of routing have the form of all errors."""
    refused(client.request(method, path), status, code)


@pytest.mark.parametrize(
    ("path", "methods"),
    [("/policies/1", "GET, HEAD, PUT"), ("/policies/1/decisions", "POST"), ("/switches", "GET, HEAD, PUT")],
)
def test_a_wrong_method_hears_which_are_right(client, path, methods):
    """`Allow` names every method of the path, also where they are endpoints of their own."""
    assert client.options(path).headers["Allow"] == client.delete(path).headers["Allow"] == methods


def test_another_hash_can_be_served(tmp_path):
    """CONSTITUTIONAL_HASH in the environment is what is demanded and named."""
    with serving(folder=tmp_path, CONSTITUTIONAL_HASH="another-hash") as served:
        answer = httpx.get(served.url + "/policies", headers={"X-Constitutional-Hash": "another-hash"})

        assert answer.status_code == 200
        assert (
            answer.headers["X-Constitutional-Hash"] == answer.json()["constitutional_hash"] == "another-hash"
        )
        assert httpx.get(served.url + "/policies", headers=HEADERS).status_code == 412
