"""The constitution's hash and principles, and the scores of actions, which anybody can derive again."""

from __future__ import annotations

import json
import threading
from fractions import Fraction

import httpx
import msgspec
import pytest
from databases import STORES, flags, options_of
from hypothesis import given, settings
from hypothesis import strategies as st
from serving import HASH, HEADERS, serving

from locustfiles.governance.scoring import score_fault
from target.principles import DEFAULTS, THRESHOLD, Principle, Score, SubmittedAction, compliant, find, score

PRINCIPLES = "/constitution/principles"
COMPLIANCE = "/constitution/compliance"
ACTION = {
    "actor": "officer-7",
    "action": "grant",
    "resource": "areas/12/permits",
    "attributes": {"responsible": "officer", "purpose": "appeal", "region": "eu-west"},
    "justification": "The appeal was upheld.",
}
PRINCIPLE = {
    "name": "Appeal",
    "weight": 4,
    "required_attributes": ["attributes.appeal_to"],
    "prohibited_patterns": [{"attribute": "action", "pattern": "final-*"}],
    "prohibited_conditions": [{"attribute": "attributes.days", "operator": "less_than", "value": 14}],
}


@pytest.fixture(scope="module", params=STORES)
def target(request, tmp_path_factory):
    options = options_of(request, request.param)
    with serving(*options, folder=tmp_path_factory.mktemp("compliance")) as served:
        yield served


@pytest.fixture
def client(target):
    with target.client() as client:
        yield client


def refused(answer: httpx.Response, status: int, code: str) -> str:
    """The message of an error answer."""
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["code"] == code
    assert answer.json()["constitutional_hash"] == HASH
    message: str = answer.json()["error"]["message"]
    return message


def plain(value):
    return msgspec.json.decode(msgspec.json.encode(value))


def test_the_default_principles_are_there_at_the_start(tmp_path):
    """A new store begins with the defaults, numbered from 1, and their number is the version."""
    with serving("--processes", "2", folder=tmp_path) as served, served.client() as client:
        listed = client.get(PRINCIPLES)
        verified = client.get("/constitution/verify", params={"hash": HASH}).json()

    assert listed.status_code == 200
    assert listed.json() == {
        "items": [{"id": at, "principle": plain(each)} for at, each in enumerate(DEFAULTS, 1)],
        "version": len(DEFAULTS),
        "constitutional_hash": HASH,
    }
    assert verified["version"] == len(DEFAULTS)


def test_a_kept_store_keeps_its_principles(tmp_path, storage):
    """At the next start the principles are those that the store had, each once."""
    with serving(*flags(storage), folder=tmp_path) as served, served.client() as client:
        client.post(PRINCIPLES, json=PRINCIPLE)
        before = client.get(PRINCIPLES).json()
    with serving(*flags(storage), folder=tmp_path) as served, served.client() as client:
        after = client.get(PRINCIPLES).json()

    assert after == before
    assert after["version"] == len(DEFAULTS) + 1


def test_an_added_principle_is_in_force_at_once_in_every_process(tmp_path, storage):
    """After 201 with version n, every answer of either process is of version n or later."""
    with serving("--processes", "2", *flags(storage), folder=tmp_path) as served:
        for number in range(1, 4):
            made = httpx.post(
                served.url + PRINCIPLES, json={**PRINCIPLE, "name": f"P{number}"}, headers=HEADERS
            )
            version = len(DEFAULTS) + number
            assert made.status_code == 201
            assert made.json() == {
                "id": version,
                "principle": {**PRINCIPLE, "name": f"P{number}"},
                "version": version,
                "constitutional_hash": HASH,
            }
            # A new connection each: the kernel gives them to both processes.
            for _ in range(8):
                scored = httpx.post(served.url + COMPLIANCE, json=ACTION, headers=HEADERS).json()
                assert (scored["version"], len(scored["findings"])) == (version, version)


def test_principles_that_are_added_at_once_get_numbers_without_gaps(tmp_path, storage):
    """Many clients that add principles get the versions 11, 12, 13, ... each once, and lists in that order."""
    with serving("--processes", "2", *flags(storage), folder=tmp_path) as served:
        versions: list[int] = []

        def add(client_number: int) -> None:
            with served.client() as client:
                for number in range(5):
                    principle = {**PRINCIPLE, "name": f"{client_number}.{number}"}
                    versions.append(client.post(PRINCIPLES, json=principle).json()["version"])

        threads = [threading.Thread(target=add, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        listed = httpx.get(served.url + PRINCIPLES, headers=HEADERS).json()

    first = len(DEFAULTS) + 1
    assert sorted(versions) == list(range(first, first + 20))
    assert [item["id"] for item in listed["items"]] == list(range(1, first + 20))


def test_a_name_is_taken_once(client):
    """A second principle of one name is refused with 409 and nothing changes."""
    before = client.get(PRINCIPLES).json()
    answer = client.post(PRINCIPLES, json={**PRINCIPLE, "name": "Accountability"})

    assert "Accountability" in refused(answer, 409, "principle_exists")
    assert client.get(PRINCIPLES).json() == before


def test_there_are_only_so_many_principles(tmp_path):
    """One more than MOST_PRINCIPLES is refused with 409: each action is scored against all of them."""
    before = "from target import compliance\ncompliance.MOST_PRINCIPLES = 11"
    with serving(folder=tmp_path, before=before) as served, served.client() as client:
        last = client.post(PRINCIPLES, json={**PRINCIPLE, "name": "It's the last"})
        answer = client.post(PRINCIPLES, json={**PRINCIPLE, "name": "One more"})

        assert last.status_code == 201
        assert "at most 11" in refused(answer, 409, "too_many_principles")
        assert client.get(PRINCIPLES).json()["version"] == 11


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": ""}, "$.name"),
        ({"name": "x" * 101}, "$.name"),
        ({"weight": 0}, "$.weight"),
        ({"weight": 11}, "$.weight"),
        ({"weight": 2.5}, "$.weight"),
        ({"weight": True}, "$.weight"),
        ({"required_attributes": ["purpose"]}, "$.required_attributes[0]"),
        ({"required_attributes": ["actor"] * 9}, "$.required_attributes"),
        ({"prohibited_patterns": [{"attribute": "subject.x", "pattern": "*"}]}, "attribute"),
        ({"prohibited_patterns": [{"attribute": "actor", "pattern": "*" * 65}]}, "pattern"),
        (
            {"prohibited_conditions": [{"attribute": "actor", "operator": "is", "value": 1}]},
            "$.prohibited_conditions[0].operator",
        ),
        (
            {"prohibited_conditions": [{"attribute": "actor", "operator": "in", "value": "x"}]},
            "needs a list",
        ),
        ({"extra": 1}, "extra"),
    ],
)
def test_a_wrong_field_of_a_principle_is_named(client, change, said):
    """422, with the field in the message."""
    assert said in refused(client.post(PRINCIPLES, json={**PRINCIPLE, **change}), 422, "invalid_field")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"actor": ""}, "$.actor"),
        ({"attributes": {"a": None}}, "$.attributes"),
        ({"attributes": {"A": 1}}, "attributes"),
        ({"attributes": {"a": 0.5}}, "$.attributes"),
        ({"justification": 7}, "$.justification"),
        ({"justification": "x" * 257}, "$.justification"),
        ({"subject": {}}, "subject"),
    ],
)
def test_a_wrong_field_of_an_action_is_named(client, change, said):
    """422, with the field in the message."""
    assert said in refused(client.post(COMPLIANCE, json={**ACTION, **change}), 422, "invalid_field")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("POST", PRINCIPLES, PRINCIPLE), ("GET", PRINCIPLES, None), ("POST", COMPLIANCE, ACTION)],
)
def test_requests_name_the_hash(target, method, path, body):
    """Without the header 400, with another hash 412; only verifying needs none."""
    missing = httpx.request(method, target.url + path, json=body)
    other = httpx.request(method, target.url + path, json=body, headers={"X-Constitutional-Hash": "feed"})

    refused(missing, 400, "constitutional_hash_missing")
    refused(other, 412, "constitutional_hash_mismatch")


@pytest.mark.parametrize(
    ("asked", "valid"), [(HASH, True), (HASH.upper(), False), ("0000", False), ("é", False)]
)
def test_a_hash_is_verified(target, asked, valid):
    """Exactly the served hash is valid; the answer names it and the version, also to who does not know it."""
    answer = httpx.get(target.url + "/constitution/verify", params={"hash": asked})

    assert answer.status_code == 200
    assert answer.json() == {
        "hash": asked,
        "valid": valid,
        "version": answer.json()["version"],
        "constitutional_hash": HASH,
    }
    assert answer.json()["version"] >= len(DEFAULTS)


@pytest.mark.parametrize("query", ["", "?hash=", "?hash=" + "x" * 129, "?hash=a&other=b", "?hsah=a"])
def test_a_question_without_a_hash_is_refused(target, query):
    """422, as for every query that makes no sense."""
    refused(httpx.get(target.url + "/constitution/verify" + query), 422, "invalid_query")


def test_an_action_is_scored_with_reasons(tmp_path):
    """Every principle is found satisfied or violated, with each reason; the score is the satisfied weight."""
    action = {**ACTION, "action": "final-delete", "attributes": {"region": "us-east", "days": 3}}
    with serving(folder=tmp_path) as served, served.client() as client:
        client.post(PRINCIPLES, json=PRINCIPLE)
        answer = client.post(COMPLIANCE, json=action)
    body = answer.json()
    violated = {
        finding["name"]: (
            finding["missing_attributes"],
            finding["matched_patterns"],
            finding["held_conditions"],
        )
        for finding in body["findings"]
        if not finding["satisfied"]
    }

    assert answer.status_code == 200
    assert violated == {
        "Accountability": (["attributes.responsible"], [], []),
        "Purpose limitation": (["attributes.purpose"], [], []),
        "Data residency": ([], [], [0]),
        "Appeal": (["attributes.appeal_to"], [0], [0]),
    }
    assert body["score"] == {"numerator": 46, "denominator": 71, "value": 46 / 71}
    assert body["compliant"] is False
    assert body["threshold"] == {"numerator": 19, "denominator": 20}
    assert (body["version"], body["constitutional_hash"]) == (11, HASH)


@pytest.mark.parametrize(
    ("numerator", "denominator", "passes"),
    [(19, 20, True), (38, 40, True), (18, 20, False), (94, 99, False), (95, 100, True), (1, 1, True)],
)
def test_the_threshold_is_exact(numerator, denominator, passes):
    """At 19/20 an action is compliant, and below by however little it is not."""
    assert compliant(Score(numerator, denominator, numerator / denominator)) is passes
    assert (
        Fraction(numerator, denominator) >= Fraction(THRESHOLD.numerator, THRESHOLD.denominator)
    ) is passes


# Few letters and few numbers, so that values collide, patterns match and attributes are found.
TEXTS = st.text("ab1.?[", max_size=3)
SCALARS = st.one_of(st.booleans(), st.integers(-1, 2), TEXTS)
LISTS = st.lists(SCALARS, max_size=2)
PATHS = st.sampled_from(["actor", "action", "resource", "justification", "attributes.a", "attributes.b_1"])
CONDITIONS = st.one_of(
    st.tuples(st.sampled_from(["equals", "not_equals"]), SCALARS | LISTS),
    st.tuples(st.sampled_from(["in", "not_in"]), LISTS),
    st.tuples(st.sampled_from(["less_than", "at_most", "greater_than", "at_least"]), st.integers(-2, 3)),
    st.tuples(st.just("starts_with"), TEXTS),
    st.tuples(st.just("contains"), SCALARS),
).flatmap(
    lambda pair: st.fixed_dictionaries(
        {"attribute": PATHS, "operator": st.just(pair[0]), "value": st.just(pair[1])}
    )
)
PATTERNS = st.fixed_dictionaries(
    {"attribute": PATHS, "pattern": st.text("ab/.*?[\n", min_size=1, max_size=5)}
)
ANY_PRINCIPLE = st.fixed_dictionaries(
    {
        "name": st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=9),
        "weight": st.integers(1, 10),
        "required_attributes": st.lists(PATHS, max_size=3),
        "prohibited_patterns": st.lists(PATTERNS, max_size=3),
        "prohibited_conditions": st.lists(CONDITIONS, max_size=3),
    }
)
ANY_ACTION = st.fixed_dictionaries(
    {
        "actor": st.text("ab1", min_size=1, max_size=2),
        "action": st.text("ab/.", min_size=1, max_size=3),
        "resource": st.text("ab/.[\n", min_size=1, max_size=5),
        "attributes": st.dictionaries(st.sampled_from(["a", "b_1"]), SCALARS | LISTS),
        "justification": st.text("ab ", max_size=3),
    }
)


def agree(principles, action):
    submitted = msgspec.json.decode(json.dumps(action), type=SubmittedAction)
    read = [msgspec.json.decode(json.dumps(each), type=Principle) for each in principles]
    findings = [find(at, principle, submitted) for at, principle in enumerate(read, 1)]
    reached = score(findings)
    answer = plain(
        {
            "findings": findings,
            "score": reached,
            "threshold": THRESHOLD,
            "compliant": compliant(reached),
        }
    )
    items = [{"id": at, "principle": plain(principle)} for at, principle in enumerate(read, 1)]

    assert score_fault(items, action, answer) is None
    satisfied = sum(finding.weight for finding in findings if finding.satisfied)
    assert Fraction(reached.numerator, reached.denominator) == Fraction(
        satisfied, sum(principle["weight"] for principle in principles)
    )
    assert reached.value == float(Fraction(reached.numerator, reached.denominator))


@settings(max_examples=200, deadline=None)
@given(principles=st.lists(ANY_PRINCIPLE, min_size=1, max_size=4), action=ANY_ACTION)
def test_the_scenario_derives_what_the_target_scores(principles, action):
    """For any principles and action, the client's own derivation finds no fault in the target's answer."""
    agree(principles, action)


@pytest.mark.long
@settings(max_examples=10_000, deadline=None)
@given(principles=st.lists(ANY_PRINCIPLE, min_size=1, max_size=4), action=ANY_ACTION)
def test_the_scenario_derives_what_the_target_scores_always(principles, action):
    """The same, many times over."""
    agree(principles, action)
