"""The facts of a run's manifest: what is known before the load, and what came of it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import psutil

from distributed.limits import limits_us
from distributed.placement import seats
from distributed.run_folder import utc_now, utc_text
from loadproof.measure.scrub import Scrubber
from loadproof.plan.model import EMBEDDED
from loadproof.plan.prometheus import token_variable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from distributed.absences import Absences
    from distributed.clock import RunClock
    from distributed.guards import Tripped
    from distributed.master import Master
    from distributed.preflight import Health
    from distributed.stop import Stop
    from loadproof.plan.model import Plan


def beginning(
    run: str, plan: Plan, plan_sha256: str, suite_sha256: str, url: str, health: Health, *, smoke: bool
) -> dict[str, Any]:
    """Who runs what against which target, on what, and when it began."""
    return {
        "run": run,
        "name": plan.name,
        "title": plan.title,
        "started_utc": utc_text(utc_now()),
        "ended_utc": None,
        "run_length_us": None,
        **_conditions(plan),
        "target": url,
        "embedded": plan.target == EMBEDDED,
        "target_version": health.version,
        "target_clock_offset_us": health.clock_offset_us,
        "seed": plan.seed,
        "smoke": smoke,
        "limits_us": list(limits_us(plan)),
        "plan_sha256": plan_sha256,
        "suite_sha256": suite_sha256,
        "workers": [{"worker": seat.worker, "region": seat.region} for seat in seats(plan.regions)],
        "epochs": [],
        "stop": None,
        "target_counts": None,
        "target_counts_note": "the run has not ended",
        "locust_counted": None,
        "search": None,
        "closed": False,
    }


def ending(
    master: Master,
    clock: RunClock,
    stop: Stop,
    quorum_lost: Absences,
    guards: Sequence[Tripped],
    counts: Mapping[str, int] | None,
    why_not: str | None,
    *,
    target_is_ours: bool,
) -> dict[str, Any]:
    """How it ended, who took part, and what the target counted, or why it did not."""
    return {
        "ended_utc": utc_text(utc_now()),
        "run_length_us": max(0, clock.now_us()),
        "epochs": master.roster.documents(),
        "stop": stop.document(clock.start_ns),
        "target_counts": counts,
        "target_counts_note": why_not,
        "target_count_lost": why_not if counts is None and target_is_ours else None,
        "locust_counted": master.locust_counted,
        "dropped_messages": master.dropped_messages,
        "refused_connections": dict(master.server.refused),
        "absences": master.load.absences.documents(),
        "quorum_lost": quorum_lost.documents(),
        "guards": [trip._asdict() for trip in guards],
        "clock_offset_us_max": master.clock_error_us,
        "closed": True,
    }


def _conditions(plan: Plan) -> dict[str, Any]:
    """What a result depends on beside the plan: versions, machine, the state of the working tree."""
    scrub = Scrubber(filter(None, map(os.environ.get, (*plan.secrets, token_variable(plan.prometheus)))))
    return {
        "versions": {
            "loadproof": version("loadproof"),
            "locust": version("locust"),
            "gevent": version("gevent"),
            "python": platform.python_version(),
        },
        "machine": {
            "system": f"{platform.system()} {platform.release()}",
            "architecture": platform.machine(),
            "processors": len(os.sched_getaffinity(0)),
            "memory_bytes": int(psutil.virtual_memory().total),
        },
        "git": _git(),
        "command": ["loadproof", *map(scrub, sys.argv[1:])],
    }


def _git() -> dict[str, Any] | None:
    def ask(*words: str) -> str:
        asked = subprocess.run(["git", *words], capture_output=True, text=True, timeout=5, check=True)
        return asked.stdout.strip()

    try:
        return {"commit": ask("rev-parse", "HEAD"), "dirty": bool(ask("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None
