"""Plain Locust with its web UI on the governance suite: class picker, start, figures, stop."""

import socket
import subprocess
import sys

import httpx
import pytest
from commands import environment, wait_until
from serving import ROOT, serving

CLASSES = (
    "ConstitutionalVerificationUser",
    "MultiTenantUser",
    "PolicyGovernanceUser",
    "FormalVerificationUser",
    "IntegrityUser",
)


@pytest.fixture
def web_ui(tmp_path):
    """Locust's web UI with the class picker, against the reference target."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with serving(folder=tmp_path) as served:
        command = [
            *(sys.executable, "-m", "locust", "-f", str(ROOT / "locustfiles/governance"), "--class-picker"),
            *("--web-host", "127.0.0.1", "--web-port", str(port), "--host", served.url),
        ]
        locust = subprocess.Popen(
            command, cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        client = httpx.Client(base_url=f"http://127.0.0.1:{port}")

        def is_up():
            try:
                return client.get("/").status_code == 200
            except httpx.TransportError:
                return False

        try:
            wait_until(is_up)
            yield client
        finally:
            client.close()
            locust.terminate()
            locust.wait(timeout=20)


def test_two_picked_classes_run_from_the_web_ui(web_ui):
    """The page offers all five classes; picking two starts just those, without a failure, until stop."""
    page = web_ui.get("/").text
    assert all(name in page for name in CLASSES)

    started = web_ui.post(
        "/swarm",
        data={
            "user_count": "10",
            "spawn_rate": "10",
            "user_classes": ["PolicyGovernanceUser", "IntegrityUser"],
        },
    )
    assert started.json()["success"], started.text
    stats = wait_until(
        lambda: (
            found := web_ui.get("/stats/requests").json(),
            found if found["user_count"] == 10 and len(found["stats"]) >= 5 else None,
        )[1]
    )
    names = {row["name"] for row in stats["stats"]}

    assert any("/policies" in name for name in names)
    assert any("/audit" in name for name in names)
    assert not any("/tenants" in name for name in names)
    assert stats["errors"] == []
    assert web_ui.post("/stop").json()["success"]
    wait_until(lambda: web_ui.get("/stats/requests").json()["state"] == "stopped")
