"""The target's count of a run's requests: exact over processes, never too low."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections import Counter

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving import HEADERS, POLICY, freeze, serving

from target import counts as counts_module
from target.answers import RefusedError
from target.counts import RunCounts, RunDroppedError
from target.tally import Tally


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    with serving("--processes", "2", folder=tmp_path_factory.mktemp("counts")) as served:
        yield served


def asked(target, run: str) -> dict[str, int]:
    answer = httpx.get(target.url + "/counts", params={"run": run})

    assert answer.status_code == 200
    assert answer.headers["X-Constitutional-Hash"] == HEADERS["X-Constitutional-Hash"]
    body = answer.json()
    assert body["run"] == run
    assert body["total"] == sum(body["counts"].values())
    counts: dict[str, int] = body["counts"]
    return counts


def test_every_kind_of_answer_is_counted_by_its_template(target):
    """Successes, refusals, unknown paths and wrong methods are counted, each under its endpoint's name."""
    with target.client() as client:
        client.headers["Loadproof-Run"] = "kinds"
        made = client.post("/policies", json=POLICY).json()
        path = f"/policies/{made['id']}"
        client.get(path)
        client.get("/policies/999999999")
        client.get(path, headers={"X-Constitutional-Hash": "another"})
        client.head(path)
        client.put(path, json={"policy": POLICY, "if_version": 99})
        client.post(path + "/decisions", content=b"{not json")
        client.get("/policies", params={"limit": 0})
        client.delete(path)
        client.get("/nowhere/7")
        client.post("/nowhere/8")
        client.get("/gateway/health")
        client.get("/counts", params={"run": "kinds"})

    assert asked(target, "kinds") == {
        "DELETE /policies/:id": 1,
        "GET (unrouted)": 1,
        "GET /gateway/health": 1,
        "GET /policies": 1,
        "GET /policies/:id": 3,
        "HEAD /policies/:id": 1,
        "POST (unrouted)": 1,
        "POST /policies": 1,
        "POST /policies/:id/decisions": 1,
        "PUT /policies/:id": 1,
    }


def test_a_request_is_counted_before_it_is_answered(target):
    """A request whose body has not come yet is counted already, and one whose client leaves stays counted."""
    with socket.create_connection(("127.0.0.1", httpx.URL(target.url).port), timeout=30) as connection:
        connection.sendall(
            b"POST /policies HTTP/1.1\r\nHost: t\r\nX-Constitutional-Hash: cdd01ef066bc6cf2\r\n"
            b"Loadproof-Run: early\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n"
        )
        # The interim answer comes when the handler waits for the body.
        assert connection.recv(4096).startswith(b"HTTP/1.1 100")
        assert asked(target, "early") == {"POST /policies": 1}

    assert asked(target, "early") == {"POST /policies": 1}


def test_a_run_without_requests_has_none(target):
    """A run of which nothing came is answered with no counts and the total 0."""
    assert asked(target, "nothing") == {}


def test_requests_without_a_run_are_not_counted(target):
    """No header, no count."""
    with target.client() as client:
        client.get("/policies", headers={"Loadproof-Run": "marked"})
        client.get("/policies")

        assert asked(target, "marked") == {"GET /policies": 1}


def test_both_processes_count_into_one_sum(target):
    """Requests that different processes served add up, whichever of them is asked."""
    children = target.processes()[1:]
    for stopped in children:
        # While one is stopped, the other one serves every new connection.
        freeze(stopped)
        try:
            for _ in range(5):
                httpx.get(target.url + "/gateway/health", headers={"Loadproof-Run": "both"})
        finally:
            os.kill(stopped, signal.SIGCONT)

    (folder,) = target.folder.glob("loadproof-target-*")
    key = b"both GET /gateway/health"
    assert [dict(Tally(folder / f"counts-{number}", 1024).items())[key] for number in (0, 1)] == [5, 5]
    for stopped in children:
        freeze(stopped)
        try:
            assert asked(target, "both") == {"GET /gateway/health": 10}
        finally:
            os.kill(stopped, signal.SIGCONT)


def test_counts_are_exact_under_concurrency(target):
    """With requests from many threads at once every answered one is counted, and the count only grows."""
    done = threading.Event()
    seen: list[int] = []

    def send() -> None:
        with target.client() as client:
            client.headers["Loadproof-Run"] = "many"
            for number in range(60):
                client.get(f"/policies/{number}" if number % 2 else f"/lost/{number}")

    def watch() -> None:
        while not done.is_set():
            seen.append(sum(asked(target, "many").values()))

    threads = [threading.Thread(target=send) for _ in range(8)]
    watcher = threading.Thread(target=watch)
    for thread in [*threads, watcher]:
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    watcher.join()

    assert asked(target, "many") == {"GET (unrouted)": 240, "GET /policies/:id": 240}
    assert seen == sorted(seen)
    assert seen[-1] <= 480


@pytest.mark.parametrize("run", ["", "a b", "é".encode(), "x" * 129])
def test_a_run_that_cannot_be_counted_is_refused(target, run):
    """A header that is no run id is answered with 400, so that nobody waits for a count that never comes."""
    answer = httpx.get(target.url + "/gateway/health", headers={"Loadproof-Run": run})

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "bad_run"


def test_asking_without_a_run_is_refused(target):
    """`GET /counts` alone is answered with 422."""
    assert httpx.get(target.url + "/counts").status_code == 422


@settings(max_examples=60, deadline=None)
@given(
    requests=st.lists(
        st.tuples(st.integers(0, 1), st.sampled_from("abcdefgh"), st.sampled_from(["GET /x", "PUT /x/:id"])),
        max_size=120,
    )
)
def test_a_count_is_right_or_said_to_be_dropped(tmp_path_factory, requests):
    """Whatever order runs come in, with too little room: each count is the true one or RunDroppedError."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counts_module, "RECORDS", 5)
        folder = tmp_path_factory.mktemp("state")
        processes = [RunCounts(folder, number, 2) for number in (0, 1)]
        true: dict[str, Counter[str]] = {}
        for process, run, endpoint in requests:
            processes[process].received(run.encode(), endpoint)
            true.setdefault(run, Counter())[endpoint] += 1
        for run, counted in true.items():
            for process in processes:
                try:
                    assert process.of(run) == counted
                except RunDroppedError:
                    assert len(true) > 2  # two runs of two endpoints fit


def test_the_run_that_was_quiet_longest_is_dropped(tmp_path):
    """A run that is still loading outlives any number of runs that ended."""
    counts = RunCounts(tmp_path, 0, 1)
    counts.received(b"first", "GET /x")
    for number in range(3000):
        counts.received(f"other-{number}".encode(), "GET /x")
        counts.received(b"loading", "GET /x")

    assert counts.of("loading") == {"GET /x": 3000}
    assert counts.of("other-2999") == {"GET /x": 1}
    with pytest.raises(RunDroppedError):
        counts.of("other-1976")


def test_a_dropped_run_is_answered_with_410(target):
    """Asking for a run whose counts were dropped by any process says so; it is never a number."""
    with target.client() as client:
        client.get("/gateway/health", headers={"Loadproof-Run": "old"})
        for number in range(1100):
            client.get("/gateway/health", headers={"Loadproof-Run": f"new-{number}"})
    answer = httpx.get(target.url + "/counts", params={"run": "old"})

    assert answer.status_code == 410
    assert answer.json()["error"]["code"] == "run_dropped"


def test_a_bad_run_takes_no_room(tmp_path):
    """Refused run ids leave nothing in the table."""
    counts = RunCounts(tmp_path, 0, 1)
    with pytest.raises(RefusedError):
        counts.received(b"\xff", "GET /x")

    assert counts.of("\xff") == {}
