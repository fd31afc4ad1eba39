"""Panels as all dashboards have them: graphs, single figures, tables, states and a heat map, with their queries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from grafana_foundation_sdk.builders import common as layout
from grafana_foundation_sdk.builders import (
    dashboard as boards,
)
from grafana_foundation_sdk.builders import (
    heatmap,
    prometheus,
    stat,
    statetimeline,
    table,
    text,
    timeseries,
)
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from grafana_foundation_sdk.models.text import TextMode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from grafana_foundation_sdk.cog.builder import Builder

    Panel = Builder[models.Panel]

DATASOURCE: Final = common.DataSourceRef(type_val="prometheus", uid="${datasource}")
BROADEST: Final = 24
HEIGHT: Final = 8
LEAST_STEP: Final = "5s"
"""Panels ask for no finer steps, so that a rate looks over some scrapes at least, whatever their interval."""

GREEN, ORANGE, RED, PURPLE, BLUE, GREY = "green", "orange", "red", "purple", "blue", "#8e8e8e"
LIMIT: Final = "limit"
"""Legends that begin so are drawn as limit lines."""
VERDICTS: Final = {"FAIL": 5, "INVALID": 4, "NO_DATA": 3, "WARN": 2, "PASS": 1}
"""Worst first, as numbers that a panel can colour."""
VERDICT_COLOURS: Final = {"FAIL": RED, "INVALID": PURPLE, "NO_DATA": GREY, "WARN": ORANGE, "PASS": GREEN}
OUTCOMES: Final = {"ok": GREEN, "failed": RED, "timeout": ORANGE, "unfinished": PURPLE}


@dataclass(frozen=True)
class Query:
    """An expression and how its series are called."""

    expression: str
    legend: str = ""


@dataclass(frozen=True)
class Column:
    """A column of a table: a query that gives each row one value."""

    title: str
    expression: str
    unit: str = "short"
    mappings: Mapping[int, tuple[str, str]] | None = None
    """Value -> the text and colour in its place."""


def graph(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    width: int = 12,
    log: bool = False,
    most: float | None = None,
    from_zero: bool = True,
    drawn_limit: float | None = None,
    colours: Mapping[str, str] | None = None,
    right: Mapping[str, str] | None = None,
) -> Panel:
    """Lines over time; `right` are legends (regular expressions) with a unit of their own, on an axis at the right.

    `drawn_limit` is for a limit that no rule of the plan says: one that is the judge's own. Not `from_zero` is for shares near
    the whole: the axis begins at 90 %, or lower where the data does.
    """
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .unit(unit)
        .interval(LEAST_STEP)
        .height(HEIGHT)
        .span(width)
        .line_width(1.5)
        .fill_opacity(8)
        .show_points(common.VisibilityMode.NEVER)
        .tooltip(layout.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI))
        .legend(
            layout.VizLegendOptions()
            .display_mode(common.LegendDisplayMode.LIST)
            .placement(common.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .override_by_regexp(
            f"/^{LIMIT}/",
            [
                _property("color", {"mode": "fixed", "fixedColor": RED}),
                _property("custom.lineStyle", {"fill": "dash", "dash": [8, 6]}),
                _property("custom.fillOpacity", 0),
            ],
        )
        .targets([_target(query, at) for at, query in enumerate(queries)])
    )
    if log:
        panel.scale_distribution(layout.ScaleDistributionConfig().type(common.ScaleDistribution.LOG).log(10))
    elif from_zero:
        panel.min(0)
    else:
        panel.axis_soft_min(0.9)
    if most is not None:
        panel.max(most)
    if drawn_limit is not None:
        panel.thresholds(_steps({None: GREEN, drawn_limit: RED}))
        panel.thresholds_style(
            layout.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED)
        )
    for legend, colour in (colours or {}).items():
        panel.override_by_name(legend, [_property("color", {"mode": "fixed", "fixedColor": colour})])
    for legend, its_unit in (right or {}).items():
        panel.override_by_regexp(
            f"/{legend}/",
            [
                _property("unit", its_unit),
                _property("custom.axisPlacement", "right"),
                _property("custom.fillOpacity", 0),
                _property("custom.lineStyle", {"fill": "dot", "dash": [2, 4]}),
            ],
        )
    return panel


def figure(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    width: int = 3,
    height: int = 4,
    colours: Mapping[float | None, str] | None = None,
    mappings: Mapping[int, tuple[str, str]] | None = None,
    decimals: int | None = None,
    names: bool = False,
    sparkline: bool = False,
) -> Panel:
    """The last value in the range, large; `colours` are from which value on, None from the first on.

    `names` shows the series' name in place of its value: of those that are there at the range's end, not in it.
    """
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .unit(unit)
        .interval(LEAST_STEP)
        .height(height)
        .span(width)
        .graph_mode(common.BigValueGraphMode.AREA if sparkline else common.BigValueGraphMode.NONE)
        .color_mode(common.BigValueColorMode.BACKGROUND if mappings else common.BigValueColorMode.VALUE)
        .text_mode(common.BigValueTextMode.NAME if names else common.BigValueTextMode.AUTO)
        .reduce_options(layout.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .thresholds(_steps(colours or {None: BLUE}))
        .no_value("-" if names else "no data")
        .targets(
            [
                _target(query, at).instant() if names else _target(query, at)
                for at, query in enumerate(queries)
            ]
        )
    )
    if mappings:
        panel.mappings([_mapped(mappings)])
    if decimals is not None:
        panel.decimals(decimals)
    return panel


def rows(
    title: str, description: str, key: str, *columns: Column, width: int = BROADEST, height: int = HEIGHT
) -> Panel:
    """A table with a row for each value of the label `key`, a column each query."""
    panel = (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .height(height)
        .span(width)
        .targets(
            [
                _target(Query(column.expression), at).instant().format(PromQueryFormat.TABLE)
                for at, column in enumerate(columns)
            ]
        )
        .transformations(
            [
                models.DataTransformerConfig("joinByField", options={"byField": key, "mode": "outer"}),
                # Each query brings its own time, which is the same for all.
                models.DataTransformerConfig(
                    "filterFieldsByName", options={"include": {"pattern": f"^({key}|Value.*)$"}}
                ),
            ]
        )
    )
    for at, column in enumerate(columns):
        properties = [_property("displayName", column.title), _property("unit", column.unit)]
        if column.mappings:
            properties.append(_property("mappings", [_mapped(column.mappings).to_json()]))
            properties.append(_property("custom.cellOptions", {"type": "color-text"}))
        panel.override_by_name(f"Value #{_ref(at)}" if len(columns) > 1 else "Value", properties)
    return panel


def states(
    title: str,
    description: str,
    query: Query,
    mappings: Mapping[int, tuple[str, str]],
    *,
    width: int = 12,
    height: int = HEIGHT,
) -> Panel:
    """A bar a series over time, in the colour of the state that its number means."""
    return (
        statetimeline.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .interval(LEAST_STEP)
        .height(height)
        .span(width)
        .show_value(common.VisibilityMode.AUTO)
        .merge_values(True)
        .row_height(0.8)
        .fill_opacity(75)
        .mappings([_mapped(mappings)])
        .legend(layout.VizLegendOptions().show_legend(False))
        .targets([_target(query, 0)])
    )


def heat(title: str, description: str, unit: str, buckets: str, *, width: int = 12) -> Panel:
    """How many values lie in which bucket over time; `buckets` is by `le`."""
    return (
        heatmap.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .interval(LEAST_STEP)
        .height(HEIGHT)
        .span(width)
        .calculate(False)
        .color(heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges"))
        .y_axis(heatmap.YAxisConfig().unit(unit))
        # Rates of neighbouring buckets differ by rounding alone.
        .filter_values(heatmap.FilterValueRange().le(1e-6))
        .targets([_target(Query(buckets, "{{le}}"), 0).format(PromQueryFormat.HEATMAP)])
    )


def words(content: str, *, height: int = 3, width: int = BROADEST) -> Panel:
    """A text in Markdown."""
    return text.Panel().mode(TextMode.MARKDOWN).content(content).height(height).span(width).transparent(True)


def section(title: str) -> boards.Row:
    """A headline over the panels that follow."""
    return boards.Row(title)


def verdicts(*names: str) -> dict[int, tuple[str, str]]:
    """Mappings of those of VERDICTS; of all without a name."""
    return {
        number: (name.replace("_", " "), VERDICT_COLOURS[name])
        for name, number in VERDICTS.items()
        if not names or name in names
    }


def _target(query: Query, at: int) -> prometheus.Dataquery:
    target = prometheus.Dataquery().datasource(DATASOURCE).expr(query.expression).range().ref_id(_ref(at))
    return target.legend_format(query.legend) if query.legend else target


def _ref(at: int) -> str:
    return "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[at]


def _steps(colours: Mapping[Any, str]) -> boards.ThresholdsConfig:
    steps: Sequence[models.Threshold] = [models.Threshold(value, colour) for value, colour in colours.items()]
    return boards.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(list(steps))


def _mapped(mappings: Mapping[int, tuple[str, str]]) -> models.ValueMap:
    return models.ValueMap(
        {
            str(value): models.ValueMappingResult(text=said, color=colour, index=at)
            for at, (value, (said, colour)) in enumerate(mappings.items())
        }
    )


def _property(name: str, value: object) -> models.DynamicConfigValue:
    return models.DynamicConfigValue(name, value)
