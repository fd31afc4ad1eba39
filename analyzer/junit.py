"""junit.xml: a testcase a rule and one for the run's validity, for CI systems that show tests.

FAIL is a failure; a rule without data and an INVALID run are errors; WARN passes with its reason as output;
an optional rule without data is skipped. A run that fails by none of its rules is a failure of its validity.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from analyzer.escape import shown
from analyzer.wording import VERDICT_MEANS, beyond_rules, confidence_text, limit_text, value_text
from loadproof.units import format_count
from loadproof.verdict.result import RuleResult, RuleVerdict, Verdict

if TYPE_CHECKING:
    from analyzer.model import Report

_TEXT_LIMIT = 2_000


def render(report: Report) -> bytes:
    suite = TestSuite(f"loadproof.{shown(report.name)}")
    suite.add_property("run", shown(report.run))
    suite.add_property("verdict", report.verdict.value)
    suite.add_testcase(_validity(report))
    for rule in report.rules:
        suite.add_testcase(_rule(rule, report))
    document = JUnitXml("loadproof")
    document.add_testsuite(suite)
    document.update_statistics()  # type: ignore[no-untyped-call]
    written = io.BytesIO()
    document.write(written, pretty=True)
    return written.getvalue()


def _validity(report: Report) -> TestCase:
    case = TestCase("the run is valid", classname=_classname(report), time=0)
    against = [reason for reason in report.reasons if reason.verdict is Verdict.INVALID]
    told = any(rule.verdict is RuleVerdict.FAIL for rule in report.rules)
    broken = [reason for reason in report.reasons if reason.verdict is Verdict.FAIL and not told]
    doubts = [reason for reason in beyond_rules(report) if reason.verdict is Verdict.WARN]
    if report.verdict is Verdict.INVALID or against:
        text = (
            "\n".join(shown(reason.text, _TEXT_LIMIT) for reason in against) or VERDICT_MEANS[Verdict.INVALID]
        )
        error = Error(text.splitlines()[0], "INVALID")
        error.text = text
        case.result = [error]
    elif broken:
        failure = Failure(shown(broken[0].text, _TEXT_LIMIT), "FAIL")
        failure.text = "\n".join(shown(reason.text, _TEXT_LIMIT) for reason in broken)
        case.result = [failure]
    if doubts:
        case.system_out = "\n".join(f"WARN: {shown(reason.text, _TEXT_LIMIT)}" for reason in doubts)
    return case


def _rule(rule: RuleResult, report: Report) -> TestCase:
    case = TestCase(shown(rule.rule, 400), classname=_classname(report), time=0)
    reason = shown(rule.reason, _TEXT_LIMIT)
    facts = (
        f"value {value_text(rule.unit, rule.value)}, limit {shown(rule.operator)} {limit_text(rule)}, "
        f"95 % interval {confidence_text(rule)}, samples {format_count(rule.samples)}"
    )
    if rule.verdict is RuleVerdict.FAIL:
        failure = Failure(reason, "FAIL")
        failure.text = facts
        case.result = [failure]
    elif rule.verdict is RuleVerdict.NO_DATA and rule.optional:
        case.result = [Skipped(reason, "NO_DATA")]
    elif rule.verdict is RuleVerdict.NO_DATA:
        error = Error(reason, "NO_DATA")
        error.text = facts
        case.result = [error]
    elif rule.verdict is RuleVerdict.WARN:
        case.system_out = f"WARN: {reason}\n{facts}"
    else:
        case.system_out = facts
    return case


def _classname(report: Report) -> str:
    return f"loadproof.{shown(report.name)}"
