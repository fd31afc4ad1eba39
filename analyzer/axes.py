"""Axes of charts: where ticks stand, how they read, and which stretch is shown."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_TIME_STEPS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)
CLOCK: Final = (
    "(datum.value >= 3600"
    " ? floor(datum.value / 3600) + ':' + pad(floor(datum.value / 60) % 60, 2, '0', 'left')"
    " : floor(datum.value / 60)) + ':' + pad(datum.value % 60, 2, '0', 'left')"
)
"""Vega expression of a tick in seconds as m:ss, h:mm:ss from an hour on."""


def y_scale(
    values: list[dict[str, Any]], lines: Sequence[dict[str, Any]], logarithmic: bool
) -> dict[str, Any]:
    numbers = [value["v"] for value in values if value["v"] is not None] + [line["v"] for line in lines]
    largest = max(numbers, default=0)
    if logarithmic:
        # The band above keeps the phases' names clear of the lines.
        smallest = min(number for number in numbers if number > 0)
        return {"type": "log", "domain": [smallest / 1.3, largest * 2], "clamp": True, "nice": False}
    return {"domain": [0, largest * 1.18 or 1], "nice": False}


def log_ticks(smallest: float, largest: float) -> list[float]:
    """1, 2 and 5 of every decade in view; only the decades where that would crowd."""
    decades = range(math.floor(math.log10(smallest)), math.ceil(math.log10(largest)) + 1)
    ticks = [float(f"{digit}e{decade}") for decade in decades for digit in (1, 2, 5)]
    seen = [tick for tick in ticks if smallest <= tick <= largest]
    return seen if len(seen) <= 9 else [tick for tick in seen if f"{tick:e}".startswith("1")]


def time_ticks(end: int, wanted: int) -> list[int]:
    step = next((step for step in _TIME_STEPS if end / step <= wanted), 86400 * (1 + end // (86400 * wanted)))
    return list(range(0, end + 1, step))
