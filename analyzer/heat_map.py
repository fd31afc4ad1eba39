"""The latency heat map: time across, latency up, how many ok requests as strength of one colour.

Its cells are one picture and not thousands of rectangles, which would be most of the page. Latency is on a
logarithmic scale; a modest number of requests is visible beside the most frequent one, as strength is too.
"""

from __future__ import annotations

import base64
import math
import struct
import zlib
from typing import TYPE_CHECKING, Final

from analyzer.axes import log_ticks
from analyzer.chart_style import HEAT
from analyzer.escape import shown
from analyzer.heat import bucket_from_us
from analyzer.layers import background, end_s, foreground, framed, limit_layers, time_axis
from loadproof.units import format_duration

if TYPE_CHECKING:
    from analyzer.layers import Size, Spec
    from analyzer.model import LatencyMap, Report

_ROWS_AN_OCTAVE: Final = 32
"""Edges of buckets lie within 1/64 of an octave, 1 %, of where the axis says."""
_FAINTEST: Final = 0.16
_LIMIT_LINES: Final = 3


def heat_map(report: Report, size: Size) -> Spec:
    """Every ok request by the time of their end and their latency."""
    seen, end = report.latency_map, end_s(report)
    buckets = [bucket for _, column in seen.columns for bucket, _ in column] or [0]
    low_us, high_us = bucket_from_us(min(buckets)), bucket_from_us(max(buckets) + 1)
    domain = [low_us / 1_000 / 1.1, high_us / 1_000 * 1.6]
    last = seen.columns[-1][0] + 1 if seen.columns else 1
    scale = {"type": "log", "domain": domain, "nice": False}
    y = {
        "field": "top",
        "type": "quantitative",
        "title": "latency (ms)",
        "scale": scale,
        "axis": {
            "values": log_ticks(*domain),
            "minExtent": 42,
            "labelExpr": "format(datum.value, ',.12~g')",
        },
    }
    picture = {
        "url": _picture(seen, low_us, high_us, last),
        "t": 0,
        "top": high_us / 1_000,
    }
    pixels = size.height / math.log(domain[1] / domain[0])
    cells: Spec = {
        "name": "time_map",
        "data": {"values": [picture]},
        "mark": {
            "type": "image",
            "aspect": False,
            "smooth": False,
            "align": "left",
            "baseline": "top",
            "width": size.width * last * seen.step / end,
            "height": pixels * math.log(high_us / low_us),
            "clip": True,
        },
        "encoding": {"url": {"field": "url"}, "x": time_axis(size, end), "y": y},
    }
    lines = [
        {
            "v": rule.limit / 1_000,
            "label": f"{shown(rule.statistic, 24)} {rule.operator} {format_duration(rule.limit)}",
        }
        for rule in report.rules
        if rule.unit == "us"
        and not rule.selector
        and rule.statistic.startswith("p")
        and rule.statistic[1:2].isdigit()
        and isinstance(rule.limit, float)
        and domain[0] * 1_000 < rule.limit < domain[1] * 1_000
    ][:_LIMIT_LINES]
    subtitle = "ok requests by their end, the stronger the more"
    if seen.step > 1:
        subtitle += f", {seen.step} seconds a column"
    layers = [*background(report, end), cells, *foreground(report, size, end), *limit_layers(lines)]
    return framed(size, "Latency heat map", subtitle, layers)


def _picture(seen: LatencyMap, low_us: int, high_us: int, columns: int) -> str:
    """The cells as a PNG in a data URL: a column of pixels a column of the map, rows evenly in log2."""
    rows = max(1, round(_ROWS_AN_OCTAVE * math.log2(high_us / low_us)))
    strength = [bytearray(columns) for _ in range(rows)]
    most = max((count for _, column in seen.columns for _, count in column), default=1)
    for number, column in seen.columns:
        for bucket, count in column:
            share = math.log(count + 1) / math.log(most + 1)
            alpha = round(255 * (_FAINTEST + (1 - _FAINTEST) * share**1.5))
            first = _row(bucket_from_us(bucket + 1), high_us)
            for row in range(first, max(first + 1, _row(bucket_from_us(bucket), high_us))):
                strength[min(row, rows - 1)][number] = alpha
    lines = b"".join(b"\0" + b"".join(bytes((*HEAT, alpha)) for alpha in row) for row in strength)
    header = struct.pack(">IIBBBBB", columns, rows, 8, 6, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(lines, 9))
    return "data:image/png;base64," + base64.b64encode(png + _chunk(b"IEND", b"")).decode("ascii")


def _row(us: int, high_us: int) -> int:
    return round(_ROWS_AN_OCTAVE * math.log2(high_us / us))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
