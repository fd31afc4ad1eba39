"""What to do first about a verdict: one sentence for each kind of reason, the most telling kinds first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.wording import endpoint_text
from loadproof.verdict.result import RuleVerdict, Verdict

if TYPE_CHECKING:
    from analyzer.model import ErrorTotals
    from loadproof.verdict.result import Judgement

MOST: Final = 4

_BY_CODE: Final = {
    "plan": "Restore plan.yaml from the run, or run again: these rules are not the ones that were run.",
    "manifest": "Restore manifest.json, or run again: it tells which journals are this run's.",
    "manifest_open": (
        "Look at the end of run.log for why the master ended; the workers' own journals may hold what is missing."
    ),
    "no_evidence": "Look at run.log: no worker got as far as its first second.",
    "no_requests": "Run the scenarios once with --smoke and see what their tasks do.",
    "torn_epoch": "Find out what ended the worker (run.log, the machine's memory) and run again.",
    "books_open": "Compare the endpoints under Accounting: requests were lost or made without being counted.",
    "quorum_lost": "See under Workers who went when, and why: the plan needs more of them in that region.",
    "region_missing": "Start workers in every region of the plan, or take the region out of the plan.",
    "generator_saturated": "Use more workers or machines, or fewer users: the generator, not the target, was slow.",
    "load_not_offered": (
        "See in the users chart where the load fell short of the plan, and in the workers' table who lacked it."
    ),
    "undeclared": "Declare the check or metric in its user class, or correct its name.",
    "stopped": "Run again to the plan's end; what a cut run shows cannot pass.",
    "search": "See under Search why it ended where it did: give it more time, a larger pool of workers, or lower loads.",
    "no_data": "See each rule's reason: make the run longer, fix the selector, or mark the rule optional.",
    "no_rules": "Give the plan rules: without one nothing is judged.",
    "worker_missing": "See in run.log why the worker never joined.",
    "worker_away": "See under Workers when it was cut off, and look after its network.",
    "worker_left": "Somebody stopped this worker; its journal is whole, so nothing is missing.",
    "clock": "Judge longer windows, or bring the workers nearer: a clock is known to half a round trip.",
    "guard": "See what the guard is about: the next run may be stopped by it.",
    "users_edited": "Run again with these users from the start: such a run can pass.",
    "task_errors": "Look at the exceptions under Errors: a scenario is broken, or the target's answer surprised it.",
    "untracked": "Use the project's own client where every request must be accounted for.",
    "generator_busy": "Use more workers: this one had little processor time to spare.",
    "machine_steal": "Use a machine that is not shared, or one with processor time to spare.",
    "smoke": "Run without --smoke for a verdict on the plan's load.",
}
"""In the order in which they are worth looking at."""


def advice(judgement: Judgement, errors: tuple[ErrorTotals, ...]) -> tuple[str, ...]:
    """At most `MOST` sentences; none for a PASS."""
    codes = {reason.code for reason in judgement.reasons}
    broken = any(reason.verdict is Verdict.FAIL for reason in judgement.reasons)
    found = [text for code, text in _BY_CODE.items() if code in codes]
    rules = list(_about_rules(judgement, errors))
    # A FAIL stands whatever else is wrong, so what broke is worth more than what is missing.
    return tuple((rules + found if broken else found + rules)[:MOST])


def _about_rules(judgement: Judgement, errors: tuple[ErrorTotals, ...]) -> list[str]:
    """What the broken rules have in common; else what the doubtful ones have."""
    failed = [rule for rule in judgement.rules if rule.verdict is RuleVerdict.FAIL]
    found = []
    if any(rule.statistic == "error_ratio" for rule in failed) and errors:
        worst = errors[0]
        where = f" at {endpoint_text(worst.method, worst.name)}" if worst.name else ""
        found.append(
            f"Begin with the most frequent error: {worst.message[:200]}{where}, {worst.count:,} times."
        )
    if any(rule.statistic.startswith("check(") for rule in failed):
        found.append("Open the failed checks' samples under Checks: each shows what was seen and when.")
    if any(rule.unit == "us" for rule in failed):
        found.append("See in the latency chart when the limit was crossed, and in By endpoint which is slow.")
    if any(rule.unit == "per_s" for rule in failed):
        found.append("See in the throughput chart whether the rate was flat (target at its limit) or fell.")
    doubtful = any(rule.verdict is RuleVerdict.WARN for rule in judgement.rules)
    if not failed and doubtful:
        found.append(
            "See the reason of each rule in doubt: a longer run narrows its interval, a goal needs work."
        )
    return found
