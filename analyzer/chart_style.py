"""How charts look: colours for light and dark, font, and the configuration of Vega-Lite."""

from __future__ import annotations

from typing import Final

INK: Final = "#2f3746"
FAINT: Final = "#667085"
GRID: Final = "#dfe3ea"
PAPER: Final = "#fffffe"
BLUE: Final = "#1f6fc4"
SKY: Final = "#5aa9e6"
ORANGE: Final = "#d9730d"
RED: Final = "#d13438"
RUST: Final = "#9f4d00"
"""For words, for which orange is too light."""
GREEN: Final = "#2f8f5b"
HEAT: Final = (47, 127, 224)
"""Red, green, blue of the heat map; its strength is opacity, so that it reads on both papers."""
"""Series colours keep apart under the common colour blindnesses."""
DARK: Final = {
    INK: "#e4e8f0",
    FAINT: "#98a2b3",
    GRID: "#343c4a",
    PAPER: "#171b22",
    BLUE: "#5b9df0",
    SKY: "#8fcaf5",
    ORANGE: "#f09a4a",
    RED: "#f0666a",
    RUST: "#f0a45c",
    GREEN: "#58bd85",
}
"""What the page's dark theme puts in each colour's place."""

FONT: Final = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', 'DejaVu Sans', Arial, sans-serif"
CONFIG: Final = {
    "font": FONT,
    "view": {"stroke": GRID},
    "title": {
        "fontSize": 15,
        "fontWeight": 600,
        "color": INK,
        "subtitleColor": FAINT,
        "subtitleFontSize": 12,
        "subtitlePadding": 4,
        "offset": 8,
    },
    "axis": {
        "labelColor": FAINT,
        "labelFontSize": 11,
        "titleColor": FAINT,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "titlePadding": 8,
        "gridColor": GRID,
        "gridOpacity": 0.8,
        "domainColor": GRID,
        "tickColor": GRID,
        "labelOverlap": True,
    },
    "legend": {
        "orient": "top",
        "labelColor": INK,
        "labelFontSize": 12,
        "symbolType": "stroke",
        "symbolStrokeWidth": 3,
    },
}
