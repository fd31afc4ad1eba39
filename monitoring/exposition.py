"""Families as text for a scraper: the classic format and OpenMetrics 1.0, byte for byte as `prometheus_client` writes them.

Its own writers escape every label of every sample anew, which is most of what a scrape costs a master; ours remember.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, choose_encoder
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST
from prometheus_client.utils import floatToGoString

from monitoring.metrics import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client.metrics_core import Metric

REMEMBERED: Final = 100_000
"""Sets of labels."""
_SHORT: Final = 1_000_000
"""Numbers from here on are written with exponents."""


def content_type(accept: str | None) -> str:
    """What a scraper with this `Accept` gets: OpenMetrics if it takes that, else the classic format."""
    wants_openmetrics = choose_encoder(accept or "")[1].startswith("application/openmetrics-text")
    return CONTENT_TYPE_LATEST if wants_openmetrics else CONTENT_TYPE_PLAIN_0_0_4


def exposition(families: Iterable[Metric], content_type: str) -> bytes:
    """`content_type` is one that the function of this name gives."""
    is_openmetrics = content_type == CONTENT_TYPE_LATEST
    lines = []
    for family in families:
        lines += _openmetrics_head(family) if is_openmetrics else _classic_head(family)
        lines += [
            f"{sample.name}{_labels(tuple(sample.labels.items()))} {_number(sample.value)}\n"
            for sample in family.samples
        ]
    if is_openmetrics:
        lines.append("# EOF\n")
    return "".join(lines).encode(errors="replace")


def _openmetrics_head(family: Metric) -> list[str]:
    unit = [f"# UNIT {family.name} {family.unit}\n"] if family.unit else []
    return [
        f"# HELP {family.name} {_escaped(family.documentation)}\n",
        f"# TYPE {family.name} {family.type}\n",
        *unit,
    ]


def _classic_head(family: Metric) -> list[str]:
    suffix = {Kind.COUNTER: "_total", Kind.INFO: "_info"}.get(Kind(family.type), "")
    kind = "gauge" if family.type == Kind.INFO else family.type
    text = family.documentation.replace("\\", r"\\").replace("\n", r"\n")
    return [f"# HELP {family.name}{suffix} {text}\n", f"# TYPE {family.name}{suffix} {kind}\n"]


@lru_cache(maxsize=REMEMBERED)
def _labels(items: tuple[tuple[str, str], ...]) -> str:
    if not items:
        return ""
    return "{" + ",".join(f'{label}="{_escaped(value)}"' for label, value in sorted(items)) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _number(value: float) -> str:
    if isinstance(value, int) and 0 <= value < _SHORT:
        return f"{value}.0"
    return str(floatToGoString(value))  # type: ignore[no-untyped-call]
