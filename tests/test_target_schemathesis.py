"""Schemathesis, which knows nothing of the target but its OpenAPI document, finds no fault with what is served."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from databases import STORES, options_of
from serving import serving

from target.app import ROUTES

UNFAILING = ("--switch", "failure_rate=0", "--switch", "processing_time=1ms")
"""Writing flows fail now and then unless told otherwise."""
CONFIG = Path(__file__).parent / "support" / "schemathesis.toml"


def checked(served, folder, *options) -> tuple[int, str]:
    """Exit code and report of a run with all checks; the client is tenant 1 and user 1."""
    login = {"name": "ada", "password": "correct horse"}
    with served.client() as client:
        token = client.post("/tenants", json={"name": "first"}).json()["token"]
        client.post("/users", json=login)
        user_token = client.post("/sessions", json=login).json()["token"]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", CONFIG, "--no-color"),
            *("run", f"{served.url}/openapi.json", "--checks", "all", "--generation-database", "none"),
            *("-H", f"Authorization: Bearer {token}", *options),
        ],
        cwd=folder,
        env={**os.environ, "USER_TOKEN": user_token},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def is_faultless(served, folder, *options) -> None:
    code, report = checked(served, folder, *options)

    assert code == 0, report
    # The document itself and the switches are left out.
    assert f"Tested: {len(ROUTES) - 2}" in report
    assert int(re.search(r"(\d+) passed, \d+ skipped", report)[1]) > 1000


def test_no_fault_is_found(tmp_path):
    """Statuses, media types, headers, bodies, wrong data, wrong methods, missing tokens: all as the document says."""
    with serving(*UNFAILING, folder=tmp_path) as served:
        is_faultless(served, tmp_path, "--seed", "1", "--max-examples", "6")


@pytest.mark.long
@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("seed", ["2", "3"])
def test_no_fault_is_found_for_long(request, tmp_path, store, seed):
    """As above, with many more requests, on either store."""
    with serving(*UNFAILING, *options_of(request, store), folder=tmp_path) as served:
        is_faultless(served, tmp_path, "--seed", seed, "--max-examples", "150")


def test_faults_are_found(tmp_path):
    """A target that forgets its header, accepts any query, and answers in another form is told all three."""
    before = (
        "from target import app, governance\n"
        "app.Named = lambda served, _: served\n"
        "governance.read_query = lambda request, form: form()\n"
        "governance.PolicyList = lambda *parts: parts\n"
    )
    with serving(folder=tmp_path, before=before) as served:
        options = ["--seed", "1", "--phases", "coverage", "--include-name", "GET /policies"]
        code, report = checked(served, tmp_path, *options, "--continue-on-failure")

    assert code == 1
    for found in "headers are missing", "Schema-violating request accepted", "Response violates schema":
        assert found in report
