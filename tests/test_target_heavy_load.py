"""The writing flow: real work, bounded, refused in order beyond that, behind a breaker, with memory that grows and goes."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inside import inside
from serving import serving

from target.circuit import FAILED, OPEN_S, OUTCOMES, TRIALS, Circuit, CircuitOpenError, CircuitState
from target.drafts import MATERIAL_BYTES, MOST, Drafts
from target.heavy_load import draft_of

ORDER = {"topic": "rivers", "words": 50}


@contextlib.asynccontextmanager
async def writing(folder, processes=1, **switches):
    """Clients of the processes' applications, with the switches set."""
    async with inside(folder, processes) as clients:
        quick = {"processing_time": "1ms", "failure_rate": 0, **switches}
        assert (await clients[0].put("/switches", json=quick)).is_success
        yield clients


async def write(client, **order) -> httpx.Response:
    return await client.post("/writing/flows", json={**ORDER, **order})


async def state_of(client) -> dict:
    return (await client.get("/writing/state")).json()


async def until(client, reached):
    """The state, once it is as wanted; the bound only ends a test that has failed."""
    async with asyncio.timeout(90):
        while not reached(state := await state_of(client)):  # noqa: ASYNC110 what is waited for is the target's own
            await asyncio.sleep(0.01)
    return state


def test_a_flow_writes_what_was_asked_for(tmp_path):
    """As many words as asked, the same for the same topic, with their digest."""

    async def asked():
        async with writing(tmp_path) as [client]:
            return [await write(client, topic=topic, words=700) for topic in ("rivers", "rivers", "doors")]

    answers = asyncio.run(asked())
    first, again, other = (answer.json() for answer in answers)

    assert {answer.status_code for answer in answers} == {201}
    assert len(first["draft"].split()) == first["words"] == 700
    assert first["digest"] == hashlib.sha256(first["draft"].encode()).hexdigest()
    assert first["draft"] == again["draft"] != other["draft"]


def test_a_draft_takes_the_cpu_time_that_it_is_told():
    """The thread's own CPU time, whatever else the machine does."""
    began = time.thread_time_ns()
    draft_of("rivers", 10, 20_000_000)

    assert time.thread_time_ns() - began >= 20_000_000


def test_processing_is_mostly_waiting(tmp_path):
    """A flow lasts as long as `processing_time` says, and no less."""

    async def asked():
        async with writing(tmp_path, processing_time="40ms") as [client]:
            return (await write(client)).json()["processing_us"]

    assert asyncio.run(asked()) >= 40_000 * 19 // 20


@pytest.mark.parametrize(("rate", "failed"), [(0.05, 2), (0.25, 10), (0, 0)])
def test_flows_fail_evenly(tmp_path, rate, failed):
    """Of 40 flows exactly the share that `failure_rate` says fails with 500, and the state tells so."""

    async def asked():
        async with writing(tmp_path, failure_rate=rate) as [client]:
            answers = [await write(client, words=1) for _ in range(40)]
            return Counter(answer.status_code for answer in answers), await state_of(client)

    statuses, state = asyncio.run(asked())

    assert statuses == {201: 40 - failed, **({500: failed} if failed else {})}
    assert (state["completed"], state["failed"], state["refused"]) == (40 - failed, failed, 0)


def test_beyond_capacity_is_refused_and_within_it_degraded(tmp_path):
    """Of 12 at once with room for 4: 4 are worked on, 4 wait and are not revised, 4 are refused with Retry-After."""

    async def asked():
        async with writing(tmp_path, concurrent_flows=4, processing_time="500ms") as [client]:
            asking = asyncio.gather(*(write(client) for _ in range(12)))
            during = (await until(client, lambda state: state["refused"] == 4))["capacity"]
            return await asking, during, (await state_of(client))["capacity"]

    answers, during, after = asyncio.run(asked())
    refused = [answer for answer in answers if answer.status_code == 503]
    written = [answer.json() for answer in answers if answer.status_code == 201]

    assert during == {"running": 4, "most_running": 4, "waiting": 4, "most_waiting": 4}
    assert after == {"running": 0, "most_running": 4, "waiting": 0, "most_waiting": 4}
    assert len(refused) == 4
    assert len(written) == 8
    assert {answer.headers["Retry-After"] for answer in refused} == {"1"}
    assert {answer.json()["error"]["code"] for answer in refused} == {"no_capacity"}
    assert Counter(each["quality"] for each in written) == {"full": 4, "reduced": 4}


def test_who_leaves_the_queue_leaves_its_place(tmp_path):
    """A flow that is cancelled while it waits, or while it is worked on, takes no room from those that come."""

    async def asked():
        async with writing(tmp_path, concurrent_flows=1, processing_time="10s") as [client]:
            working = asyncio.create_task(write(client))
            await until(client, lambda state: state["capacity"]["running"] == 1)
            waiting = asyncio.create_task(write(client))
            await until(client, lambda state: state["capacity"]["waiting"] == 1)
            waiting.cancel()
            await until(client, lambda state: state["capacity"]["waiting"] == 0)
            working.cancel()
            await until(client, lambda state: state["capacity"]["running"] == 0)
            await client.put("/switches", json={"processing_time": "1ms"})
            return await write(client)

    assert asyncio.run(asked()).status_code == 201


def test_the_circuit_of_the_flow_opens_and_is_seen(tmp_path):
    """When every flow fails, further ones are refused at once with the time to come again, in every process' state."""

    async def asked():
        async with writing(tmp_path, processes=2, failure_rate=1) as [client, other]:
            answers = [await write(client, words=1) for _ in range(OUTCOMES + 2)]
            return answers, await state_of(other), await write(other, words=1)

    answers, state, other = asyncio.run(asked())

    assert [answer.status_code for answer in answers] == [500] * OUTCOMES + [503] * 2
    assert answers[-1].json()["error"]["code"] == "circuit_open"
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= OPEN_S
    assert (state["circuit"], state["circuit_openings"], state["refused"]) == ("open", 1, 2)
    assert other.status_code == 500, "each process has a circuit of its own"


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def fail(circuit, times=OUTCOMES):
    for _ in range(times):
        circuit.ended(circuit.admit(), ok=False)


def test_a_circuit_opens_tries_and_closes():
    """Open for OPEN_S; then TRIALS at a time; all of them ok closes it, with nothing remembered."""
    clock = Clock()
    seen = []
    circuit = Circuit(clock, lambda before, now: seen.append((before, now)))
    fail(circuit)
    with pytest.raises(CircuitOpenError) as refused:
        circuit.admit()
    clock.now += OPEN_S
    trials = [circuit.admit() for _ in range(TRIALS)]
    with pytest.raises(CircuitOpenError):
        circuit.admit()
    for trial in trials:
        circuit.ended(trial, ok=True)
    fail(circuit, OUTCOMES - 1)

    assert refused.value.wait_s == OPEN_S
    assert circuit.state is CircuitState.CLOSED
    assert seen == [("closed", "open"), ("open", "half_open"), ("half_open", "closed")]


def test_a_failed_trial_opens_the_circuit_again():
    """And what was let through before tells nothing any more; a trial without outcome gives its place back."""
    clock = Clock()
    circuit = Circuit(clock)
    early = circuit.admit()
    fail(circuit)
    clock.now += OPEN_S
    circuit.ended(circuit.admit(), ok=None)
    circuit.ended(early, ok=False)
    assert circuit.state is CircuitState.HALF_OPEN
    assert len([circuit.admit() for _ in range(TRIALS - 1)]) == TRIALS - 1
    circuit.ended(circuit.admit(), ok=False)

    assert circuit.state is CircuitState.OPEN


@given(st.lists(st.booleans(), max_size=100))
def test_a_circuit_opens_exactly_at_the_share_of_failures(outcomes):
    """It is open as soon as the last OUTCOMES have FAILED of failures among them, and not before."""
    circuit = Circuit(Clock())
    for number, ok in enumerate(outcomes, 1):
        circuit.ended(circuit.admit(), ok)
        last = outcomes[:number][-OUTCOMES:]
        if len(last) == OUTCOMES and last.count(False) >= FAILED * OUTCOMES:
            assert circuit.state is CircuitState.OPEN
            return
    assert circuit.state is CircuitState.CLOSED


def test_drafts_are_bounded_unless_they_are_to_be_kept(tmp_path):
    """Beyond MOST the oldest go; with `keep_drafts` none; switched off, all but MOST; cleaned, all. The books balance."""

    async def asked():
        async with writing(tmp_path, processing_time="0s") as [client]:
            seen = []

            async def more(flows):
                for _ in range(flows):
                    assert (await write(client, words=10)).status_code == 201
                seen.append((await state_of(client))["drafts"])

            await more(MOST + 5)
            await client.put("/switches", json={"keep_drafts": True})
            await more(20)
            await client.put("/switches", json={"keep_drafts": False})
            await more(0)
            seen.append((await client.delete("/writing/drafts")).json())
            await more(0)
            return seen

    one = 10 * MATERIAL_BYTES
    bounded, keeping, trimmed, cleaned, empty = asyncio.run(asked())

    assert bounded == {"kept": MOST, "kept_bytes": MOST * one, "most_kept": MOST, "let_go": 5}
    assert keeping == {"kept": MOST + 20, "kept_bytes": (MOST + 20) * one, "most_kept": None, "let_go": 5}
    assert trimmed == {"kept": MOST, "kept_bytes": MOST * one, "most_kept": MOST, "let_go": 25}
    assert cleaned == {"drafts": MOST, "draft_bytes": MOST * one}
    assert empty == {"kept": 0, "kept_bytes": 0, "most_kept": MOST, "let_go": MOST + 25}


def test_every_process_lets_its_drafts_go(tmp_path):
    """Whichever process is asked to clean, the others follow by themselves."""

    async def asked():
        async with writing(tmp_path, processes=2) as [client, other]:
            for each in (client, other, other):
                assert (await write(each)).status_code == 201
            cleaned = (await client.delete("/writing/drafts")).json()
            await until(client, lambda state: state["drafts"]["kept"] == 0)
            return cleaned

    assert asyncio.run(asked())["drafts"] == 3


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_memory_really_grows_and_really_goes():
    """What drafts take is resident, and the kernel has it back when they are let go."""
    drafts = Drafts(lambda *_: None)
    before = resident()
    for _ in range(400):
        drafts.keep(b"a draft", 4_000)
    grown = resident()
    drafts.let_go(0)
    after = resident()

    assert grown - before >= 90_000_000
    assert after - before <= 20_000_000


def test_a_real_target_degrades_and_recovers(tmp_path):
    """40 at once against room for 16 and as many waiting: every answer is a text or a refusal, then all is as before."""
    with serving("--switch", "failure_rate=0", folder=tmp_path) as served, served.client() as client:
        with ThreadPoolExecutor(40) as pool:
            answers = list(
                pool.map(
                    lambda _: httpx.post(served.url + "/writing/flows", json=ORDER, timeout=60), range(40)
                )
            )
        state = client.get("/writing/state").json()
        lone = client.post("/writing/flows", json=ORDER)
        metrics = client.get("/metrics").text

    assert {answer.status_code for answer in answers} <= {201, 503}
    written = sum(answer.status_code == 201 for answer in answers)
    assert written >= 16
    assert state["completed"] == written
    assert state["refused"] == 40 - written
    assert (lone.status_code, lone.json()["quality"]) == (201, "full")
    assert f'target_flows_total{{outcome="completed"}} {written + 1}.0' in metrics
    assert f"target_drafts {written + 1}.0" in metrics
