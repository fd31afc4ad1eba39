"""What `run` and `master` do alike: from a plan that fits to the exit code of its verdict."""

from __future__ import annotations

import secrets
import shlex
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rich.console import Console

from distributed.guards import resources_of
from distributed.hosts import is_loopback, needs_permission
from distributed.left_open import left_in, told_of
from distributed.run import run_plan
from distributed.run_options import Options
from loadproof.cli.metrics_address import metrics_address
from loadproof.cli.panel import LivePanel
from loadproof.errors import ExitCode, UsageError
from loadproof.plan.model import EMBEDDED, RATE_PERIOD_S
from loadproof.units import format_count, format_duration, format_rate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from distributed.run import Ended
    from distributed.run_options import Listen
    from distributed.web.runs import WebRuns
    from distributed.web.server import WebAddress
    from loadproof.cli.asked import Asked


def conduct(
    asked: Asked,
    notes: tuple[str, ...],
    listen: Listen | None,
    *,
    baselines: tuple[str, ...] = (),
    unlike: bool = False,
    go_on: Path | None = None,
    metrics: str | None = None,
    metrics_token: Path | None = None,
    web: WebAddress | None = None,
    reports: Path,
    charts: Path,
    smoke: bool,
    no_analysis: bool,
    yes: bool,
    strict: bool,
    json_output: bool,
    quiet: bool,
    verbose: bool,
) -> int:
    """Run the plan with workers here, or with those that join where `listen` says; judge and write the reports.

    With `web` as often as somebody asks for it there.
    """
    if asked.plan.seed is None:
        seeded = asked.plan.model_copy(update={"seed": secrets.randbelow(2**31)})
        asked = replace(asked, plan=seeded)
    host = needs_permission(asked.plan)
    if host is not None and not yes:
        raise UsageError(
            f"{host} is not this machine: if you may load it, say --yes or add it to the plan's `allow_hosts`"
        )
    if not smoke:
        notes = (*notes, *_unsampled(asked, workers_here=listen is None), *_unguarded(asked))
    notes = (*notes, *_left_broken(reports, go_on))
    served_at = metrics_address(metrics, metrics_token)
    baselines = _alike(asked, baselines, reports, unlike=unlike)
    try:
        charts.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"cannot write charts to {charts}: {error.strerror}; name another with --charts"
        ) from error
    console = Console(file=sys.stdout, highlight=False)
    if not quiet:
        for note in (_headline(asked), *notes):
            console.print(note, markup=False, soft_wrap=True)

    def say(text: str) -> None:
        console.print(text, markup=False, soft_wrap=True)

    def once(runs: WebRuns | None) -> int:
        with LivePanel(asked.plan.name, asked.plan.duration_us, console, quiet=quiet or smoke) as panel:
            ended = run_plan(
                asked.plan,
                asked.suite,
                Options(
                    reports=reports,
                    smoke=smoke,
                    smoke_output=console.file.fileno(),
                    log_level="INFO" if verbose else "WARNING",
                    notes=notes,
                    listen=listen,
                    go_on=None if runs is not None and runs.folders else go_on,
                    metrics=served_at,
                    web=runs,
                ),
                panel.show,
            )
        beside = [word for baseline in baselines for word in ("--baseline", baseline)]
        beside += ["--unlike"] if beside and unlike else []
        if no_analysis:
            words = shlex.join(["loadproof", "report", str(ended.folder), *beside])
            console.print(f"not judged: `{words}` does it", markup=False, soft_wrap=True)
            code: int = ended.unjudged
        else:
            code = _report(ended, charts, beside, json_output=json_output, quiet=quiet, strict=strict)
        if runs is not None:
            runs.ended(ended.folder)
        if ended.stop.signal is not None:
            return 128 + ended.stop.signal
        return ExitCode.STOPPED if ended.stop.is_emergency else code

    if web is None:
        return once(None)
    from distributed.web.server import WebServer

    with WebServer(replace(web, autostart=web.autostart or go_on is not None), asked.plan, say) as server:
        return server.repeat(once)


def _alike(asked: Asked, words: tuple[str, ...], reports: Path, *, unlike: bool) -> tuple[str, ...]:
    """The folders of the baselines; UsageError before the load if they cannot be compared with what it will be."""
    if not words:
        return ()
    from analyzer.baselines import find_baselines
    from analyzer.conditions import conditions
    from analyzer.conditions import unlike as differing
    from analyzer.folder import open_run

    own = conditions(asked.plan, {"suite_sha256": asked.suite.sha256})
    folders = find_baselines(words, reports, None, asked.plan.name)
    sentences = []
    for path in folders:
        baseline = open_run(path)
        sentences += differing(own, conditions(baseline.asked, baseline.manifest_raw), path.name)
    if sentences and not unlike:
        told = "\n".join(f"  {sentence}" for sentence in dict.fromkeys(sentences))
        raise UsageError(f"the baselines are not alike:\n{told}\nsay --unlike to compare them all the same")
    return tuple(map(str, folders))


def _left_broken(reports: Path, go_on: Path | None) -> list[str]:
    """What was broken before this run begins, and who did it."""
    return [told_of(path, faults) for path, faults in left_in(reports).items() if path != go_on]


def _unsampled(asked: Asked, *, workers_here: bool) -> list[str]:
    """What rules need of machines that nobody here can look into."""
    prometheus = asked.plan.prometheus
    known = prometheus.resources if prometheus is not None else {}
    target = asked.plan.target
    here = {
        "generator": workers_here,
        "target": target == EMBEDDED or is_loopback(urlsplit(target).hostname or ""),
    }
    return [
        f"{rule} will have no data, and the run be INVALID: the {who} is not on this machine; let a Prometheus give "
        "it (the plan's `prometheus: {resources: ...}`)"
        for rule, text in zip(asked.rules, asked.plan.rules, strict=True)
        if rule.statistic.name == "resource" and not text.optional and rule.statistic.argument not in known
        for who in [str(rule.statistic.argument).partition(".")[0]]
        if not here.get(who, True)
    ]


def _unguarded(asked: Asked) -> list[str]:
    """Guards that look at the generator alone, as the target is elsewhere; UsageError for one that would see nothing."""
    plan = asked.plan
    known = plan.prometheus.resources if plan.prometheus is not None else {}
    if plan.target == EMBEDDED or is_loopback(urlsplit(plan.target).hostname or ""):
        return []
    notes = []
    for guard in plan.guards:
        unseen = [name for name in resources_of(guard) if name.startswith("target.") and name not in known]
        if unseen and guard.name.startswith("target."):
            raise UsageError(
                f"the guard {guard.name} would see nothing, as the target is not on this machine: let a Prometheus give "
                f"{unseen[0]} (the plan's `prometheus: {{resources: ...}}`), or remove the guard"
            )
        if unseen:
            notes.append(
                f"the guard {guard.name} looks at the generator alone: the target is not on this machine"
            )
    return notes


def _headline(asked: Asked) -> str:
    plan = asked.plan
    workers = sum(region.workers for region in plan.regions)
    load = f"{format_count(plan.max_users)} user{'s'[: plan.max_users != 1]}"
    if plan.open:
        load = f"up to {format_rate(plan.max_arrivals / RATE_PERIOD_S)} arrivals, {load}"
    return (
        f"{plan.title}: {load}, {format_duration(plan.duration_us)}, "
        f"{workers} worker{'s'[: workers != 1]} in {len(plan.regions)} region{'s'[: len(plan.regions) != 1]}, "
        f"target {plan.target}"
    )


def _report(
    ended: Ended,
    charts: Path,
    beside: Sequence[str],
    *,
    json_output: bool,
    quiet: bool,
    strict: bool,
) -> int:
    """Judge in a process of its own: the analyzer's memory and libraries are none of the generator's."""
    command = [sys.executable, "-m", "loadproof", "report", str(ended.folder), "--charts", str(charts)]
    flags = {"--json": json_output, "--quiet": quiet, "--strict": strict}
    command += [*(flag for flag, wanted in flags.items() if wanted), *beside]
    code = subprocess.run(command, check=False, start_new_session=True).returncode
    return code if code >= 0 else ExitCode.INTERNAL
