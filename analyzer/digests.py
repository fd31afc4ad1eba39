"""From run folders to their digests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.baselines import Baselines, find_baselines, keep_baselines
from analyzer.conditions import conditions
from analyzer.digest import Digester
from analyzer.fold import Fold
from analyzer.folder import open_run, read_extra_rules
from analyzer.searches import with_search
from loadproof.verdict.case import Case
from loadproof.verdict.criteria import judges_run
from loadproof.verdict.grammar import parse_rule
from loadproof.verdict.growth import want_slices
from loadproof.verdict.judge import judge, judge_rules, with_implied
from loadproof.verdict.result import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from analyzer.digest import Digest
    from analyzer.folder import RunFolder
    from loadproof.verdict.result import Judgement, RuleResult
    from loadproof.verdict.rule import Rule


def baseline_digest(path: Path, rules: Sequence[Rule]) -> Digest:
    """What a run folder has for the rules of another run; RunFolderError when it cannot be a run's."""
    folder = open_run(path)
    fold = Fold(folder.plan, folder.limits_us)
    want_slices(fold.evidence, (*folder.rules, *rules))
    fold.read(folder.sources())
    case = Case(folder.plan, fold.evidence, with_search(folder, folder.facts()))
    judgement = judge(folder.plan, folder.rules, fold.evidence, case.facts)
    # The results of what these rules imply come after theirs.
    rules = [rule for rule in rules if judges_run(rule, case)]
    results = judge_rules(folder.plan, [rule.unbounded() for rule in rules], fold.evidence, case.facts)
    return _digest(folder, case, judgement, zip(rules, results, strict=False))


def run_digest(folder: RunFolder, case: Case, judgement: Judgement) -> Digest:
    """The digest of a run that was read and judged."""
    judged = [(parse_rule(result.rule), result) for result in judgement.rules if not result.abort]
    return _digest(folder, case, judgement, judged)


def rules_of(path: Path, extra_rules: Iterable[str] = ()) -> list[Rule]:
    """What a run is judged by, with what that implies; UsageError for an extra rule that cannot be read."""
    folder = open_run(path)
    rules = list(dict.fromkeys([*folder.rules, *read_extra_rules(extra_rules)]))
    return [by.rule for by in with_implied(folder.plan, rules) if by.delay_us is None]


def keep_digests(path: Path, words: Sequence[str], extra_rules: Iterable[str], *, unlike: bool) -> None:
    """Find the baselines that `--baseline` words name, and keep what a run needs of them in its folder."""
    rules = rules_of(path, extra_rules)
    folders = find_baselines(words, path.resolve().parent, path, open_run(path).plan.name)
    digests = tuple(baseline_digest(folder, rules) for folder in folders)
    keep_baselines(path, Baselines(digests, unlike))


def _digest(
    folder: RunFolder, case: Case, judgement: Judgement, judged: Iterable[tuple[Rule, RuleResult]]
) -> Digest:
    facts = case.facts
    invalid = [
        reason
        for reason in dict.fromkeys((*folder.reasons, *judgement.reasons))
        # A rule without data says nothing against the others; the first run has no baseline for its rules.
        if reason.verdict is Verdict.INVALID and reason.code != "no_data"
    ]
    found = conditions(folder.asked, folder.manifest_raw, invalid, smoke=facts.smoke)
    phases = case.timeline.every if facts.smoke else case.timeline.judged
    # The journals were read to their ends, so they are opened anew.
    sources = open_run(folder.path).sources()
    return Digester(case, phases).digest(found, judged, sources)
