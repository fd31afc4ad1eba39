"""A fault's small picture: the ok requests for the load of each second, over what they were before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from markupsafe import Markup

from loadproof.verdict.evidence import SECOND_US

if TYPE_CHECKING:
    from analyzer.faults import FaultTold

WIDTH: Final = 180
HEIGHT: Final = 40
_TOP: Final = 1.5
"""The highest share that is drawn as it is."""
_MOST_POINTS: Final = WIDTH


def fault_picture(told: FaultTold) -> Markup:
    """An SVG: the window in red, what is as before in green, and where the target was well again.

    Empty without a time before to compare with. Its numbers stand in the same row, so it is hidden from readers.
    """
    if told.least is None or len(told.points) < 2:
        return Markup("")
    first, last = told.points[0][0], told.points[-1][0] + 1
    scale = WIDTH / (last - first)

    def x(at_us: float) -> float:
        return round(min(max(at_us / SECOND_US - first, 0), last - first) * scale, 1)

    def y(share: float) -> float:
        return round(HEIGHT - 2 - min(share, _TOP) / _TOP * (HEIGHT - 4), 1)

    step = -(-len(told.points) // _MOST_POINTS)
    drawn = [
        # Of the seconds that share a point the worst: a short outage in a long window is not to vanish.
        (told.points[at][0], min(share for _, share in told.points[at : at + step]))
        for at in range(0, len(told.points), step)
    ]
    line = " ".join(f"{x((second + 0.5) * SECOND_US)},{y(share)}" for second, share in drawn)
    end_us = told.end_us if told.end_us is not None else last * SECOND_US
    begin, until = x(told.begin_us), x(end_us)
    parts = [
        f'<rect class="before" x="0" y="{y(_TOP)}" width="{WIDTH}" height="{round(y(told.least) - y(_TOP), 1)}"/>',
        f'<rect class="window" x="{begin}" y="0" width="{max(round(until - begin, 1), 1)}" height="{HEIGHT}"/>',
        f'<polyline class="ok" points="{line}"/>',
    ]
    if told.recovery_us is not None and told.end_us is not None:
        well = x(told.end_us + told.recovery_us)
        parts.append(f'<path class="well" d="M{well} 0v{HEIGHT}"/>')
    inner = "".join(parts)
    return Markup(  # noqa: S704 made of numbers alone
        f'<svg class="fault" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'aria-hidden="true" focusable="false">{inner}</svg>'
    )
