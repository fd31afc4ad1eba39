"""Runs the plans of the heavy-load suite as a user types them, shortened, and says what their results hold.

The standard library is enough for it, so that `python3 tests/test_heavy_load_standalone.py` works beside the environment that
`make` builds. LOADPROOF_DURATION, where it is set, is how long a plan lasts.
"""

import importlib.util
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
COMPONENTS = ("concurrent-load", "memory-pressure", "cpu-saturation", "capacity-limits", "recovery")
REPORT = "ai_writing_flow_v2_heavy_load_stress_report"
SHORT = {"heavy-load": "140s", "capacity-limits": "150s"}
LENGTH = "60s"
"""Of a plan that SHORT does not name."""
logger = logging.getLogger("heavy_load")


def python():
    """The interpreter that has loadproof: this one, or that of the environment that `make` builds."""
    if importlib.util.find_spec("locust") is not None:
        return sys.executable
    built = ROOT / ".venv" / "bin" / "python"
    if not built.exists():
        sys.exit("loadproof is not installed: type `make run` first, or `pip install .`")
    return str(built)


def environment():
    """The process's own; what keeps Locust from patching pytest's process must mean nothing to a run."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}


def run_plan(plan, cwd, *flags):
    """Run a plan to its end; (exit code, results, run folder). Every line is printed, and logged for `--log-cli-level`."""
    length = os.environ.get("LOADPROOF_DURATION") or SHORT.get(plan, LENGTH)
    command = [python(), "-m", "loadproof", "run", plan, "--duration", length, *flags]
    with subprocess.Popen(
        command, cwd=cwd, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as running:
        for line in running.stdout:
            print(line, end="", flush=True)
            logger.debug(line.rstrip())
    runs = sorted((Path(cwd) / "reports").glob(f"{plan}-*"), key=lambda folder: folder.stat().st_mtime)
    folder = runs[-1]
    results = json.loads((folder / "results.json").read_text())
    logger.info("%s: %s", plan, results["verdict"])
    return running.returncode, results, folder


def write_reports(folder):
    """The two files of `report --format writing`: (JSON as read, text)."""
    command = [python(), "-m", "loadproof", "report", str(folder), "--format", "writing", "--quiet"]
    subprocess.run(command, env=environment(), cwd=folder.parent, check=False, capture_output=True)
    written = folder / "writing" / REPORT
    return json.loads(written.with_suffix(".json").read_text()), written.with_suffix(".txt").read_text()


def broken(results):
    """Why a run did not end well: what is not a doubt, as text."""
    return [reason["text"] for reason in results["reasons"] if reason["verdict"] in {"FAIL", "INVALID"}]


def success(results, phase):
    """Share of ok requests of a phase."""
    totals = results["by_phase"][phase]
    return 1 - (totals["failures"] + totals["unfinished"]) / totals["requests"]
