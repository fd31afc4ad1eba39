"""The queries of the committed dashboards, asked of a Prometheus as Grafana would ask them."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus import Real

FOLDER = Path(__file__).resolve().parents[2] / "monitoring" / "grafana" / "dashboards"
STEP_S = 5
"""The dashboards' least interval, which is the step of a range so short."""
RATE_INTERVAL_S = 6
"""max($__interval + scrape interval, 4 * scrape interval), as Grafana has it, of scrapes each second."""


@dataclass(frozen=True)
class Asked:
    """One query of one panel, or of an annotation."""

    board: str
    panel: str
    kind: str
    expression: str
    legend: str
    is_table: bool = False
    is_instant: bool = False

    def __str__(self) -> str:
        return f"{self.board}: {self.panel}: {self.expression}"


def documents() -> dict[str, Any]:
    """Dashboard -> its JSON, as committed."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}


def queries() -> Iterator[Asked]:
    for name, document in documents().items():
        for panel in document["panels"]:
            yield from queries_of(name, panel)
        for annotation in document["annotations"]["list"]:
            yield Asked(name, annotation["name"], "annotation", annotation["target"]["expr"], "")


def queries_of(board: str, panel: dict[str, Any]) -> Iterator[Asked]:
    for target in panel.get("targets", ()):
        yield Asked(
            board,
            panel["title"],
            panel["type"],
            target["expr"],
            target.get("legendFormat", ""),
            target.get("format") == "table",
            target.get("instant", False),
        )


def substituted(expression: str, run: str = "a-run", range_s: int = 900) -> str:
    """With what Grafana puts in place of variables, where everything is chosen."""
    values = {
        "$__rate_interval": f"{RATE_INTERVAL_S}s",
        "$__range": f"{range_s}s",
        "${quantile:text}": "p95",
        "$quantile": "0.95",
        "$run": run,
        "$region": ".*",
        "$scenario": ".*",
        "$name": ".*",
    }
    for variable, value in values.items():
        expression = expression.replace(variable, value)
    return expression


def answer(real: Real, asked: Asked, run: str, begin_s: float, end_s: float) -> list[dict[str, Any]]:
    """The series of a query: each with `metric` and `values`, pairs of time and a finite number."""
    range_s = math.ceil(end_s - begin_s)
    expression = substituted(asked.expression, run, range_s)
    if asked.is_instant:
        # A table is read when all is over, what is there at the moment while the load goes on.
        time = end_s if asked.is_table else end_s - STEP_S - 1
        found = real.asked("query", query=expression, time=time)["result"]
        series = [{"metric": one["metric"], "values": [one["value"]]} for one in found]
    else:
        series = real.asked("query_range", query=expression, start=begin_s, end=end_s, step=STEP_S)["result"]
    kept = [
        {
            "metric": one["metric"],
            "values": [(at, float(text)) for at, text in one["values"] if math.isfinite(float(text))],
        }
        for one in series
    ]
    return [one for one in kept if one["values"]]
