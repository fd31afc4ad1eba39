"""Secrets of a plan: named where flows use them, valued only where flows run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadproof.errors import PlanError, UsageError
from loadproof.measure.scrub import SHORTEST, Scrubber, secrets_of
from loadproof.plan.overrides import Overrides
from loadproof.plan.reader import read_plan
from loadproof.plan.writer import dump_plan

PLAN = """\
name: hidden
title: Hidden
target: http://127.0.0.1:1
load: [{phase: steady, duration: 5s, users: 1}]
secrets: [TOKEN, PIN]
flows:
  Buyer:
    headers: {Authorization: "Bearer ${TOKEN}"}
    steps:
      - {post: "/pin/${PIN}", json: {pin: "${PIN}", kind: "${KIND}"}}
"""
ENVIRON = {"TOKEN": "tok-3f9a77e1", "PIN": "481516234", "KIND": "card"}


def plan_file(tmp_path, text=PLAN):
    (tmp_path / "plan.yaml").write_text(text)
    return tmp_path / "plan.yaml"


def test_the_effective_plan_holds_names_and_no_values(tmp_path):
    """What is written is read back as the same plan, without any environment, and holds no secret's value."""
    plan = read_plan(plan_file(tmp_path), Overrides(), environ=ENVIRON)
    text = dump_plan(plan)

    assert "${TOKEN}" in text
    assert "card" in text
    assert ENVIRON["TOKEN"] not in text
    assert ENVIRON["PIN"] not in text
    assert read_plan(plan_file(tmp_path, text), Overrides(), environ={}) == plan


@pytest.mark.parametrize(
    ("line", "better", "words"),
    [
        ("title: Hidden", "title: Hidden ${TOKEN}", ["2:", "TOKEN", "would be written down"]),
        ("steps:", "rows: ${PIN}.csv\n    steps:", ["PIN", "would be written down"]),
        ('kind: "${KIND}"', 'kind: "${PIN:-1}"', ["PIN", "takes no default"]),
        ("[TOKEN, PIN]", "[TOKEN, PIN, PIN]", ["PIN", "already"]),
        ("[TOKEN, PIN]", "[TOKEN, PIN, ABSENT]", ["ABSENT", "is not set"]),
        ("[TOKEN, PIN]", "[TOKEN, PIN, 7up]", ["secrets", "names"]),
        ("[TOKEN, PIN]", "TOKEN", ["secrets", "list"]),
        ("[TOKEN, PIN]", "[TOKEN]", []),
        ("json: {", "capture: {PIN: {header: X}}, json: {", ["PIN", "secret of the plan"]),
    ],
)
def test_a_secret_elsewhere_is_a_mistake(tmp_path, line, better, words):
    """A secret where it would be written down, or a name that is none, is a mistake that shows no value."""
    assert line in PLAN
    path = plan_file(tmp_path, PLAN.replace(line, better, 1))
    if not words:
        assert read_plan(path, Overrides(), environ=ENVIRON).secrets == ("TOKEN",)
        return
    with pytest.raises(PlanError) as raised:
        read_plan(path, Overrides(), environ=ENVIRON)

    for word in words:
        assert word in str(raised.value)
    for name in ("TOKEN", "PIN"):
        assert ENVIRON[name] not in str(raised.value)


def test_a_column_of_a_secrets_name_is_a_mistake(tmp_path):
    """Nobody can tell which of the two a template means."""
    (tmp_path / "rows.csv").write_text("PIN,name\n1,a\n")
    path = plan_file(tmp_path, PLAN.replace("steps:", "rows: rows.csv\n    steps:", 1))
    with pytest.raises(PlanError, match="column `PIN`"):
        read_plan(path, Overrides(), environ=ENVIRON)


@pytest.mark.parametrize(("environ", "said"), [({}, "not set here"), ({"TOKEN": "short"}, "fewer than 6")])
def test_a_host_without_a_secret_says_so(environ, said):
    """A worker whose host lacks a secret, or has one that cannot be hidden, names it and not its value."""
    with pytest.raises(UsageError, match=f"TOKEN .*{said}") as raised:
        secrets_of(["TOKEN"], environ)
    assert "short" not in str(raised.value)


visible = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF), min_size=SHORTEST, max_size=30)


@given(visible, st.text(max_size=20), st.text(max_size=20))
def test_no_text_keeps_a_secret(value, before, after):
    """Wherever a value stands in a text, whole or cut off by the text's end, it is gone."""
    scrub = Scrubber([value])
    assert value not in scrub(before + value + after)
    assert value[:8] not in scrub(before + value[: max(8, len(value) // 2)])


@given(st.text())
def test_a_text_without_secrets_stays(text):
    """Nothing else is touched."""
    assert Scrubber(["\x00never here\x00"])(text) == text or "://" in text


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("GET http://bob:hunter2@host/a", "GET http://***@host/a"),
        ("https://token@host:8443/?q=a@b.c", "https://***@host:8443/?q=a@b.c"),
        ("http://host/a@b", "http://host/a@b"),
        ("amqp://a:b@x, redis://:pw@y", "amqp://***@x, redis://***@y"),
        ("mail me@example.test", "mail me@example.test"),
    ],
)
def test_user_and_password_of_a_url_go(text, left):
    """Of any URL, known or not; an @ elsewhere is innocent."""
    assert Scrubber()(text) == left
