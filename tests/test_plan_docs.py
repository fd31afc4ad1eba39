"""docs/plan.md: what it shows is what happens."""

import re
from pathlib import Path

import pytest

from loadproof.errors import PlanError
from loadproof.plan.faults import COMMON, KINDS
from loadproof.plan.reader import Overrides, read_plan
from loadproof.plan.sections import KEYS

PAGE = (Path(__file__).parent.parent / "docs" / "plan.md").read_text(encoding="utf-8")
SEARCH = (Path(__file__).parent.parent / "docs" / "search.md").read_text(encoding="utf-8")
GUARDS = (Path(__file__).parent.parent / "docs" / "guards.md").read_text(encoding="utf-8")
FAULTS = (Path(__file__).parent.parent / "docs" / "faults.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\S[^\n]*)\n(.*?)^```$", GUARDS + PAGE + FAULTS + SEARCH, re.MULTILINE | re.DOTALL)
WHOLE = [text for kind, text in BLOCKS if kind == "yaml" and text.startswith("name:")]
PARTS = [text for kind, text in BLOCKS if kind == "json" or (kind == "yaml" and not text.startswith("name:"))]
WRONG = [
    (text, said)
    for (kind, text), (_, said) in zip(BLOCKS, [*BLOCKS[1:], ("", "")], strict=True)
    if kind == "yaml wrong"
]
PRODUCTION = {"PRODUCTION_URL": "https://www.example.test"}


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    """Messages name the file as it was given."""
    monkeypatch.chdir(tmp_path)


def saved(text, name="plan.yaml"):
    Path(name).write_text(text, encoding="utf-8")
    return Path(name)


@pytest.mark.parametrize("text", WHOLE)
def test_a_shown_plan_is_a_plan(text):
    """Every example that is a plan is read without a mistake, with each of its overlays."""
    plan = read_plan(saved(text), environ={})
    assert plan.name
    for name in re.findall(r"^  (\w+):$", text.partition("overlays:")[2], re.MULTILINE):
        assert read_plan(saved(text), Overrides(env=name), PRODUCTION).target == PRODUCTION["PRODUCTION_URL"]


@pytest.mark.parametrize("text", PARTS)
def test_a_shown_part_is_an_overlay_of_the_first_plan(text):
    """Every other example can be laid over the first plan, and changes it."""
    plan = read_plan(saved(WHOLE[0]), environ={})
    assert read_plan(saved(WHOLE[0]), Overrides(config_file=saved(text, "part.yaml")), {}) != plan


@pytest.mark.parametrize(("text", "said"), WRONG)
def test_a_shown_mistake_is_told_as_shown(text, said):
    """What follows a wrong plan is the message, letter by letter."""
    with pytest.raises(PlanError) as caught:
        read_plan(saved(text), environ={})
    assert str(caught.value) + "\n" == said


def test_the_page_shows_all_kinds_of_examples():
    """The tests above have something to run."""
    assert (len(WHOLE), len(PARTS), len(WRONG)) == (5, 4, 1)


def test_the_table_of_keys_is_complete():
    """Every key that a plan takes has its row, in the reader's order."""
    table = PAGE.partition("| key |")[2].partition("\n\n")[0]
    assert tuple(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == KEYS


def test_the_table_of_faults_is_complete():
    """Every kind has its row, in the reader's order, with each key that it takes beside those of all."""
    rows = re.findall(r"^\| `([\w-]+)` \| ([^|]*) \|", FAULTS, re.MULTILINE)
    told = {kind: tuple(re.findall(r"`(\w+)`", keys)) for kind, keys in rows if kind not in COMMON}
    assert told == {kind: tuple(keys) for kind, keys in KINDS.items()}


@pytest.mark.parametrize("setting", re.findall(r"`--set (\w+\.\S+=\S+)`", PAGE))
def test_a_shown_setting_works(setting):
    """Every --set of the page can be typed."""
    plan = read_plan(saved(WHOLE[0]), environ={})
    assert read_plan(saved(WHOLE[0]), Overrides(set=(setting,)), {}) != plan
