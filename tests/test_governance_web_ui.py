"""Plain Locust with its web UI on the governance suite: class picker, start, figures, stop."""

import subprocess
import sys

import httpx
import psutil
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
    with serving(folder=tmp_path) as served:
        command = [
            *(sys.executable, "-m", "locust", "-f", str(ROOT / "locustfiles/governance"), "--class-picker"),
            *("--web-host", "127.0.0.1", "--web-port", "0", "--host", served.url),
        ]
        locust = subprocess.Popen(
            command, cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            port = wait_until(lambda: listening_at(locust.pid), 120)
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
                yield client
        finally:
            locust.terminate()
            locust.wait(timeout=60)


def listening_at(pid):
    """The port at which a process listens, when it does."""
    places = psutil.Process(pid).net_connections("tcp")
    return next((place.laddr.port for place in places if place.status == psutil.CONN_LISTEN), None)


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

    def both_at_work():
        found = web_ui.get("/stats/requests").json()
        asked = " ".join(row["name"] for row in found["stats"])
        return found["user_count"] == 10 and "/policies" in asked and "/audit" in asked and found

    stats = wait_until(both_at_work, 60)
    names = {row["name"] for row in stats["stats"]}

    assert not any("/tenants" in name for name in names)
    assert stats["errors"] == []
    assert web_ui.post("/stop").json()["success"]
    wait_until(lambda: web_ui.get("/stats/requests").json()["state"] == "stopped", 60)
