"""The table of requirements: every row of the source systems once, and what it points to is there."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parent.parent / "docs" / "requirements.md"
COUNTS = {"C": 60, "A": 32, "B": 33, "D": 77, "E": 59}
ROW = re.compile(r"^\| ([A-E]\d+) \|(.*)\|$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)#]*)(?:#([^)]*))?\)")


def anchors(page):
    """As the renderers make them of headings."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_row_has_its_line():
    """All rows of each source system, once and in order."""
    expected = [f"{source}{number}" for source, count in COUNTS.items() for number in range(1, count + 1)]

    assert [row for row, _ in ROW.findall(PAGE.read_text())] == expected


@pytest.mark.parametrize(("path", "anchor"), sorted(set(LINK.findall(PAGE.read_text()))))
def test_what_it_points_to_is_there(path, anchor):
    """Each file, and each heading in it."""
    pointed = (PAGE.parent / path).resolve() if path else PAGE

    assert pointed.exists()
    assert not anchor or anchor in anchors(pointed)
