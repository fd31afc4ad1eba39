"""`docs/metrics.md` against the table of metrics, the bounds and the alerts; `docs/dashboards.md` against the dashboards."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from panelling import documents

from loadproof.units import ABSENT
from monitoring.labels import LENGTH, MOST
from monitoring.metrics import TABLE

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "metrics.md").read_text()


def rows(width):
    """Those of the tables with so many columns, without their heads."""
    lines = [line for line in PAGE.splitlines() if line.startswith("| `")]
    cells = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines]
    return [row for row in cells if len(row) == width]


def test_the_table_is_the_table():
    """Every metric with its type, unit, labels and meaning, in order, and no other."""
    assert rows(5) == [
        (f"`{one.name}`", one.kind.value, one.unit or ABSENT, " ".join(one.labels) or ABSENT, one.help)
        for one in TABLE
    ]


def test_bounds_are_those_of_the_code():
    """The page says how many values of a label are told apart."""
    said = PAGE.partition("## Bounds")[2].partition("##")[0]

    assert [int(number) for number in re.findall(r"\d+", said)] == [
        *(MOST[label] for label in ("endpoint", "scenario", "check", "metric", "error")),
        LENGTH,
    ]


def test_alerts_are_those_of_the_rules():
    """Each alert stands there with its severity, and no other."""
    document = yaml.safe_load((ROOT / "monitoring" / "rules" / "alerts.yml").read_text())
    expected = {
        (f"`{rule['alert']}`", rule["labels"]["severity"])
        for group in document["groups"]
        for rule in group["rules"]
    }

    assert {row[:2] for row in rows(3)} == expected


def test_every_dashboard_is_shown():
    """The page has a picture of each, no other, which are modest in size, and says what they are not."""
    page = (ROOT / "docs" / "dashboards.md").read_text()
    pictures = re.findall(r"\]\(images/(dashboard-\w+\.webp)\)", page)
    files = list((ROOT / "docs" / "images").glob("dashboard-*"))

    assert sorted(pictures) == sorted(path.name for path in files)
    assert {name.removeprefix("dashboard-").removesuffix(".webp") for name in pictures} == set(documents())
    assert sum(path.stat().st_size for path in files) < 320_000
    assert "These pictures are **not Grafana**" in page


def test_the_nine_panels_are_explained():
    """What each of D36 to D44 asks for, and what is shown in its place."""
    page = (ROOT / "docs" / "dashboards.md").read_text()

    assert re.findall(r"^\| (D\d+) \|", page, re.MULTILINE) == [f"D{number}" for number in range(36, 45)]
