"""Charts: what is drawn, in which unit, and that drawing needs nothing but the spec."""

import base64
import struct
import xml.etree.ElementTree as ET
import zlib
from dataclasses import replace

import pytest
from reporting import REPORTS, failing, passing, resource_lines, timeline

from analyzer import charts
from analyzer.axes import time_ticks
from analyzer.chart import NARROW, WIDE
from analyzer.charts import CHARTS, LAG, heat_map, lag, latency, throughput, users, worker_stays
from analyzer.heat import bucket_from_us
from analyzer.model import Event, LatencyMap, ResourceLine
from analyzer.resource_charts import resource_charts, shares
from analyzer.stays import stays
from analyzer.vega import to_png, to_svg
from loadproof.verdict.facts import Absence, Stop


def drawn(spec, series):
    """The values of one line, as (second, value); a point stands in the middle of its second."""
    layer = next(layer for layer in spec["layer"] if layer["mark"]["type"] == "line")
    return [(value["t"] - 0.5, value["v"]) for value in layer["data"]["values"] if value["series"] == series]


def texts(svg):
    return [
        "".join(element.itertext()) for element in ET.fromstring(svg).iter() if element.tag.endswith("text")
    ]


@pytest.mark.parametrize("chart", [*CHARTS, LAG], ids=lambda chart: chart.name)
@pytest.mark.parametrize("report", ["fail", "hostile"])
def test_a_chart_is_well_formed_svg_and_png(report, chart):
    """Both pictures are whole, with a title, both axis titles with units, and nothing to fetch or run."""
    spec = chart.spec(REPORTS[report](), WIDE)
    svg, png = to_svg(spec), to_png(spec)

    assert spec["title"]["text"] in texts(svg)
    assert "run time (m:ss)" in texts(svg)
    assert {"requests a second", "latency (ms)", "users", "lag (ms)"} & set(texts(svg))
    assert not {"script", "foreignObject", "image", "use"} & {
        element.tag.rpartition("}")[2] for element in ET.fromstring(svg).iter()
    }
    assert png.startswith(b"\x89PNG")
    assert struct.unpack(">I", png[16:20])[0] > 1600


def test_throughput_is_what_ended_in_each_second():
    """Each point of the throughput chart is that second's own count."""
    report = failing()

    assert drawn(throughput(report, WIDE), "ok") == [(row.second, row.ok) for row in report.timeline]
    assert drawn(throughput(report, WIDE), "failed") == [(row.second, row.failed) for row in report.timeline]


def test_latency_is_in_milliseconds_with_the_plans_limit():
    """Percentiles are milliseconds, and the limit of a rule without a selector is a labelled line."""
    report = failing()
    spec = latency(report, WIDE)

    assert drawn(spec, "P95") == [(row.second, row.p95_us / 1000) for row in report.timeline]
    assert {"v": 250.0, "label": "p95 <= 250 ms"} in [
        value for layer in spec["layer"] for value in layer["data"]["values"]
    ]


def test_a_wide_spread_is_logarithmic_and_a_narrow_one_linear():
    """The latency axis is logarithmic when small and large values would not both be readable."""

    def kind(report):
        line = next(layer for layer in latency(report, WIDE)["layer"] if layer["mark"]["type"] == "line")
        return line["encoding"]["y"]["scale"].get("type", "linear")

    assert kind(failing()) == "log"
    assert kind(passing()) == "linear"


def test_a_second_without_a_journal_is_a_gap():
    """Absence is no zero: where no worker tells of a second, the lines break."""
    spec = throughput(REPORTS["invalid"](), WIDE)

    assert [value for second, value in drawn(spec, "ok") if 20 <= second < 24] == [None] * 4


def test_a_single_second_is_still_visible():
    """A value without neighbours is drawn as a dot."""
    report = replace(passing(), timeline=timeline()[:1])
    layers = [layer["mark"]["type"] for layer in users(report, WIDE)["layer"]]

    assert "circle" in layers
    assert to_svg(users(report, WIDE))


def test_an_empty_timeline_is_drawn():
    """A run of which no interval is left gives empty charts, not an error."""
    report = replace(passing(), timeline=())

    assert all(to_svg(chart.spec(report, NARROW)) for chart in (*CHARTS, LAG))


def test_lags_are_in_milliseconds_with_the_limit_of_the_verdict():
    """Each point is the second's own P99; the dashed line is what the judge holds them against."""
    report = failing()
    spec = lag(report, WIDE)

    for name in ("pacer_lag", "receive_lag"):
        own = [(row.second, getattr(row, f"{name}_p99_us") / 1000) for row in report.timeline]
        assert drawn(spec, name) == own
    [limit] = [layer for layer in spec["layer"] if layer["mark"]["type"] == "rule"]
    assert limit["data"]["values"] == [{"v": 25.0, "label": "lag <= 25 ms"}]
    assert limit["mark"]["strokeDash"]


def test_a_second_without_a_lag_is_a_gap():
    """Nothing measured breaks the line, and a run that measured no lag at all has no chart of it."""
    rows = tuple(
        replace(row, receive_lag_p99_us=None) if 20 <= row.second < 24 else row for row in timeline()
    )
    report = replace(passing(), timeline=rows)
    none = tuple(replace(row, pacer_lag_p99_us=None, receive_lag_p99_us=None) for row in rows)

    assert [s for s, value in drawn(lag(report, WIDE), "receive_lag") if value is None] == [20, 21, 22, 23]
    assert None not in [value for _, value in drawn(lag(report, WIDE), "pacer_lag")]
    assert LAG in charts.charts_of(report)
    assert LAG not in charts.charts_of(replace(report, timeline=none))


def test_only_an_open_plan_shows_waits_for_users():
    """`user_wait` exists in the open model alone; a wait of 0 is drawn as the value that it is."""
    report = passing()
    load = tuple(
        phase.model_copy(update={"arrivals_from": 5_000_000, "arrivals_to": 5_000_000})
        for phase in report.plan.load
    )
    waits = [0] * 20 + [1_500] * 20
    rows = tuple(replace(row, user_wait_p99_us=wait) for row, wait in zip(timeline(), waits, strict=True))
    opened = replace(report, plan=report.plan.model_copy(update={"load": load}), timeline=rows)
    spec = lag(opened, WIDE)

    assert drawn(spec, "user_wait") == [(second, wait / 1000) for second, wait in enumerate(waits)]
    assert {"pacer_lag", "receive_lag", "user_wait"} <= set(texts(to_svg(spec)))
    assert drawn(lag(report, WIDE), "user_wait") == []
    assert "user_wait" not in texts(to_svg(lag(report, WIDE)))


@pytest.mark.parametrize(("seconds", "step"), [(1_800, 1), (1_801, 2), (28_800, 16)])
def test_a_long_run_is_thinned_out_without_hiding_peaks(seconds, step):
    """Above 1,800 points neighbouring seconds share one: the mean for rates, the worst for latencies."""
    rows = timeline(steady=seconds - 10)
    spike = replace(rows[-3], p99_us=9_000_000)
    report = replace(passing(steady_s=seconds - 10), timeline=(*rows[:-3], spike, *rows[-2:]))
    rates, worst = drawn(throughput(report, WIDE), "ok"), drawn(latency(report, WIDE), "P99")

    assert len(rates) == -(-seconds // step) <= 1_800
    assert max(value for _, value in worst) == 9_000
    assert rates[0][1] == pytest.approx(sum(row.ok for row in rows[:step]) / step, abs=0.001)
    assert (f"of {step} seconds" in throughput(report, WIDE)["title"]["subtitle"]) == (step > 1)


@pytest.mark.parametrize("end", [1, 7, 40, 59, 61, 1_800, 3_700, 100_000, 3_000_000])
def test_time_ticks_are_round_and_few(end):
    """Ticks of the time axis start at 0, lie within the run, and are neither one nor a crowd."""
    ticks = time_ticks(end, 9)

    assert ticks[0] == 0
    assert ticks[-1] <= end
    assert 2 <= len(ticks) <= 10


def test_the_clock_shows_minutes_and_hours():
    """Tick labels read m:ss, and h:mm:ss from an hour on."""
    short = texts(to_svg(users(passing(steady_s=110), WIDE)))
    long = texts(to_svg(users(passing(steady_s=7_190), WIDE)))

    assert {"0:00", "1:00", "2:00"} <= set(short)
    assert "2:00:00" in long


def layer(spec, name):
    """The values of the one layer of that name; [] where there is none."""
    return [value for one in spec["layer"] if one.get("name") == name for value in one["data"]["values"]]


def test_the_heat_map_has_a_column_a_second_and_a_cell_where_requests_were():
    """The picture's opaque rows of a column are those of the buckets that the second's requests lie in."""
    report = replace(passing(), latency_map=LatencyMap(1, ((0, ((44, 10),)), (39, ((44, 1), (52, 100))))))
    [cells] = layer(heat_map(report, WIDE), "time_map")
    width, rows = pixels(cells["url"])

    # 44 to 45 and 52 to 53: a quarter of an octave each, with two octaves between their lower edges.
    assert width == 40
    assert [column for column in range(width) if any(row[column] for row in rows)] == [0, 39]
    assert [len({bytes(row[column : column + 1]) for row in rows}) for column in (0, 39)] == [2, 3]
    assert max(row[39] for row in rows) == 255 > max(row[0] for row in rows) > 40
    assert rows[0][39] == 255
    assert 0 < rows[-1][39] < rows[-1][0]
    assert cells["top"] == bucket_from_us(53) / 1000


def pixels(url):
    """(width, rows of opacities) of a PNG in a data URL, read without our writer."""
    png = base64.b64decode(url.partition("base64,")[2])
    width, height = struct.unpack(">II", png[16:24])
    body, at = b"", 8
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        body += png[at + 8 : at + 8 + length] if kind == b"IDAT" else b""
        at += 12 + length
    lines = zlib.decompress(body)
    stride = 4 * width + 1
    return width, [lines[row * stride + 4 : (row + 1) * stride : 4] for row in range(height)]


def test_an_empty_map_and_a_far_limit_leave_a_chart_readable():
    """No ok request draws no map; a latency limit twenty times above everything is told and not drawn."""
    report = passing()
    far = replace(report.rules[0], limit=60_000_000.0)
    spec = latency(replace(report, rules=(far, *report.rules[1:])), WIDE)

    assert charts.HEAT_MAP not in charts.charts_of(report)
    assert "far above: p95 <= 60 s" in spec["title"]["subtitle"]
    assert layer(spec, "limits") == []
    assert {value["label"] for value in layer(latency(report, WIDE), "limits")} == {"p95 <= 250 ms"}


def test_phases_faults_and_moments_are_bands_and_lines():
    """A fault's stretch lies between its two events; guards and stops are lines with their names."""
    events = (
        Event(12_000_000, "", "fault_begins", "database-down", ""),
        Event(18_500_000, "", "fault_ends", "database-down", ""),
        Event(30_000_000, "", "fault_begins", "network", "never reverted"),
        Event(31_000_000, "", "guard", "us-east-1-01", "memory"),
        Event(None, "", "guard", "nobody", "no time is known"),
    )
    report = replace(passing(), events=events, stop=Stop("hand", "enough", 38_000_000))
    spec = users(report, WIDE)

    assert layer(spec, "time_bands") == [{"from": 10.0, "to": 40.0}]
    assert layer(spec, "time_faults") == [{"from": 12.0, "to": 18.5}, {"from": 30.0, "to": 40}]
    assert [value["label"] for value in layer(spec, "time_fault_names")] == ["database-down", "network"]
    assert layer(spec, "time_moments") == [
        {"t": 31.0, "label": "guard us-east-1-01"},
        {"t": 38.0, "label": "stopped: hand"},
    ]


def test_a_workers_bar_shows_when_it_was_there_away_and_lost():
    """From joined to left, broken where others had to take over, ending in a stump where no FIN came."""
    report = replace(
        REPORTS["invalid"](), absences=(Absence("us-east-1-01", 5_000_000, 9_000_000, "lapsed"),)
    )
    torn = replace(report.epochs[0], left_us=31_000_000)
    found = stays(replace(report, epochs=(torn, report.epochs[1])))

    assert [(stay.from_s, stay.to_s, stay.state) for stay in found if stay.worker == "us-east-1-01"] == [
        (0, 5, "there"),
        (5, 9, "away"),
        (9, 40, "there"),
    ]
    assert [stay.state for stay in found if stay.worker == "eu-west-1-01"] == ["there", "lost"]
    assert layer(worker_stays(report, WIDE), "time_stays")


def test_resources_are_percent_with_their_limits():
    """Shares of what may be used are drawn in percent; sizes are left to the table."""
    spec = shares(replace(passing(), resource_lines=resource_lines()), WIDE)

    assert {value["v"] for value in layer(spec, "time_lines") if value["series"] == "target.cpu"} == {50.0}
    assert {value["series"] for value in layer(spec, "time_lines")} == {"target.cpu", "generator.cpu"}
    assert [value["v"] for value in layer(spec, "limits")] == [50.0, 80.0]


def test_errors_have_a_chart_only_where_there_are_any():
    """Each point is the second's own count, and a clean run has no chart of nothing."""
    report = failing()

    assert charts.ERRORS in charts.charts_of(report)
    assert charts.ERRORS not in charts.charts_of(passing())
    assert drawn(charts.errors(report, WIDE), "failed") == [
        (row.second, row.failed) for row in report.timeline
    ]


def test_what_a_rule_asks_of_a_prometheus_has_a_chart_with_its_limit():
    """Each sampled value that a rule is judged on is drawn in the rule's unit; a gap in its samples breaks the line."""
    asked = replace(
        passing().rules[5],
        rule="promql(avg(hit_ratio)) >= 80%",
        statistic="promql(avg(hit_ratio))",
        operator=">=",
        limit=0.8,
    )
    points = tuple((second, 0.9) for second in range(40) if not 10 <= second < 20)
    lines = (*resource_lines(), ResourceLine("promql(avg(hit_ratio))", points))
    report = replace(passing(), rules=(asked,), resource_lines=lines)
    shares_chart, chart = resource_charts(report)
    spec = chart.drawn(report, WIDE)

    assert (shares_chart.name, chart.name, chart.unit) == ("resources", "asked-1", " %")
    assert spec["title"]["text"] == "promql(avg(hit_ratio))"
    assert [value["v"] for value in layer(spec, "limits")] == [80.0]
    values = {value["t"] - 0.5: value["v"] for value in layer(spec, "time_lines")}
    assert {t for t, value in values.items() if value is None} == set(range(10, 20))
    assert {value for value in values.values() if value is not None} == {90.0}
    assert to_svg(chart.drawn(report, NARROW)).startswith("<svg")


def test_hostile_names_of_samples_stay_text():
    """A query's text is a title and nothing else, and names no file."""
    text = 'promql(label_replace(up, "<b>", "\x1b[31m"))'
    rule = replace(passing().rules[5], statistic=text, limit=None)
    report = replace(passing(), rules=(rule,), resource_lines=(ResourceLine(text, ((0, 1.0),)),))
    [chart] = resource_charts(report)
    svg = to_svg(chart.drawn(report, WIDE))

    assert chart.name == "asked-1"
    assert "<b>" not in svg
    assert "\x1b" not in svg
