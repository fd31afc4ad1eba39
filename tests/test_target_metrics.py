"""`/metrics` of the target, read with prometheus_client's own parser."""

from __future__ import annotations

import os
import signal

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from serving import POLICY, freeze, serving

from target.metrics import MOST_ENDPOINTS, Metrics


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    with serving("--processes", "2", folder=tmp_path_factory.mktemp("metrics")) as served:
        yield served


def samples(text: str) -> dict[tuple[str, ...], float]:
    """Sample name and label values -> value."""
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_sums_over_the_processes(target):
    """Requests, their latencies, store writes and group sizes are those of all server processes together."""
    children = target.processes()[1:]
    for stopped in children:
        freeze(stopped)
        try:
            with target.client() as client:
                for _ in range(3):
                    client.post("/policies", json=POLICY)
                client.put("/policies/1", json={"policy": POLICY, "if_version": 99})
                client.get("/nowhere")
        finally:
            os.kill(stopped, signal.SIGCONT)
    answer = httpx.get(target.url + "/metrics")
    found = samples(answer.text)

    assert answer.headers["content-type"].startswith("text/plain")
    assert found["target_requests_total", "POST /policies", "201"] == 6
    assert found["target_requests_total", "PUT /policies/:id", "409"] == 2
    assert found["target_requests_total", "GET (unrouted)", "404"] == 2
    assert found["target_request_duration_seconds_count", "POST /policies"] == 6
    assert 0 < found["target_request_duration_seconds_sum", "POST /policies"] < 60
    assert found["target_store_writes_total", "kept"] == 6
    assert found["target_store_writes_total", "undone"] == 2
    assert found["target_store_group_size_sum",] == 8
    assert 2 <= found["target_store_group_size_count",] <= 8
    assert found["target_processes",] == 2
    assert found["target_cpu_seconds_total",] > 0
    assert found["target_resident_memory_bytes",] > 10_000_000


def test_buckets_are_cumulative(tmp_path):
    """Each latency lands in the first bucket whose bound it does not exceed, and in all that follow."""
    metrics = Metrics(tmp_path, 0, 1)
    for elapsed in (0, 500, 501, 4_999, 6_000_000):
        metrics.request("GET /x", 200, elapsed)
    found = samples(metrics.exposition().decode())
    name = "target_request_duration_seconds"

    assert [found[f"{name}_bucket", "GET /x", bound] for bound in ("0.0005", "0.001", "0.0025", "0.005")] == [
        2,
        3,
        3,
        4,
    ]
    assert found[f"{name}_bucket", "GET /x", "5.0"] == 4
    assert found[f"{name}_bucket", "GET /x", "+Inf"] == found[f"{name}_count", "GET /x"] == 5
    assert found[f"{name}_sum", "GET /x"] == pytest.approx(6.006)


def test_labels_are_bounded(tmp_path):
    """However many endpoint names come, at most MOST_ENDPOINTS and one for the others are shown."""
    metrics = Metrics(tmp_path, 0, 1)
    for number in range(MOST_ENDPOINTS + 50):
        for status in (200, 404):
            metrics.request(f"METHOD{number} (unrouted)", status, 1)
    found = samples(metrics.exposition().decode())

    assert len({key[1] for key in found if key[0] == "target_requests_total"}) == MOST_ENDPOINTS + 1
    assert found["target_requests_total", "(other)", "404"] == 50
