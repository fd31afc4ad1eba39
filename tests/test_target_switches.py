"""Planted faults: each makes exactly what it says, as often as it says, over all server processes."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inside import application
from serving import HASH, HEADERS, POLICY, ROOT, launch, serving

from loadproof.errors import UsageError
from target.answers import RefusedError
from target.switches import COUNTED, HELD, Settings, Switches, parse_switches

OFF = {
    "slow": "0s",
    "slow_one": "",
    "errors": 0.0,
    **dict.fromkeys(COUNTED, 0),
    **dict.fromkeys(HELD, False),
    "processing_time": "100ms",
    "failure_rate": 0.05,
    "concurrent_flows": 16,
    "keep_drafts": False,
    "leak": 0,
}


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    with serving("--processes", "2", folder=tmp_path_factory.mktemp("switches")) as served:
        yield served


@pytest.fixture
def client(target):
    with target.client() as client:
        yield client
        client.put("/switches", json=OFF)


def hashes(answers: list[httpx.Response]) -> list[str]:
    return [answer.json()["constitutional_hash"] for answer in answers]


def test_all_are_off_and_read_as_they_are_written(client):
    """A fresh target has every switch off; a change sets what it names, and the answer can be sent again."""
    assert client.get("/switches").json() == OFF

    changed = client.put("/switches", json={"slow": "1500us", "wrong_hash": 2})
    again = client.put("/switches", json=changed.json())

    assert changed.json() == again.json() == {**OFF, "slow": "1ms500us", "wrong_hash": 2}
    assert client.put("/switches", json={"slow": "0s"}).json() == {**OFF, "wrong_hash": 2}


def test_a_wrong_hash_comes_as_often_as_asked(target, client):
    """N answers name another constitution in header and body, whatever process and status they are of."""
    client.put("/switches", json={"wrong_hash": 3})
    answers = [httpx.get(target.url + "/policies/77", headers=HEADERS) for _ in range(3)]
    answers += [client.get("/policies") for _ in range(3)]

    for seen in hashes(answers), [answer.headers["X-Constitutional-Hash"] for answer in answers]:
        assert seen == [HASH[:-1] + "0"] * 3 + [HASH] * 3
    assert client.get("/switches").json() == OFF


def test_an_answer_without_a_body_takes_no_wrong_hash(client):
    """HEAD shows no body, so it uses nothing up."""
    client.put("/switches", json={"wrong_hash": 1})
    client.head("/policies/1")

    assert hashes([client.get("/policies/1"), client.get("/policies/1")]) == [HASH[:-1] + "0", HASH]


@pytest.mark.parametrize("ratio", [0.25, 0.5, 1])
def test_errors_are_spread_evenly(target, client, ratio):
    """Of n requests, n times the ratio are answered with 500, whichever process has them; and are counted."""
    client.put("/switches", json={"errors": ratio})
    run = f"errors-{ratio}"
    failed = [
        httpx.get(target.url + "/policies", headers={**HEADERS, "Loadproof-Run": run}).status_code == 500
        for _ in range(24)
    ]
    client.put("/switches", json=OFF)

    assert sum(failed) == int(24 * ratio)
    every = round(1 / ratio)
    assert all(sum(failed[start : start + every + 1]) >= 1 for start in range(24 - every))
    counts = client.get("/counts", params={"run": run}).json()["counts"]
    assert counts == {"GET /policies": 24}


def test_the_gateway_is_never_disturbed(client):
    """Health, counts, metrics and the switches themselves answer at once and rightly whatever is switched on."""
    client.put("/switches", json={"errors": 1, "wrong_hash": 5, "slow": "5m"})
    answers = [client.get(path) for path in ("/gateway/health", "/counts?run=x", "/metrics", "/switches")]

    assert [answer.status_code for answer in answers] == [200] * 4
    assert answers[0].json()["constitutional_hash"] == HASH
    assert client.get("/switches").json()["wrong_hash"] == 5


def test_a_leak_is_kept_for_good(tmp_path):
    """With `leak` every governance request leaves an object behind; those of the gateway do not, nor do later ones."""

    def objects(client):
        return client.get("/resources").json()["resources"]["objects"]

    with serving("--switch", "leak=50", folder=tmp_path) as served, served.client() as client:
        for _ in range(50):
            client.get("/policies")
        begun = objects(client)
        for _ in range(1_000):
            client.get("/policies")
        leaked = objects(client) - begun
        client.put("/switches", json={"leak": 0})
        for _ in range(300):
            client.get("/policies")
        kept = objects(client) - begun

    assert 900 <= leaked <= 1_200
    assert abs(kept - leaked) <= 250


def test_slow_waits_before_the_answer(tmp_path):
    """With `slow` a request's duration, as the target measures it, is at least that."""
    with serving("--switch", "slow=30ms", folder=tmp_path) as served, served.client() as client:
        assert client.post("/policies", json=POLICY).status_code == 201
        metrics = client.get("/metrics").text
    name = 'target_request_duration_seconds_sum{endpoint="POST /policies"}'
    (line,) = [line for line in metrics.splitlines() if line.startswith(name)]

    assert float(line.split()[-1]) >= 0.03


def test_one_endpoint_can_be_slow_alone(tmp_path):
    """With `slow_one` that endpoint's answers wait, those of others do not, and it reads as it was written."""
    options = ["--switch", "slow_one=GET /policies/:id 30ms"]
    with serving(*options, folder=tmp_path) as served, served.client() as client:
        assert client.get("/switches").json() == {**OFF, "slow_one": "GET /policies/:id 30ms"}
        assert client.post("/policies", json=POLICY).status_code == 201
        assert client.get("/policies/1").status_code == 200
        metrics = client.get("/metrics").text
        client.put("/switches", json={"slow_one": "POST /policies 10m"})
        others = [client.get(path).status_code for path in ("/policies/1", "/policies")]
        off = client.put("/switches", json={"slow_one": ""}).json()
    name = 'target_request_duration_seconds_sum{endpoint="GET /policies/:id"}'
    (line,) = [line for line in metrics.splitlines() if line.startswith(name)]

    assert float(line.split()[-1]) >= 0.03
    assert others == [200, 200]
    assert off == OFF


def test_the_command_line_sets_switches(tmp_path):
    """`--switch NAME=VALUE` may be repeated and is in force from the first request."""
    options = ["--switch", "errors=1", "--switch", "false_proof=2"]
    with serving(*options, folder=tmp_path) as served, served.client() as client:
        assert client.get("/policies").status_code == 500
        assert client.get("/switches").json() == {**OFF, "errors": 1.0, "false_proof": 2}


@pytest.mark.parametrize(
    "texts",
    [
        ["slow"],
        ["nonsense=1"],
        ["slow=7"],
        ["errors=2"],
        ["errors=nan"],
        ["wrong_hash=-1"],
        ["slow=2h"],
        ["slow_one=2ms"],
        ["slow_one=GET /x"],
        ["processing_time=1h"],
        ["failure_rate=1.1"],
        ["concurrent_flows=0"],
        ["keep_drafts=2"],
    ],
)
def test_a_wrong_switch_is_refused(texts):
    """What is no switch, or no value for it, is one message that quotes it."""
    with pytest.raises(UsageError, match=f"--switch {texts[0]}"):
        parse_switches(texts)


def test_a_misspelt_switch_is_told_the_right_one():
    """A close name is offered; with none that is close, all are named."""
    with pytest.raises(
        UsageError, match=r"^--switch slwo=3s: there is no switch of this name; did you mean slow"
    ):
        parse_switches(["slwo=3s"])
    with pytest.raises(UsageError, match=r"^--switch xyz=1: .*; there are slow, .*config_missing$"):
        parse_switches(["xyz=1"])


def test_a_wrong_switch_ends_the_command(tmp_path):
    """The target does not start: exit 2 and one line."""
    process = launch("--switch", "slow=fast", folder=tmp_path)
    _, said = process.communicate()

    assert process.returncode == 2
    assert said.startswith(b"target: --switch slow=fast: 'fast' is not a duration")
    assert said.count(b"\n") == 1


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"other":1}', b'{"slow":1}', b'{"errors":1.5}', b'{"slow":"x"}']
)
def test_a_wrong_body_changes_nothing(client, body):
    """400 or 422, and every switch stays."""
    assert client.put("/switches", content=body).status_code in {400, 422}
    assert client.get("/switches").json() == OFF


@pytest.mark.parametrize(
    ("peer", "status"),
    [
        *(("127.0.0.1", 200), ("127.9.9.9", 200), ("::1", 200), ("::ffff:127.0.0.1", 200)),
        *(("10.0.0.1", 403), ("::ffff:10.0.0.1", 403), ("fe80::1", 403), (None, 403)),
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_only_loopback_may_touch_them(tmp_path, peer, status, method):
    """A peer on another machine is refused, also one that IPv6 shows as an IPv4 address."""
    app = application(tmp_path, None)
    transport = httpx.ASGITransport(app, client=(peer, 1) if peer else None)

    async def asked():
        async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
            return await client.request(method, "/switches", json={"wrong_hash": 1})

    answer = asyncio.run(asked())

    assert answer.status_code == status
    assert Switches(tmp_path).take("wrong_hash") is (status == 200 and method == "PUT")


def test_counts_go_down_once_for_all(tmp_path):
    """Processes that take at the same time take, together, exactly as many as were set."""
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from target.switches import Switches\n"
        "switches = Switches(Path(sys.argv[1]))\n"
        "print(flush=True)\n"
        "while not switches.settings().errors: pass\n"
        "taken = 0\n"
        "while switches.take('false_proof'): taken += 1\n"
        "print(taken)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    processes = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) for _ in range(2)]
    for process in processes:
        process.stdout.readline()
    Switches(tmp_path).set(Settings(false_proof=150_000))
    Switches(tmp_path).set(Settings(errors=1))  # both see it at once and begin
    taken = [int(process.communicate()[0]) for process in processes]

    assert sum(taken) == 150_000


@settings(max_examples=60, deadline=None)
@given(ratio=st.floats(0, 1), requests=st.integers(1, 300))
def test_the_share_of_errors_is_exact(tmp_path_factory, ratio, requests):
    """After n requests the number of errors is n times the ratio, rounded down."""
    switches = Switches(tmp_path_factory.mktemp("ratio"))
    switches.set(Settings(errors=ratio))

    async def disturbed() -> int:
        errors = 0
        for _ in range(requests):
            try:
                await switches.disturb("GET /x")
            except RefusedError:
                errors += 1
        return errors

    assert asyncio.run(disturbed()) == requests * round(ratio * 1_000_000) // 1_000_000
