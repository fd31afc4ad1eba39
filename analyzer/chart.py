"""What a chart is: a name for files, a title, and how its spec is made of a report."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from analyzer.layers import Size

if TYPE_CHECKING:
    from collections.abc import Callable

    from analyzer.layers import Spec
    from analyzer.model import Report

WIDE: Final = Size(980, 190, points=1_800)
"""Half an hour second by second: what zooming into a line can show."""
NARROW: Final = Size(285, 190, points=250)


@dataclass(frozen=True)
class Chart:
    name: str
    title: str
    spec: Callable[[Report, Size], Spec]
    height: int = WIDE.height
    unit: str = " ms"
    """What a readout writes behind a number of its lines."""

    def drawn(self, report: Report, size: Size) -> Spec:
        """The spec at the chart's own height."""
        return self.spec(report, replace(size, height=self.height))
