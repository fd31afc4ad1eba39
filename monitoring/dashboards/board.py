"""What all dashboards share: variables, annotations, links, and how they are written.

They are of the classic kind, which every Grafana since 9 reads from files. The library would rather have the new one, which
only Grafana 12 knows.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from grafana_foundation_sdk.builders import dashboard as boards
from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

from monitoring.dashboards.panels import BLUE, DATASOURCE, PURPLE, RED
from monitoring.dashboards.queries import PERCENTILES, RUN, of_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from monitoring.dashboards.panels import Panel

TAG: Final = "loadproof"
SOURCE: Final = "loadproof-prometheus"
"""The uid that `grafana/provisioning/datasources/prometheus.yaml` gives the Prometheus."""
USUAL: Final = "p95"
REPORT: Final = "reports/${folder}/report.html"
FIRING: Final = 'alertstate="firing",alertname=~"Loadproof.+"'

MOMENT: Final = "10s"
"""How long an annotation lasts: a change is marked, and not all the time until the next."""


def _began(state: str) -> str:
    # Over a range, as a state may be shorter than the step of the query.
    now, before = (f"max_over_time({state}[{MOMENT}]{then}) == 1" for then in ("", f" offset {MOMENT}"))
    return of_run(f"({now} unless {before})")


ANNOTATIONS: Final = (
    # Name, colour, what is 1 while it lasts, title, and whether it is shown from the start.
    ("Phases", BLUE, _began("loadproof_phase"), "phase {{phase}} begins", True),
    ("Faults", RED, _began("loadproof_fault"), "{{fault}} begins", True),
    ("Guards", RED, _began("loadproof_guard"), "{{guard}}: {{level}}", True),
    ("Verdict so far", PURPLE, _began("loadproof_verdict_so_far"), "{{verdict}} so far", True),
    ("Alerts", RED, of_run(f"ALERTS{{{FIRING}}}"), "{{alertname}}", False),
)


def board(
    name: str,
    title: str,
    description: str,
    content: Sequence[Panel | boards.Row],
    reports_url: str | None,
) -> str:
    """A dashboard as JSON; with `reports_url`, where the reports folder is served, it links to the run's report."""
    built = (
        boards.Dashboard(title)
        .uid(f"loadproof-{name}")
        .description(description)
        .tags([TAG])
        .editable()
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .time("now-15m", "now")
        .refresh("5s")
        .timezone("browser")
        .variables(_variables())
        .annotations([_annotation(*each) for each in ANNOTATIONS])
        .links(_links(reports_url))
    )
    for each in content:
        if isinstance(each, boards.Row):
            built.with_row(each)
        else:
            built.with_panel(each)
    document: dict[str, Any] = json.loads(json.dumps(built.build(), cls=JSONEncoder))
    for at, panel in enumerate(document["panels"], start=1):
        panel["id"] = at
    for each in (*document["links"], *document["annotations"]["list"]):
        # The library always puts these into a menu, where nobody looks for them.
        del each["placement"]
    for variable in document["templating"]["list"]:
        # It gives all variables what only intervals have.
        for own in ("auto", "auto_count", "auto_min"):
            del variable[own]
    for panel in document["panels"]:
        # Grafana 12 has no such option any more, and its predecessors do without.
        panel.get("options", {}).pop("footer", None)
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _variables() -> list[Any]:
    counted = "loadproof_request_duration_seconds_count"
    return [
        boards.DatasourceVariable("datasource")
        .label("Prometheus")
        .type("prometheus")
        .current(_option(SOURCE)),
        _asked("run", "Run", "loadproof_run_info", "run").sort(models.VariableSort.ALPHABETICAL_DESC),
        # Label values are asked of plain series: those of other runs in the dashboard's range are offered too.
        _many("region", "Region", "loadproof_workers_planned"),
        _many("scenario", "Scenario", f'{counted}{{region=~"$region"}}'),
        _many("name", "Name", f'{counted}{{region=~"$region",scenario=~"$scenario"}}'),
        boards.CustomVariable("quantile")
        .label("Percentile")
        .values(",".join(f"{text} : {value}" for text, value in PERCENTILES.items()))
        .current(_option(USUAL, PERCENTILES[USUAL]))
        .options([_option(text, value, selected=text == USUAL) for text, value in PERCENTILES.items()]),
        # The run's label has four digits more than its folder.
        _asked("folder", "Run folder", RUN, "run")
        .regex("/(.+)-[0-9a-f]{4}/")
        .hide(models.VariableHide.HIDE_VARIABLE),
    ]


def _asked(name: str, label: str, series: str, of: str) -> boards.QueryVariable:
    return (
        boards.QueryVariable(name)
        .label(label)
        .datasource(DATASOURCE)
        # As Grafana's own editor writes it: 1 is a query for label values.
        .query({"query": f"label_values({series}, {of})", "refId": name, "qryType": 1})
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
    )


def _many(name: str, label: str, series: str) -> boards.QueryVariable:
    return (
        _asked(name, label, series, name)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(_option("All", "$__all"))
    )


def _option(text: str, value: str | None = None, *, selected: bool = True) -> models.VariableOption:
    return models.VariableOption(selected, text, text if value is None else value)


def _annotation(name: str, colour: str, expression: str, title: str, shown: bool) -> boards.AnnotationQuery:
    return (
        boards.AnnotationQuery()
        .name(name)
        .datasource(DATASOURCE)
        .enable(shown)
        .icon_color(colour)
        .title_format(title)
        .target(prometheus.Dataquery().expr(expression).ref_id("Anno").interval("5s"))
    )


def _links(reports_url: str | None) -> list[Any]:
    links = [
        boards.DashboardLink("loadproof")
        .type(models.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .as_dropdown(False)
        .include_vars(True)
        .keep_time(True)
    ]
    if reports_url is not None:
        links.append(
            boards.DashboardLink("Report of this run")
            .type(models.DashboardLinkType.LINK)
            .url(f"{reports_url.rstrip('/')}/{REPORT.removeprefix('reports/')}")
            .tooltip("There when the run has ended.")
            .icon("doc")
            .target_blank(True)
        )
    return links
