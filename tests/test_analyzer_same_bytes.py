"""A run folder gives the same bytes wherever and by whomever it is judged."""

import os
import shutil
import subprocess
import sys

import pytest
from made_runs import make_requests, make_run

from analyzer import junit, metrics_csv, requests_csv, results_json, summary_md
from analyzer.report import analyse
from loadproof.errors import ExitCode

FILES = {
    "results.json": results_json.render,
    "summary.md": summary_md.render,
    "requests.csv": requests_csv.render,
    "metrics.csv": metrics_csv.render,
    "junit.xml": junit.render,
}
ELSEWHERE = (
    {"LC_ALL": "C", "TZ": "UTC", "PYTHONHASHSEED": "1"},
    {
        "LC_ALL": "tr_TR.UTF-8",
        "LANGUAGE": "tr",
        "TZ": "Asia/Kathmandu",
        "PYTHONHASHSEED": "4242",
        "PYTHONUTF8": "0",
    },
    {
        "LC_ALL": "POSIX",
        "TZ": "America/St_Johns",
        "PYTHONHASHSEED": "random",
        "COLUMNS": "20",
        "HOME": "/nowhere",
    },
)
"""Machines differ in locale, time zone, order of sets, width of the terminal and home."""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "run", make_requests(fail_from=25))


@pytest.mark.parametrize("environment", ELSEWHERE, ids=lambda one: one["TZ"])
def test_another_machine_writes_the_same_bytes(tmp_path, run, environment):
    """Another process with its own locale, zone, hash seed, folder and umask writes what this one renders."""
    copied = tmp_path / "elsewhere with spaces" / run.name
    shutil.copytree(run, copied)
    report = analyse(run)
    command = [
        sys.executable,
        "-m",
        "loadproof",
        "report",
        str(copied),
        "--quiet",
        "--charts",
        str(tmp_path / "c"),
    ]
    inherited = {
        key: value for key, value in os.environ.items() if not key.startswith(("LC_", "LANG", "GITHUB_"))
    }
    done = subprocess.run(
        command, env=inherited | environment, cwd=tmp_path, capture_output=True, check=False, umask=0o027
    )

    assert done.returncode == ExitCode.FAIL, done.stderr
    for name, render in FILES.items():
        assert (copied / name).read_bytes() == render(report), name
