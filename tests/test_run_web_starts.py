"""Runs that a script starts through the web UI, one after the other or none, and what cannot be served."""

import signal

import pytest
from browsing import PLAN, live, served, wait_for_state
from commands import loadproof, manifest, processes_of

REFUSED = (
    ({"host": "http://evil.example"}, "the target stands in the plan"),
    ({"user_count": "13"}, "the plan has 12 users"),
    ({"run_time": "9h"}, "the plan takes 1m"),
    ({"user_classes": "Other", "loglevel": "DEBUG"}, "not changed during a plan: loglevel, user_classes"),
)
TOKEN = "as-long-as-it-is-secret"


def test_every_start_is_a_run_of_its_own(tmp_path):
    """With a folder, workers and a target of its own; the first one's files are there until the process ends."""
    (tmp_path / "token").write_text(TOKEN + "\n")
    with served(tmp_path, "--web-token", "token", "--no-analysis") as process:
        client = process.client(TOKEN)
        for _ in range(2):
            wait_for_state(client, "ready" if not live(client)["files"] else "ended")
            assert client.post("/swarm").json()["success"]
            wait_for_state(client, "s left")
            assert client.post("/stop").json()["success"]
            wait_for_state(client, "ended")
        second, first = live(client)["files"]
        events = client.get(f"/runs/{first['run']}/events.jsonl")
        process.process.send_signal(signal.SIGTERM)
        assert process.end() == 5

    assert '"kind": "stop"' in events.text
    assert events.headers["content-disposition"].startswith("attachment")
    folders = sorted((tmp_path / "reports").iterdir())
    assert [folder.name for folder in folders] == sorted([first["run"], second["run"]])
    assert {manifest(folder)["stop"]["by"] for folder in folders} == {"hand"}
    assert manifest(folders[0])["run"] != manifest(folders[1])["run"]


def test_nothing_is_left_of_a_run_that_nobody_started(tmp_path):
    """What another plan would be is not started; Ctrl-C before Start ends with 130, one line, no folder and no process."""
    with served(tmp_path) as process:
        client = process.log_in()
        wait_for_state(client, "ready")
        for form, said in REFUSED:
            answer = client.post("/swarm", data=form).json()
            assert answer["success"] is False
            assert said in answer["message"]
        assert live(client)["state"].startswith("ready")
        process.process.send_signal(signal.SIGINT)
        assert process.end() == 130
        assert "nothing was run" in process.lines[-1]
        assert list((tmp_path / "reports").iterdir()) == []
        assert processes_of(tmp_path) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--web", "--web-host", "0.0.0.0", "--web-port", "0"), "give a token with --web-token FILE"),
        (("--web", "--web-token", "nowhere"), "--web-token: nowhere cannot be read"),
        (("--autostart",), "--autostart goes with --web"),
    ],
)
def test_what_cannot_be_served_is_bad_usage(tmp_path, words, said):
    """Exit 2, one line that says what to do, and no folder."""
    (tmp_path / "watched.yaml").write_text(PLAN)
    done = loadproof("run", "./watched.yaml", *words, cwd=tmp_path)

    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "reports").exists()
