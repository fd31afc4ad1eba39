"""The web UI of a master whose workers join from elsewhere, by a script with the token; and what cannot be served."""

import pytest
from browsing import live, served, wait_for_state
from commands import loadproof, manifest, start, wait_until

PLAN = """\
name: watched
suite: governance
load: [{phase: steady, duration: 40s, users: 6}]
regions: [{name: east}, {name: west}]
rules: [error_ratio <= 1%]
seed: 7
"""
TOKEN = "as-long-as-it-is-secret"


def test_a_master_is_started_and_stopped_by_a_script(tmp_path):
    """Start waits for nobody but the workers, Stop ends the run in order, and its files are there until the process ends."""
    (tmp_path / "token").write_text(TOKEN + "\n")
    words = ("--port", "0", "--web-token", "token", "--no-analysis")
    with served(tmp_path, *words, plan=PLAN, verb="master") as process:
        place = process.said(r"workers? at (127\.0\.0\.1:\d+)")
        workers = [
            start("worker", "--master", place, "--region", name, cwd=tmp_path) for name in ("east", "west")
        ]
        try:
            client = process.client(TOKEN)
            wait_for_state(client, "ready")
            assert client.get("/worker-count").json() == {"worker_count": 2}
            assert client.post("/stop").json() == {
                "success": False,
                "message": "no run goes on",
                "host": "embedded",
            }
            assert client.post("/swarm").json()["success"]
            wait_for_state(client, "steady")
            stats = wait_until(
                lambda: (found := client.get("/stats/requests").json()) and found["stats"][:-1] and found
            )
            assert stats["state"] == "running"
            assert stats["user_count"] == 6
            assert {worker["id"] for worker in stats["workers"]} == {"east-01", "west-01"}
            assert client.post("/stop").json()["success"]
            wait_for_state(client, "ended")
            assert [worker.wait(20) for worker in workers] == [0, 0]
        finally:
            for worker in workers:
                worker.kill()
                worker.communicate()
        [run] = live(client)["files"]
        events = client.get(f"/runs/{run['run']}/events.jsonl")
        assert '"kind": "stop"' in events.text
        assert events.headers["content-disposition"].startswith("attachment")
        process.process.terminate()
        assert process.end() == 5
    [folder] = (tmp_path / "reports").iterdir()
    assert manifest(folder)["stop"]["by"] == "hand"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("run", "./watched.yaml", "--web", "--web-host", "0.0.0.0", "--web-port", "0"),
            "give a token with --web-token FILE",
        ),
        (("run", "./watched.yaml", "--web", "--web-token", "nowhere"), "--web-token: nowhere cannot be read"),
        (("run", "./watched.yaml", "--autostart"), "--autostart goes with --web"),
        (("master", "./watched.yaml", "--web-port", "8089"), "--web-port goes with --web"),
    ],
)
def test_what_cannot_be_served_is_bad_usage(tmp_path, words, said):
    """Exit 2, one line that says what to do, and no folder."""
    (tmp_path / "watched.yaml").write_text(PLAN)
    done = loadproof(*words, cwd=tmp_path)

    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "reports").exists() or not list((tmp_path / "reports").iterdir())
