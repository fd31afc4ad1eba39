"""The users of the heavy-load suite against the real writing flow, and against one that lies."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from playing import played, played_against
from serving import ROOT, serving

WRITER = "heavy_load.flows.WritingFlowUser"
OPERATOR = "heavy_load.operators.OperatorUser"
QUICK = ("--switch", "processing_time=1ms", "--switch", "failure_rate=0")
ROUNDS = 10


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    with serving(*QUICK, folder=tmp_path_factory.mktemp("heavy")) as served:
        yield served


@pytest.mark.parametrize(
    ("scenario", "names"),
    [
        (WRITER, {"POST /writing/flows"}),
        ("heavy_load.flows.ImpatientWritingUser", {"POST /writing/flows"}),
        (OPERATOR, {"GET /writing/state", "DELETE /writing/drafts"}),
    ],
)
def test_every_request_and_check_succeeds_on_the_real_target(target, scenario, names):
    """All endpoints are asked by their templates, and what they answer is as expected."""
    seen = played(scenario, target.url, ROUNDS)

    assert set(seen) == names
    assert all(entry["failed"] == 0 for entry in seen.values()), seen


def another_word(body):
    if "draft" in body:
        body["draft"] = body["draft"].replace(" ", " not ", 1)


def another_topic(body):
    if "topic" in body:
        body["topic"] += "!"


def one_word_less(body):
    if "words" in body:
        body["words"] -= 1


def too_many_at_once(body):
    if "capacity" in body:
        body["capacity"]["running"] = body["capacity"]["most_running"] + 1


def too_many_kept(body):
    if "capacity" in body:
        body["drafts"]["kept"] = body["drafts"]["most_kept"] + 1


def not_let_go(body):
    if "draft_bytes" in body:
        body["drafts"] += 1


@pytest.mark.parametrize(
    ("scenario", "lie", "check"),
    [
        (WRITER, another_word, "draft"),
        (WRITER, another_topic, "draft"),
        (WRITER, one_word_less, "draft"),
        (OPERATOR, too_many_at_once, "bounded"),
        (OPERATOR, too_many_kept, "bounded"),
        (OPERATOR, not_let_go, "cleanup"),
    ],
)
def test_a_lie_is_found_by_its_check(target, scenario, lie, check):
    """A target that answers 2xx with something wrong in it fails the check that is there for it, and no other."""

    def told(status, header, body):
        lie(body)
        return status, header, body

    seen = played_against(target, told, scenario, ROUNDS)

    assert {name for name in seen if name.startswith("CHECK")} == {f"CHECK {check}"}
    assert all(entry["failed"] == 0 for name, entry in seen.items() if not name.startswith("CHECK"))


def test_a_refusal_must_say_when_to_come_again(target):
    """503 without Retry-After is a failed request, and a failed check besides."""
    seen = played_against(target, lambda _, header, body: (503, header, body), WRITER, ROUNDS)

    assert seen["POST /writing/flows"]["failed"] == seen["CHECK refusal"]["failed"] == ROUNDS


PAUSES = """
import json, sys
from locust.env import Environment
from locustfiles.heavy_load import flows
pauses = {}
for kind in (flows.WritingFlowUser, flows.ImpatientWritingUser):
    kind.host = sys.argv[1]
    user = kind(Environment(user_classes=[kind]))
    pauses[kind.__name__] = []
    for _ in range(22):
        user.write()
        pauses[kind.__name__].append(user.wait_time())
print(json.dumps(pauses))
"""


def test_the_patient_come_again_when_they_are_told_to(tmp_path):
    """After a failure in a tenth of a second, after a refusal when it says; the impatient never wait for longer."""
    with serving(*QUICK, "--switch", "failure_rate=1", folder=tmp_path) as served:
        command = [sys.executable, "-c", PAUSES, served.url]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr.decode()
    pauses = json.loads(done.stdout)

    assert pauses["WritingFlowUser"][:20] == [0.1] * 20, "until the circuit opens"
    assert all(1 <= pause <= 3 for pause in pauses["WritingFlowUser"][20:])
    assert set(pauses["ImpatientWritingUser"]) == {0.1}


def test_the_folder_works_in_plain_locust(target):
    """`locust -f locustfiles/heavy_load` loads every module of the folder and makes a clean run."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "locust", "-f", "locustfiles/heavy_load", "--headless", "--only-summary"),
            *("-u", "6", "-r", "6", "-t", "2s", "-H", target.url),
        ],
        cwd=ROOT,
        capture_output=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stderr.decode()
