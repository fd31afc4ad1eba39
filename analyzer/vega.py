"""Specs drawn to SVG and PNG, without a browser or a network."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analyzer.layers import Spec


def to_svg(spec: Spec) -> str:
    return _svg(json.dumps(spec))


def to_png(spec: Spec) -> bytes:
    """The same picture on white, two pixels for one."""
    import vl_convert  # noqa: PLC0415 40 MB of renderer: only a report with charts pays for it

    on_white = to_svg(spec).replace(">", '><rect width="100%" height="100%" fill="white"/>', 1)
    return bytes(vl_convert.svg_to_png(on_white, scale=2))


@lru_cache(maxsize=64)
def _svg(spec: str) -> str:
    """Kept, as a page and its PNG charts are drawn from the same specs."""
    import vl_convert  # noqa: PLC0415 as above

    return str(vl_convert.vegalite_to_svg(spec, vl_version="5.21", allowed_base_urls=[]))
