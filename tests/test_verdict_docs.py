"""The manual of rules and verdicts: its examples are run."""

import re
from pathlib import Path

import pytest

from loadproof.errors import ExitCode, RuleSyntaxError
from loadproof.plan.overrides import Overrides
from loadproof.plan.reader import read_plan
from loadproof.plan.writer import dump_plan
from loadproof.verdict.grammar import parse_rule
from loadproof.verdict.intervals import least_samples
from loadproof.verdict.result import Verdict
from loadproof.verdict.rule import KINDS, LABELS, QUANTILE, quantile_of

DOCS = Path(__file__).parent.parent / "docs"
RULES = (DOCS / "rules.md").read_text(encoding="utf-8")
DRIFT = (DOCS / "drift.md").read_text(encoding="utf-8")
VERDICT = (DOCS / "verdict.md").read_text(encoding="utf-8")


def examples(kind, page=RULES):
    blocks = re.findall(rf"^```{kind}\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


@pytest.mark.parametrize("text", [*examples("rules"), *examples("rules", DRIFT)])
def test_every_example_is_a_rule_in_canonical_form(text):
    """What the manual shows is read, and printed as the manual shows it."""
    assert str(parse_rule(text)) == text


@pytest.mark.parametrize("line", examples("mistakes"))
def test_every_mistake_is_refused_as_shown(line):
    """What the manual calls a mistake is refused with the message beside it."""
    text, message = re.split(r" {2,}", line, maxsplit=1)

    with pytest.raises(RuleSyntaxError, match=re.escape(message)):
        parse_rule(text)


@pytest.mark.parametrize(
    "text",
    re.findall(r"^```yaml\n(.*?)^```", RULES, flags=re.MULTILINE | re.DOTALL),
    ids=["prometheus", "abort"],
)
def test_every_part_of_a_plan_is_one(tmp_path, text):
    """What the manual writes in YAML can be laid over a plan, is written back as the same plan, and its rules are read."""
    base = "name: a\nsuite: governance\nload: [{phase: steady, duration: 1m, users: 1}]\n"
    (tmp_path / "plan.yaml").write_text(base)
    (tmp_path / "part.yaml").write_text(text)
    overlay = Overrides(config_file=tmp_path / "part.yaml")
    plan = read_plan(tmp_path / "plan.yaml", overlay, {"PROMETHEUS_TOKEN": "x" * 8})
    (tmp_path / "plan.yaml").write_text(dump_plan(plan))
    again = read_plan(tmp_path / "plan.yaml", Overrides(), {})

    assert plan.prometheus is not None or [rule.delay_us for rule in plan.rules] == [30_000_000, 0]
    assert again.prometheus == plan.prometheus
    assert [str(parse_rule(rule.text)) for rule in again.rules] == [rule.text for rule in plan.rules]
    assert all(rule.abort for rule in again.rules)


def test_the_manual_names_every_statistic_and_label():
    """Each statistic has its row and an example, each label its mention."""
    shown = {parse_rule(text).statistic.name for text in examples("rules")}
    names = {QUANTILE if quantile_of(name) else name for name in shown}

    assert set(KINDS) - names <= {"receive_lag", "user_wait"}
    assert all(f"`{name}" in RULES for name in KINDS if name != QUANTILE)
    assert all(f"`{label}`" in RULES for label in LABELS)


@pytest.mark.parametrize("name", [name for name in KINDS if name != QUANTILE])
def test_the_tables_say_what_the_grammar_allows(name):
    """A statistic's row says whether it takes windows."""
    row = next(line for line in RULES.splitlines() if line.startswith("|") and f"`{name}" in line)

    assert row.rstrip(" |").endswith("yes" if KINDS[name].windows else "no")


def test_verdicts_and_their_exit_codes_are_told():
    """The page names each verdict with its exit status, and the numbers of samples that are needed."""
    for verdict, code in ((Verdict.FAIL, ExitCode.FAIL), (Verdict.INVALID, ExitCode.INVALID)):
        assert re.search(rf"^\| {verdict} \|.*\| {int(code)} \|$", VERDICT, flags=re.MULTILINE)
    for verdict in Verdict:
        assert f"| {verdict} |" in VERDICT
    for quantile in ("0.95", "0.99", "0.999"):
        from fractions import Fraction

        assert f"{least_samples(Fraction(quantile)):,}" in VERDICT
