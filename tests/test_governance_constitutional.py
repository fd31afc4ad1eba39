"""The constitutional scenario against the real target, against others who add principles, and against lies."""

from __future__ import annotations

import json
import random
from collections import Counter
from types import SimpleNamespace

import httpx
import msgspec
import pytest
from locust.env import Environment
from playing import played, played_against
from serving import HASH, HEADERS, serving

from locustfiles.governance.constitutional import ConstitutionalVerificationUser
from locustfiles.governance.scoring import score_fault
from locustfiles.governance.submissions import random_submission
from target.principles import DEFAULTS, THRESHOLD, Score, SubmittedAction, compliant, find, score

USER = "constitutional.ConstitutionalVerificationUser"
ROUNDS = 20
NAMES = {
    "GET /constitution/verify",
    "GET /constitution/principles",
    "POST /constitution/compliance",
    "POST /proofs",
}
PRINCIPLE = {
    "name": "Even numbers",
    "weight": 10,
    "prohibited_patterns": [{"attribute": "actor", "pattern": "*7"}, {"attribute": "actor", "pattern": "*5"}],
}


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    with serving("--processes", "2", folder=tmp_path_factory.mktemp("constitutional")) as served:
        yield served


def failed_checks(seen: dict[str, dict]) -> set[str]:
    assert all(seen[name]["failed"] == 0 for name in NAMES & set(seen)), seen
    return {name for name in seen if name.startswith("CHECK")}


def test_every_request_and_check_succeeds_on_the_real_target(target):
    """All endpoints are requested by their templates; the principles are read once for all users."""
    seen = played(USER, target.url, ROUNDS, users=2)

    assert set(seen) == NAMES
    assert failed_checks(seen) == set()
    assert {name: entry["ok"] for name, entry in seen.items()} == {
        **dict.fromkeys(NAMES, 2 * ROUNDS),
        "GET /constitution/principles": 1,
    }


def test_the_books_close(target):
    """What Locust saw answered is what the target counted, endpoint by endpoint."""
    seen = played(USER, target.url, ROUNDS, "constitutional")
    counted = httpx.get(target.url + "/counts", params={"run": "constitutional"}).json()["counts"]

    assert counted == {name: entry["ok"] for name, entry in seen.items()}


def test_principles_that_others_add_are_no_fault(tmp_path):
    """While somebody adds principles between the requests, each new version is read and nothing is accused."""
    added = []
    with serving(folder=tmp_path) as served:

        def meddle(status, header, body):
            if "findings" in body and len(added) < 8:
                added.append(
                    httpx.post(
                        served.url + "/constitution/principles",
                        json={**PRINCIPLE, "name": f"Number {len(added)}"},
                        headers=HEADERS,
                    )
                )
            return status, header, body

        seen = played_against(served, meddle, USER, ROUNDS)

    assert [answer.status_code for answer in added] == [201] * 8
    assert failed_checks(seen) == set()
    # Each reading after the first shows one principle more than the answer before it was scored with, so every
    # second answer is newer than what is known, and the others are compared with the first part of the list.
    assert seen["GET /constitution/principles"]["ok"] == 1 + 8 // 2


def test_a_service_that_began_anew_is_no_fault(target):
    """A version that goes back together with its list is another store, not a wrong score."""
    items = [{"id": at, "principle": principle} for at, principle in enumerate(plain(DEFAULTS), 1)]
    lists = []

    def age(status, header, body):
        if "items" in body:
            lists.append(body)
            if len(lists) == 1:  # the store that was there before had one more
                body["items"] = [*items, {"id": 11, "principle": {**items[0]["principle"], "name": "Lost"}}]
                body["version"] = 11
        return status, header, body

    seen = played_against(target, age, USER, ROUNDS)

    assert failed_checks(seen) == set()
    assert len(lists) == 2


def test_a_version_that_nobody_can_list_is_skipped(target):
    """An answer of a version beyond the list cannot be derived; it is not accused, and not passed either."""

    def ahead(status, header, body):
        if "findings" in body:
            body["version"] += 1
            body["findings"] = []
        return status, header, body

    seen = played_against(target, ahead, USER, 3)

    assert failed_checks(seen) == set()
    assert seen["GET /constitution/principles"]["ok"] == 4


def lie_in_score(status, header, body):
    if "score" in body:
        body["score"]["numerator"] -= 1
    return status, header, body


def lie_in_value(status, header, body):
    if "score" in body:
        body["score"]["value"] += 1e-12
    return status, header, body


def lie_in_compliance(status, header, body):
    if "compliant" in body:
        body["compliant"] = not body["compliant"]
    return status, header, body


def lie_in_finding(status, header, body):
    for finding in body.get("findings", [])[5:6]:
        finding["held_conditions"].append(1)
    return status, header, body


def lie_by_leaving_out(status, header, body):
    if "findings" in body:
        body["findings"].pop()
    return status, header, body


def lie_with_an_old_version(status, header, body):
    """Scores as if the last principle were not there."""
    if "findings" in body:
        body["version"] -= 1
        last = body["findings"].pop()
        body["score"]["denominator"] -= last["weight"]
        body["score"]["numerator"] -= last["weight"] * last["satisfied"]
        body["score"]["value"] = body["score"]["numerator"] / body["score"]["denominator"]
        body["compliant"] = body["score"]["value"] >= 0.95
    return status, header, body


def lie_without_a_version(status, header, body):
    if "findings" in body:
        del body["version"]
    return status, header, body


def lie_in_list(status, header, body):
    if "items" in body:
        body["items"][1:3] = body["items"][2:0:-1]
    return status, header, body


def lie_in_validity(status, header, body):
    if "valid" in body:
        body["valid"] = True
    return status, header, body


def lie_in_body(status, header, body):
    return status, header, {**body, "constitutional_hash": "0000"}


def lie_in_proof(status, header, body):
    if "model" in body:
        body["result"] = {"proved": "refuted", "refuted": "proved"}[body["result"]]
    return status, header, body


@pytest.mark.parametrize(
    ("lie", "check"),
    [
        (lie_in_score, "compliance"),
        (lie_in_value, "compliance"),
        (lie_in_compliance, "compliance"),
        (lie_in_finding, "compliance"),
        (lie_by_leaving_out, "compliance"),
        (lie_with_an_old_version, "compliance"),
        (lie_without_a_version, "compliance"),
        (lie_in_list, "compliance"),
        (lie_in_validity, "hash_consistency"),
        (lie_in_body, "hash_consistency"),
        (lie_in_proof, "proof"),
    ],
)
def test_a_lie_is_found_by_its_check(target, lie, check):
    """A target that answers 200 with something wrong in it fails the check that is there for it, and no other."""
    seen = played_against(target, lie, USER, ROUNDS)

    assert failed_checks(seen) == {f"CHECK {check}"}


def test_a_wrong_score_is_shown_with_its_evidence(target):
    """The failed check's text has what was derived and what came."""
    text = played_against(target, lie_in_score, USER, 1)["CHECK compliance"]["text"]

    assert "we score {'numerator':" in text
    assert '"findings": [' in text


class Transport:
    """Answers every request in the user's own process, as the target would."""

    def __init__(self):
        self.scores = []
        self.lie = 0

    def get(self, path, **_):
        items = [{"id": at, "principle": principle} for at, principle in enumerate(plain(DEFAULTS), 1)]
        return self.response({"items": items, "version": len(items)})

    def post(self, path, json, **_):
        submitted = msgspec.convert(json, SubmittedAction)
        findings = [find(at, principle, submitted) for at, principle in enumerate(DEFAULTS, 1)]
        reached = score(findings)
        self.scores.append(reached.value)
        return self.response(
            {
                "findings": findings,
                "score": Score(reached.numerator - self.lie, reached.denominator, reached.value),
                "threshold": THRESHOLD,
                "compliant": compliant(reached),
                "version": len(DEFAULTS),
            }
        )

    def response(self, body):
        content = msgspec.json.encode({**body, "constitutional_hash": HASH})
        return SimpleNamespace(
            ok=True, status_code=200, headers=HEADERS, text=content.decode(), json=lambda: json.loads(content)
        )


def test_right_scores_are_recorded_as_a_metric(monkeypatch):
    """Every score that passed its check is recorded under `compliance_score`, and none that failed."""
    recorded = []
    monkeypatch.setattr(ConstitutionalVerificationUser, "host", "http://127.0.0.1:1")
    monkeypatch.setattr(ConstitutionalVerificationUser, "principles", [])
    monkeypatch.setattr(
        ConstitutionalVerificationUser, "metric", lambda _, name, value: recorded.append((name, value))
    )
    user = ConstitutionalVerificationUser(Environment(user_classes=[ConstitutionalVerificationUser]))
    user.client = transport = Transport()
    for _ in range(20):
        user.score()
    transport.lie = 1
    user.score()

    assert recorded == [("compliance_score", value) for value in transport.scores[:20]]
    assert len(set(recorded)) > 3


def test_submissions_are_valid_and_a_real_mix():
    """Every action is one that the target takes; each default principle is violated, and half comply."""
    random.seed(1)
    violated: Counter[str] = Counter()
    complying = 0
    for _ in range(2_000):
        action = random_submission()
        submitted = msgspec.convert(action, SubmittedAction)
        findings = [find(at, principle, submitted) for at, principle in enumerate(DEFAULTS, 1)]
        violated.update(finding.name for finding in findings if not finding.satisfied)
        complying += compliant(score(findings))

    assert 700 < complying < 1_300
    assert set(violated) == {principle.name for principle in DEFAULTS}
    assert min(violated.values()) > 50


def test_every_part_of_a_finding_is_compared():
    """A change of any field of any finding is a fault."""
    random.seed(2)
    items = [{"id": at, "principle": principle} for at, principle in enumerate(plain(DEFAULTS), 1)]
    action = random_submission()
    submitted = msgspec.convert(action, SubmittedAction)
    findings = [find(at, principle, submitted) for at, principle in enumerate(DEFAULTS, 1)]
    answer = plain(
        {
            "findings": findings,
            "score": score(findings),
            "threshold": THRESHOLD,
            "compliant": compliant(score(findings)),
        }
    )

    assert score_fault(items, action, answer) is None
    for number, finding in enumerate(answer["findings"]):
        for name in finding:
            wrong = plain(answer)
            wrong["findings"][number][name] = "other"
            assert f"{name}': 'other'" in str(score_fault(items, action, wrong))
    for name in ("score", "threshold", "compliant"):
        assert score_fault(items, action, {**answer, name: None}) is not None


def plain(value):
    return msgspec.json.decode(msgspec.json.encode(value))
