"""`docs/metrics.md` against the table of metrics, the bounds and the alerts."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

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
