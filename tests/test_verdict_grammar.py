"""The grammar of rules: what it reads, what it prints, and how it says no."""

import re
import subprocess
import sys
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadproof.errors import RuleSyntaxError
from loadproof.measure.interval import Outcome
from loadproof.verdict import grammar
from loadproof.verdict.grammar import latency_limits_us, parse_rule
from loadproof.verdict.rule import (
    GROWTH,
    KINDS,
    LABELS,
    QUANTILE,
    Bound,
    Operator,
    Per,
    Rule,
    Span,
    Statistic,
    Unit,
    Window,
    WindowKind,
)

SECOND = 1_000_000


def mistake(text):
    with pytest.raises(RuleSyntaxError) as caught:
        parse_rule(text)
    return caught.value


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("p95 <= 2s, goal < 1s", "p95 <= 2s, goal < 1s"),
        ("p99.90 < 1.5s", "p99.9 < 1s500ms"),
        ("  mean<=1000ms ", "mean <= 1s"),
        ("max <= 1m30s", "max <= 1m30s"),
        ("rate >= 1000/s", "rate >= 1000/s"),
        ("rate >= 0.5/s", "rate >= 0.5/s"),
        ("peak_rate >= 1500 /s", "peak_rate >= 1500/s"),
        ("error_ratio <= 0.01", "error_ratio <= 1%"),
        ("error_ratio <= 20 % for 10s", "error_ratio <= 20% for 10s"),
        ("check(hash consistency) >= 100%", "check(hash consistency) >= 100%"),
        ("check('a)b') >= 1", 'check("a)b") >= 100%'),
        ("metric(lag) >= -5.25", "metric(lag) >= -5.25"),
        ("metric(hit_ratio) >= 80%, goal > 85%", "metric(hit_ratio) >= 80%, goal > 85%"),
        ("resource(target.cpu) <= 0.8, goal 50%..60%", "resource(target.cpu) <= 80%, goal 50%..60%"),
        ("resource(target.rss) <= 1.5GB", "resource(target.rss) <= 1500MB"),
        ("resource(target.rss) <= 512MiB", "resource(target.rss) <= 512MiB"),
        ("users >= 100 within 1m", "users >= 100 within 1m"),
        ("count{outcome=failed} <= 0", "count{outcome=failed} <= 0"),
        ("p95{region=eu-west-1,scenario=A B} <= 2s", "p95{scenario=A B, region=eu-west-1} <= 2s"),
        ("p95{name=POST /policies/:id} <= 2s over 10s", "p95{name=POST /policies/:id} <= 2s over 10s"),
        ('p95{name="/a/{id}, \\"b\\" \\\\"} <= 2s', 'p95{name="/a/{id}, \\"b\\" \\\\"} <= 2s'),
        ("stall{region=eu} <= 5s", "stall{region=eu} <= 5s"),
        ("promql ( sum( rate(x{a='}'}[5m]) ) )>=5/s", "promql(sum( rate(x{a='}'}[5m]) )) >= 5/s"),
        ('promql(x{a=~"\\")"} < bool 3){phase=b} <= -0.5', 'promql(x{a=~"\\")"} < bool 3){phase=b} <= -0.5'),
        (
            "promql(x{a=`\\`}) <= 250ms for 10s, goal < .1s",
            "promql(x{a=`\\`}) <= 250ms for 10s, goal < 100ms",
        ),
        ("recovery_time { fault = database-down }<=1m", "recovery_time{fault=database-down} <= 1m"),
        ("overshoot <= 150%", "overshoot <= 150%"),
        ("error_ratio{fault=none, phase=b} <= 5%", "error_ratio{phase=b, fault=none} <= 5%"),
        ("growth( target.rss )<= 1MB per 1,000 requests", "growth(target.rss) <= 1MB per 1000 requests"),
        (
            "growth(p95){phase=a} < 5ms  per hour, goal < 1ms",
            "growth(p95){phase=a} < 5ms per hour, goal < 1ms",
        ),
        ("resource(target.cpu) <= 80% over 1m", "resource(target.cpu) <= 80% over 1m"),
    ],
)
def test_a_rule_reads_and_prints_canonically(text, canonical):
    """Every form of a rule is read, and printed in one form."""
    assert str(parse_rule(text)) == canonical


@pytest.mark.parametrize(
    ("text", "column", "message", "hint"),
    [
        ("", 1, "starts with a statistic", ""),
        ("p95", 4, "expected one of <= >= < >", ""),
        ("p95 == 2s", 5, "expected one of <= >= < >", "write <= or >="),
        ("p95 <=", 7, "expected a duration", ""),
        ("p95 <= 5%", 8, "p95 takes a duration such as 250ms", ""),
        ("p95 <= 2", 8, "p95 takes a duration such as 250ms", ""),
        ("p95 <= 2sec", 8, "p95 takes a duration such as 250ms", ""),
        ("p95 <= 0s", 8, "whole number of microseconds", ""),
        ("p95 <= 0.5us", 8, "whole number of microseconds", ""),
        ("p95 <= -1s", 8, "p95 takes a duration", ""),
        ("p95 <= 999999999999999999999s", 8, "too large", ""),
        ("p49 <= 1s", 1, "no percentile between p50 and p99.99", "such as p95"),
        ("p100 <= 1s", 1, "no percentile between p50 and p99.99", "write max"),
        ("p99.999 <= 1s", 1, "no percentile between p50 and p99.99", "such as p95"),
        ("eror_ratio <= 1%", 1, "there is no statistic 'eror_ratio'", "did you mean error_ratio?"),
        ("error_ratio >= 0", 13, "no run could miss this limit", ""),
        ("error_ratio <= 100%", 13, "no run could miss this limit", ""),
        ("error_ratio < 0%", 13, "no run could reach this limit", ""),
        ("check(x) > 100%", 10, "no run could reach this limit", ""),
        ("check(x) >= 95", 13, "check(x) is a share: 95 is above 1", "did you mean 95%?"),
        ("check(x) >= 101%", 10, "never above 100%", ""),
        ("check() >= 95%", 7, "a name is missing", ""),
        ("check >= 95%", 7, "expected the name in brackets", ""),
        ("count >= 10,000", 13, "after the comma comes a goal", ""),
        ("count >= -1", 10, "never negative", ""),
        ("rate >= 5rps", 9, "rate takes a rate such as 1000/s", ""),
        ("resource(target.cpu) <= 2GB", 25, "takes a share", ""),
        ("p95{scenari=x} <= 1s", 5, "there is no label 'scenari'", "did you mean scenario?"),
        ("p95{fault=x} <= 1s for 10s", 20, "fault= takes no window", "judge all of them"),
        ("peak_rate{fault=x} <= 1/s", 11, "peak_rate knows no fault", "write rate{fault=...}"),
        ("check(a){fault=x} <= 1%", 10, "check knows no fault", "write error_ratio{fault=...}"),
        ("growth(rate) <= 1 per hour", 1, "of a latency or a resource, not of rate", "growth(p95)"),
        ("growth(p95) <= 1MB per hour", 16, "takes a duration", ""),
        ("growth(target.rss) <= 1MB", 26, "a limit `per hour` or `per 1000 requests`", ""),
        ("growth(target.rss) <= 1MB per 10 requests", 27, "`per hour` or `per 1000 requests`", ""),
        ("growth(target.rss) >= 1MB per hour", 20, "growth has no lower limit", "write <="),
        ("growth(target.open_files) <= 0 per hour", 27, "no samples can show", "above 0"),
        ("growth(target.rss){name=a} <= 1MB per hour", 20, "growth knows no name", "it takes phase"),
        ("p95 <= 1s per hour", 11, "p95 is not told per anything", "only growth is"),
        ("users{fault=x} <= 1", 7, "users knows no fault", "scenario, region, phase"),
        ("functionality{fault=none} >= 1%", 21, "is of a fault, and none is none", "error_ratio{fault=none}"),
        ("recovery_time{phase=a} <= 1s", 15, "recovery_time knows no phase", "it takes fault"),
        ("recovery_time <= baseline", 18, "recovery_time takes no baseline", "as a number"),
        ("functionality >= 101%", 15, "never above 100%", ""),
        ("stall{name=x} <= 1s", 7, "stall knows no name", "region, phase"),
        ("p95{outcome=faild} <= 1s", 13, "there is no outcome 'faild'", "did you mean failed?"),
        ("p95{name=a, name=b} <= 1s", 13, "name is given twice", ""),
        ("p95{name=} <= 1s", 10, "a name is missing", ""),
        ('p95{name="x} <= 1s', 10, "never closed", ""),
        ("p95{name=x <= 1s", 17, "`,` or `}`", ""),
        ("p95 <= 2s for 1.5s", 15, "whole number of seconds", ""),
        ("p95 <= 2s for 0s", 15, "whole number of seconds", ""),
        ("stall <= 2s for 10s", 13, "stall takes no window", ""),
        ("p95 <= 2s for 10s for 20s", 19, "a window cannot stand here", "one window"),
        ("p95 <= 2s, goal < 1s for 10s", 22, "a window cannot stand here", "before the goal"),
        ("p95 <= 2s, goal < 3s", 17, "the goal is looser than the limit", ""),
        ("p95 < 2s, goal <= 2s", 16, "the goal is looser than the limit", ""),
        ("p95 <= 2s, goal > 1s", 17, "must look the same way", ""),
        ("p95 <= 2s, goal 1s..3s", 17, "the goal is looser than the limit", ""),
        ("p95 <= 2s, goal 2s..1s", 17, "from low to high", ""),
        ("p95 <= 2s, goal 1s", 19, "`..` and the upper end", ""),
        ("metric(x) <= 5, goal < 1%", 22, "same unit", ""),
        ("error_ratio <= 1%, goal < 0%", 25, "no run could reach this goal", ""),
        ("p95 <= 2s and p99 <= 3s", 11, "one limit", "two rules"),
        ("p95 <= 2s !", 11, "'!' cannot stand here", ""),
        ("promql <= 1", 8, "an expression in brackets", ""),
        ("promql( ) <= 1", 8, "an expression is missing here", "promql(avg(up))"),
        ("promql(sum(up) <= 1", 7, "the bracket ( is never closed", ""),
        ("promql(up[5m)) <= 1", 13, "the bracket ) closes none", ""),
        ('promql(up{a="b) <= 1', 13, 'the quote " is never closed', ""),
        ("promql(up){region=eu} <= 1", 12, "promql knows no region", "it takes phase"),
    ],
)
def test_a_mistake_has_its_column_and_says_what_was_expected(text, column, message, hint):
    """A rule that cannot be read is refused at its column, with what was expected and what to do."""
    error = mistake(text)

    assert error.column == column
    assert message in str(error)
    assert hint in (error.hint or "")


@pytest.mark.parametrize("name", sorted(set(KINDS) - {QUANTILE}))
def test_every_statistic_is_read_and_refuses_a_wrong_unit(name):
    """Each statistic takes each of its units, and none but these."""
    argument = "(x)" if name in NAMED else ""
    values = {
        Unit.DURATION: "2s",
        Unit.RATIO: "50%",
        Unit.RATE: "5/s",
        Unit.BYTES: "5MB",
        Unit.NUMBER: "0.5",
    }
    for unit, value in values.items():
        text = f"{name}{argument} <= {value}{' per hour' if name == GROWTH else ''}"
        is_plain_share = unit is Unit.NUMBER and KINDS[name].units == (Unit.RATIO,)
        if unit in KINDS[name].units or is_plain_share:
            assert parse_rule(text).limit.value > 0
        else:
            assert f"{name}{argument} takes" in str(mistake(text))


NAMED = {"check", "metric", "resource", "growth", "promql"}
expressions = (
    st.recursive(
        st.text("xyz_0 +,<=!~#", min_size=1, max_size=5)
        | st.sampled_from(['"a)"', "'}'", "`\\`", '"\\")"', '"é{["']),
        lambda inner: st.builds(
            lambda parts, pair: pair[0] + "".join(parts) + pair[1],
            st.lists(inner, max_size=3),
            st.sampled_from(["()", "{}", "[]"]),
        ),
    )
    .map(str.strip)
    .filter(bool)
)
names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).filter(
    lambda text: text.strip() == text
)
decimals = st.decimals(0, 10**6, places=3).map(Fraction)


@st.composite
def rules(draw):
    """Any rule that the grammar can express."""
    word = draw(st.sampled_from(sorted(KINDS)))
    kind = KINDS[word]
    argument = None
    if word in NAMED:
        argument = draw(expressions if word == "promql" else names)
    if word == QUANTILE:
        hundredths = draw(st.integers(5_000, 9_999))
        word = "p" + f"{hundredths / 100:.2f}".rstrip("0").rstrip(".")
    per = None
    if word == GROWTH:
        argument = draw(
            names.filter(lambda name: name not in KINDS) | st.sampled_from(("p95", "mean", "max"))
        )
        kind = Statistic(word, argument).kind
        per = draw(st.sampled_from(Per))
    unit = draw(st.sampled_from(kind.units))
    if word in {"resource", GROWTH} and argument.rpartition(".")[2] == "cpu":
        unit = Unit.RATIO
    labels = draw(st.lists(st.sampled_from(kind.labels or ("none",)), unique=True))
    selector = {
        label: draw(st.sampled_from(Outcome)).value if label == "outcome" else draw(names)
        for label in kind.labels
        if label in labels
    }
    operator = draw(st.sampled_from([one for one in Operator if one.caps or word != GROWTH]))
    values = {
        Unit.DURATION: st.integers(1, 10**12).map(Fraction),
        Unit.RATIO: st.integers(1, 999_999).map(lambda part: Fraction(part, 10**6)),
        Unit.RATE: decimals.filter(bool),
        Unit.BYTES: st.integers(1, 10**14).map(Fraction),
        Unit.NUMBER: decimals.filter(bool),
    }[unit]
    limit = Bound(operator, draw(values))
    window = None
    if kind.windows and "fault" not in selector and draw(st.booleans()):
        window = Window(draw(st.sampled_from(WindowKind)), draw(st.integers(1, 100_000)))
    goal = draw(st.sampled_from((None, "bound", "span")))
    if goal == "bound":
        strict = Operator.BELOW if operator.caps else Operator.ABOVE
        goal = Bound(strict, limit.value)
    elif goal == "span":
        ends = sorted((draw(values), draw(values)))
        goal = Span(*ends) if all(map(limit.holds, ends)) else None
    return Rule(Statistic(word, argument), selector, limit, unit, window, goal, per=per)


@given(rules())
def test_what_is_printed_is_read_back(rule):
    """parse(print(rule)) is the rule, and print(parse(text)) is stable."""
    assert parse_rule(str(rule)) == rule
    assert str(parse_rule(str(rule))) == str(rule)


SYNTAX = (
    "expected",
    "cannot stand here",
    "there is no statistic",
    "starts with a statistic",
    "there is no label",
    "is never closed",
    "after the comma comes a goal",
    "an expression in brackets",
    "is missing here",
)
"""Mistakes that say: this is no sentence of the grammar. All others speak of one that means nothing."""
TERMINALS = {
    "quantile": ("p50", "p95", "p99.9", "p99.99"),
    "duration": ("1s", "250ms", "1m30s", "10s", "2m"),
    "number": ("0", "5", "0.25", "99.5"),
    "bytes": ("MB", "GiB"),
    "bare": ("steady", "eu-west-1", "POST /a/:id"),
    "quoted": ("'it''s'".replace("''", ""), '"a, b}"', '"x\\"y)"'),
    "expression": ("up", 'sum(rate(x{a=")"}[5m]))', "a < bool 2"),
}


def productions():
    """The BNF of the module's docstring: name -> its right side, in tokens."""
    found, name = {}, ""
    for line in grammar.__doc__.splitlines():
        begun = re.fullmatch(r"    (\w+) *= (.*)", line)
        if begun is None and not (name and re.match(r"     +\|", line)):
            name = ""
            continue
        if begun:
            name = begun[1]
        text = re.sub(r" {2,}\(.*", "", begun[2] if begun else line)
        found[name] = found.get(name, "") + " " + text
    return {name: re.findall(r'"[^"]*"|\w+|\.\.\.|[][{}()|]', text) for name, text in found.items()}


PRODUCTIONS = productions()


def sentence(draw, tokens):
    """Words that the tokens of a right side can stand for."""
    alternatives, depth = [[]], 0
    for token in tokens:
        depth += (token in "([{") - (token in ")]}")
        if token == "|" and depth == 0:
            alternatives.append([])
        else:
            alternatives[-1].append(token)
    rest = draw(st.sampled_from(alternatives))
    words = []
    while rest:
        token, *rest = rest
        if token in "([{":
            depth, length = 1, 0
            while depth:
                depth += (rest[length] in "([{") - (rest[length] in ")]}")
                length += 1
            inner, rest = rest[: length - 1], rest[length:]
            times = {"(": 1, "[": draw(st.integers(0, 1)), "{": draw(st.integers(0, 2))}[token]
            for _ in range(times):
                words += sentence(draw, inner)
        elif token.startswith('"'):
            words.append(token.strip('"'))
        elif token in TERMINALS:
            words.append(draw(st.sampled_from(TERMINALS[token])))
        else:
            words += sentence(draw, PRODUCTIONS[token])
    return words


@given(st.data())
def test_every_sentence_of_the_documented_grammar_is_one(data):
    """What the BNF of the docstring derives is read, or refused for what it means, never for its form."""
    text = " ".join(sentence(data.draw, PRODUCTIONS["rule"]))
    said = ""
    try:
        rule = parse_rule(text)
    except RuleSyntaxError as error:
        rule, said = None, str(error)

    assert not any(words in said for words in SYNTAX), (text, said)
    assert rule is None or parse_rule(str(rule)) == rule


def test_the_documented_grammar_names_all_there_is():
    """Each statistic, label, operator and window that the code knows stands in the BNF, and no other."""
    words = {
        name: {token.strip('"') for token in tokens if token.startswith('"')}
        for name, tokens in PRODUCTIONS.items()
    }

    assert words["plain"] | words["named"] | {"promql", QUANTILE} == set(KINDS)
    assert words["label"] == set(LABELS)
    assert words["operator"] == set(Operator)
    assert words["window"] == set(WindowKind)


@given(st.text(max_size=40) | st.text("p95<=>{}(),.% goalfrs\"'\\=1", max_size=30))
def test_any_text_is_a_rule_or_a_mistake(text):
    """No text whatever raises anything but RuleSyntaxError with a column within it or just behind."""
    try:
        rule = parse_rule(text)
    except RuleSyntaxError as error:
        rule, column = None, error.column

    if rule is None:
        assert 1 <= column <= len(text) + 1
    else:
        assert parse_rule(str(rule)) == rule


def test_limits_are_those_that_tell_which_side_a_latency_lies_on():
    """The journals count against every latency limit and goal, a strict one a microsecond lower."""
    rules = [
        parse_rule(text)
        for text in (
            "p95 <= 2s, goal < 1s",
            "p99 < 2s",
            "max >= 10ms",
            "mean > 10ms",
            "p50 <= 5s, goal 20ms..30ms",
            "stall <= 7s",
            "error_ratio <= 1%",
        )
    ]

    assert latency_limits_us(rules) == (
        9_999,
        10_000,
        19_999,
        30_000,
        999_999,
        1_999_999,
        2_000_000,
        5_000_000,
    )


@given(st.sampled_from(Operator), st.integers(1, 50), st.integers(0, 60))
def test_a_bound_and_its_counted_latency_agree(operator, limit, latency):
    """A latency keeps a bound exactly if it lies on the right side of the latency that journals count against."""
    bound = Bound(operator, Fraction(limit))

    assert bound.holds(latency) is ((latency > bound.counted_us) is not operator.caps)


@pytest.mark.parametrize(
    ("text", "is_census"),
    [
        ("check(x) >= 100%", True),
        ("error_ratio <= 0", True),
        ("count{outcome=failed} <= 0", True),
        ("metric(lost) <= 0", True),
        ("check(x) >= 99.9%", False),
        ("rate >= 1/s", False),
        ("metric(x) >= 1", False),
        ("p95 <= 1us", False),
    ],
)
def test_a_census_is_a_limit_at_the_end_of_its_scale(text, is_census):
    """Only >= 100 % and <= 0 are census limits."""
    assert parse_rule(text).is_census is is_census


@pytest.mark.parametrize("module", ["grammar", "evidence", "facts", "result"])
def test_workers_load_no_numerics(module):
    """What a worker or the live master imports of this room brings neither numpy nor scipy."""
    code = (
        f"import sys, loadproof.verdict.{module}; "
        "sys.exit(any(name in sys.modules for name in ('numpy', 'scipy', 'gevent')))"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
