"""A run in the web UI, as a user of a browser sees it: in, started, watched, edited, stopped, and its reports read."""

import json
import os
import re
import signal

import pytest
from browsing import served, wait_for_state
from commands import active_users, manifest, results, run_folder, wait_until
from playwright.sync_api import expect, sync_playwright

ARGUMENTS = ("--no-sandbox", "--disable-dev-shm-usage")
PATIENCE_MS = 60_000
"""The bound of a wait only ends a test that has failed."""
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture
def page(tmp_path):
    """A page of a real Chromium that holds every error against the test."""
    wrong = []
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS) as chromium,
    ):
        opened = chromium.new_page(viewport={"width": 1400, "height": 900}, accept_downloads=True)
        opened.set_default_timeout(PATIENCE_MS)
        opened.on("console", lambda said: said.type in {"error", "warning"} and wrong.append(said.text))
        opened.on("pageerror", lambda error: wrong.append(str(error)))
        # What the browser itself gives up, as the page is left or a file is downloaded, is no error of ours.
        opened.on(
            "requestfailed",
            lambda request: (
                "ERR_ABORTED" in request.failure or wrong.append(f"{request.url} failed: {request.failure}")
            ),
        )
        opened.on(
            "response", lambda answer: answer.status >= 400 and wrong.append(f"{answer.status} {answer.url}")
        )
        yield opened
    assert wrong == []


def tab(page, name):
    page.get_by_role("tab", name=name).click()


def cell(page, row, column):
    """The text of one cell of our panel, by the first words of its row."""
    return (
        page.locator("#loadproof-panel tr", has_text=re.compile(f"^{re.escape(row)}"))
        .locator("td")
        .nth(column)
    )


def test_a_spike_is_run_from_the_browser(tmp_path, page):
    """Log in by the link, start, see Regions and Rules change, edit the users, stop, and download."""
    words = ("--users", "40", "--duration", "120s", "--region", "us-east-1", "--region", "eu-west-1")
    with served(tmp_path, *words, plan="spike") as process:
        page.goto(process.link())
        strip = page.locator("#loadproof-strip")
        expect(strip).to_contain_text("ready: press Start")
        assert "link" not in page.url
        assert page.get_by_label("Number of users").input_value() == "40"
        expect(page.locator("#loadproof-panel")).to_contain_text("recovery")
        page.get_by_role("button", name="Start").click()

        tab(page, "Regions")
        regions = page.locator("#loadproof-panel tbody tr")
        expect(regions).not_to_have_count(0)
        everywhere = page.locator("#loadproof-panel tr").last
        expect(everywhere.locator("td").nth(3)).to_contain_text("/s")
        before = everywhere.locator("td").last.inner_text()
        expect(everywhere.locator("td").last).not_to_have_text(before)

        tab(page, "Rules")
        expect(cell(page, "error_ratio <= 1%", 2)).to_have_text("0 %")
        samples = cell(page, "error_ratio <= 1%", 6)
        before = samples.inner_text()
        expect(samples).not_to_have_text(before)

        page.get_by_role("button", name="Edit").click()
        page.get_by_label("Number of users").fill("7")
        page.get_by_role("button", name="Update").click()
        expect(strip).to_contain_text("users become 7, to the end of the plan")
        tab(page, "Phases")
        expect(page.locator("#loadproof-panel")).to_contain_text("7 users")
        expect(page.locator("#loadproof-panel")).to_contain_text("This plan injects no faults.")
        expect(page.get_by_text("RUNNING")).to_be_visible()
        tab(page, "Accounting")
        expect(cell(page, "Started", 1)).not_to_have_text("0")
        expect(page.locator("header")).to_contain_text("7")

        page.get_by_role("button", name="Stop").click()
        expect(strip).to_contain_text("ended")
        expect(cell(page, "Not accounted for", 1)).to_have_text("0")
        counted = cell(page, "Counted", 1).inner_text()
        tab(page, "Download Data")
        with page.expect_download() as download:
            page.get_by_role("link", name="results.json").click()
        said = json.loads(download.value.path().read_text())
        with page.expect_download() as download:
            page.get_by_role("link", name="report.html").click()
        assert "<html" in download.value.path().read_text()
        with page.expect_popup() as popup:
            page.get_by_role("link", name="open the report").click()
        expect(popup.value.get_by_role("heading", level=1)).to_contain_text("Spike")
        popup.value.close()

        page.get_by_role("button", name="New").click()
        assert page.get_by_label("Number of users").input_value() == "40"
        page.goto("about:blank")
        os.kill(process.process.pid, signal.SIGINT)
        assert process.end() == 5

    first = run_folder(tmp_path)
    assert results(first) == said
    assert f"{said['accounting']['target_counted']:,}" == counted
    assert said["verdict"] in {"FAIL", "INVALID"}
    assert {"stopped", "users_edited"} <= {reason["code"] for reason in said["reasons"]}
    assert manifest(first)["stop"]["by"] == "hand"
    kinds = [json.loads(line)["kind"] for line in (first / "events.jsonl").read_text().splitlines()]
    assert kinds.count("users_edited") == kinds.count("stop") == 1


SHORT = """\
name: edited
suite: governance
load:
  - {phase: warm, duration: 1s, users: 0..30, warmup: true}
  - {phase: steady, duration: 10s, users: 30}
regions: [{name: east}, {name: west}]
rules: [error_ratio <= 1%]
seed: 7
"""


def told(client):
    """What Locust's own page is told, once its charts have something to show."""
    stats = client.get("/stats/requests").json()
    return stats if stats["current_response_time_percentiles"]["response_time_percentile_0.95"] else None


def test_edited_users_are_judged_as_edited(tmp_path):
    """The load follows an edit on every worker, and no run passes so; a reset meanwhile changes what is shown alone."""
    with served(tmp_path, "--autostart", "--autoquit", "0", plan=SHORT) as process:
        client = process.log_in()
        wait_for_state(client, "steady")
        refused = client.post("/swarm", data={"user_count": "31", "spawn_rate": "1"}).json()
        edited = client.post("/swarm", data={"user_count": "8", "spawn_rate": "1"}).json()
        shown = wait_until(lambda: told(client))
        assert client.post("/stats/reset").text == "ok"
        assert client.get("/stats/requests/csv").text.startswith("Type,Name,Request Count")
        code = process.end()
    folder = run_folder(tmp_path)
    [note] = manifest(folder)["users_edited"]
    found = results(folder)

    assert "the plan's peak" in refused["message"]
    assert edited["success"], edited
    assert (note["was"], note["users"]) == (30, 8)
    assert "127.0.0.1" in note["who"]
    users = active_users(folder)
    changed = note["at_us"] // 1_000_000
    assert users[2:changed] == pytest.approx([30] * (changed - 2), abs=2)
    assert users[changed + 2 : 10] == pytest.approx([8] * (8 - changed), abs=1)
    # A machine that others use meanwhile may saturate its generator, which is no matter of the edit.
    codes = {reason["code"] for reason in found["reasons"]}
    codes -= {"generator_saturated", "generator_busy", "machine_steal"}
    assert codes <= {"users_edited", "rule"}
    assert (found["verdict"], code) in {("WARN", 0), ("INVALID", 4)}
    assert "30 users were made 8 by hand" in " ".join(reason["text"] for reason in found["reasons"])
    assert found["accounting"]["locust_counted"] == found["accounting"]["started"]
    total = shown["stats"][-1]
    assert shown["state"] == "running"
    assert shown["user_count"] in {30, 8}
    assert shown["worker_count"] == 2
    assert 0 < total["num_requests"] < found["accounting"]["started"]
    p95 = found["totals"]["latency_ms"]["p95"]
    assert (
        p95 / 20
        < shown["current_response_time_percentiles"]["response_time_percentile_0.95"]
        < 20 * max(p95, 1)
    )
