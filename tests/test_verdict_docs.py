"""The manual of rules and verdicts: its examples are run."""

import re
from pathlib import Path

import pytest

from loadproof.errors import ExitCode, RuleSyntaxError
from loadproof.verdict.grammar import parse_rule
from loadproof.verdict.intervals import least_samples
from loadproof.verdict.result import Verdict
from loadproof.verdict.rule import KINDS, LABELS, QUANTILE, quantile_of

DOCS = Path(__file__).parent.parent / "docs"
RULES = (DOCS / "rules.md").read_text(encoding="utf-8")
VERDICT = (DOCS / "verdict.md").read_text(encoding="utf-8")


def examples(kind):
    blocks = re.findall(rf"^```{kind}\n(.*?)^```", RULES, flags=re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


@pytest.mark.parametrize("text", examples("rules"))
def test_every_example_is_a_rule_in_canonical_form(text):
    """What the manual shows is read, and printed as the manual shows it."""
    assert str(parse_rule(text)) == text


@pytest.mark.parametrize("line", examples("mistakes"))
def test_every_mistake_is_refused_as_shown(line):
    """What the manual calls a mistake is refused with the message beside it."""
    text, message = re.split(r" {2,}", line, maxsplit=1)

    with pytest.raises(RuleSyntaxError, match=re.escape(message)):
        parse_rule(text)


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
